"""Stage train: what is stored is not trained again, and what was interrupted goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from cmmanet.training.loop import Trained
from cmmanet.training.processes import Processes
from pipeline import plan, runs, split, train
from pipeline.parts import workspace
from pipeline.parts.tracking import TrackedRun
from pipeline.training import arm, mlflow_runs, request, room
from pipeline.training.run import Run, train_run

pytestmark = pytest.mark.slow

ARM = "cmmanet-random_interval"


class MemoryTracker:
    """MLflow's part, in memory: what was logged of each run, by its name and parent."""

    store: dict[tuple[str, str], list[Any]]

    def end_abandoned(self, tags: Mapping[str, str]) -> None:
        assert {"dataset", "arm", "folder"} == set(tags)

    @contextmanager
    def run(self, described: TrackedRun) -> Iterator[str]:
        self.store.setdefault((described.name, described.parent), [])
        yield described.name
        self.store[described.name, described.parent].append("finished")

    def finished(self, described: TrackedRun) -> str:
        known = "finished" in self.store.get((described.name, described.parent), [])
        return described.name if known else ""

    def metrics(self, run: str, values: Mapping[str, float], step: int) -> None:
        self.store[run, run.rpartition(" ")[0]].append(step)

    def artifact(self, run: str, file: Path) -> None:
        self.store[run, run.rpartition(" ")[0]].append(file.name)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], list[Any]]:
    monkeypatch.setattr(MemoryTracker, "store", {}, raising=False)
    monkeypatch.setattr(mlflow_runs, "Tracker", MemoryTracker)
    return MemoryTracker.store


@pytest.fixture
def trained(
    project: Path, mlflow: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Runs the stage on MARS; gives the titles of the runs that were trained.

    `stop` ends the first one after so many iterations, as Ctrl-C does.
    """

    def small(params: dict[str, Any]) -> None:
        demo = params["recipes"]["demo"]
        demo |= SMALL
        demo["model"]["backbone"] = "mobilenet_v2"

    change(project, small)
    titles: list[str] = []

    def stage(name: str = ARM, *, stop: int = 0, **options: Any) -> list[str]:
        def train_or_stop(run: Run, *arguments: Any, **named: Any) -> Trained:
            titles.append(run.title)
            listener = named["listener"]

            def look(seen: Any) -> None:
                listener.look(seen)
                if seen.iteration == stop + 1:
                    raise KeyboardInterrupt

            if stop:
                named["listener"] = replace(listener, look=look)
            return train_run(run, *arguments, **named)

        titles.clear()
        monkeypatch.setattr(train, "train_run", train_or_stop)
        train.main("mars", name, workers=0, **{"save_every": 0.0, **options})
        return list(titles)

    return stage


SMALL = {
    "batch": {"identities": 2, "clips": 2},
    "schedule": {"iterations": 4, "warmup": 0, "milestones": [2]},
}


def change(project: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit params.yaml, and make what follows from it."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    edit(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    plan.main()
    split.main("mars")


def title(trial: int, name: str = ARM) -> str:
    return f"mars {name} trial-{trial:02d}"


def record(trial: int, name: str = ARM) -> dict[str, Any]:
    folder = workspace.run_folder("mars", name) / workspace.trial_name(trial)
    return dict(json.loads((folder / "run.json").read_text()))


def weights(name: str = ARM) -> list[bytes]:
    folder = workspace.run_folder("mars", name)
    return [path.read_bytes() for path in sorted(folder.glob("*/weights.safetensors"))]


def test_more_trials_train_the_new_ones_only(
    project: Path, trained: Callable[..., list[str]], mlflow: dict[tuple[str, str], list[Any]]
) -> None:
    assert trained() == [title(0), title(1)]
    before, first = weights(), record(0)
    assert trained() == []
    change(project, lambda params: params["data"]["mars"].update(trials=3))
    assert trained() == [title(2)]
    assert weights()[:2] == before and len(weights()) == 3
    assert record(0) == {**first, "config": {**first["config"], "trials": 3}}
    # One run of MLflow per trial, in the arm's one, and no epoch twice.
    arm_run = f"mars {ARM}"
    assert mlflow.keys() == {(arm_run, ""), *((title(trial), arm_run) for trial in range(3))}
    for trial in range(3):
        assert mlflow[title(trial), arm_run] == [1, 2, 3, 4, "history.csv", "finished"]


def test_an_equal_arm_trains_nothing_and_has_its_own_names(
    project: Path, trained: Callable[..., list[str]], mlflow: dict[tuple[str, str], list[Any]]
) -> None:
    same = {"same": {"sampling": {"max_interval": 8}}, "other": {"losses": {"triplet": 0.5}}}
    change(project, lambda params: params.update(readings=same))
    trained()
    assert trained("reading-same") == []
    assert weights("reading-same") == weights()
    named = record(1, "reading-same")
    assert (named["arm"], named["config"]["arm"], named["trial"]) == (*["reading-same"] * 2, 1)
    assert named["mlflow_run"] == title(1, "reading-same")
    logged = mlflow[title(1, "reading-same"), "mars reading-same"]
    assert logged == [1, 2, 3, 4, "history.csv", "finished"]
    assert trained("reading-other") == [title(0, "reading-other"), title(1, "reading-other")]


def test_an_interrupted_run_goes_on_with_other_threads_and_says_so(
    trained: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        trained(stop=2)
    torch.set_num_threads(1)
    capsys.readouterr()
    assert trained() == [title(0), title(1)]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "goes on" in line]
    assert "after iteration 2 of 4" in line and "threads 2 (now 1)" in line
    stretches = [(part["after"], part["threads"]) for part in record(0)["stretches"]]
    assert stretches == [(0, 2), (2, 1)]
    assert [part["after"] for part in record(1)["stretches"]] == [0]
    torch.set_num_threads(threads)


def test_on_the_same_machine_it_ends_with_the_same_bits(
    trained: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for stop in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            trained(stop=stop)
    trained()
    assert "last bits" not in capsys.readouterr().err
    assert [part["after"] for part in record(0)["stretches"]] == [0, 1, 2]
    again = weights()
    for stored in workspace.run_store().glob("finished/*"):
        stored.rename(stored.with_name("away" + stored.name))
    trained()
    assert weights() == again


def test_exact_goes_on_on_the_same_machine_only(
    trained: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    processor = ["Xeon"]
    monkeypatch.setattr(request, "device_name", lambda _: processor[0])
    with pytest.raises(KeyboardInterrupt):
        trained(stop=2, exact=True)
    processor[0] = "EPYC"
    with pytest.raises(KeyboardInterrupt):
        trained(stop=3, exact=True)
    said = capsys.readouterr()
    assert "goes on" not in said.err and "machine.processor Xeon (now EPYC)" in said.out
    processor[0] = "Xeon"
    trained(exact=True)
    assert "goes on after iteration 2 of 4\n" in capsys.readouterr().err


def test_a_changed_plan_starts_afresh_and_says_what_changed(
    project: Path, trained: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(stop=2)
    change(project, lambda params: params["recipes"]["demo"]["optimiser"].update(lr=0.003))
    capsys.readouterr()
    trained()
    said = capsys.readouterr()
    assert "goes on" not in said.err and "(now 0.003)" in said.out
    runs.main()
    listed = capsys.readouterr().out.splitlines()
    assert [line[-24:] for line in listed if "unfinished" in line] == ["  not in use, unfinished"]
    assert len([line for line in listed if line.endswith("  in use")]) == 2
    runs.main(prune=True, yes=True)
    assert trained() == [] and not list(workspace.run_store().glob("unfinished/*"))


def test_one_trial_is_trained_into_the_store(trained: Callable[..., list[str]]) -> None:
    assert trained(trial=1) == [title(1)]
    assert not weights()
    assert trained() == [title(0)]
    assert len(weights()) == 2
    with pytest.raises(ValueError, match="--trial 2: there are 2"):
        trained(trial=2)


def test_what_is_killed_before_it_is_collected_is_not_trained_again(
    trained: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        killed = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
        patched.setattr(arm.ArmTraining, "_collect", killed)
        with pytest.raises(KeyboardInterrupt):
            trained()
    assert not weights()
    assert trained() == [] and len(weights()) == 2


def test_a_damaged_run_is_trained_again_to_the_same_bits(trained: Callable[..., list[str]]) -> None:
    trained()
    before = weights()
    stored = workspace.run_store() / "finished" / record(1)["fingerprint"]
    (stored / workspace.WEIGHTS).write_bytes(b"rotten")
    assert trained() == [title(1)]
    assert weights() == before


class Second(Processes):
    """The second of two processes; the first is made up, and sends what it is told to."""

    def __init__(self, *sends: Any) -> None:
        super().__init__(torch.device("cpu"), 1, 2)
        object.__setattr__(self, "_sent", iter(sends))

    def agree(self, value: Any) -> Any:
        sent = next(self._sent)  # type: ignore[attr-defined]
        return value if sent == "the same" else sent


def follow(
    trained: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, *sends: Any
) -> list[str]:
    @contextmanager
    def joined() -> Iterator[Processes]:
        yield Second(*sends)

    monkeypatch.setattr(train, "joined_processes", joined)
    return trained()


def test_processes_follow_the_main_one(
    trained: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[Path] = []

    def fit(*_: object, checkpoints: Path, **__: object) -> None:
        followed.append(checkpoints)

    nothing, first, second = Path(), Path("a"), Path("b")
    monkeypatch.setattr(f"{__name__}.train_run", fit)
    follow(trained, monkeypatch, "the same", first, nothing, nothing, second)
    assert followed == [first, second]
    with pytest.raises(ValueError, match=r"process 1 sees other .* give all nodes the same files"):
        follow(trained, monkeypatch, {0: {}, 1: {}})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Connection closed by peer\nand where"), OSError),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), None),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), None),
    ],
)
def test_a_main_process_that_ended_is_told_in_one_line(
    trained: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: type[Exception] | None,
) -> None:
    def fit(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"{__name__}.train_run", fit)
    with pytest.raises(expected or type(error)) as caught:
        follow(trained, monkeypatch, "the same", Path("a"))
    if expected is None:
        assert caught.value is error
    else:
        assert str(caught.value) == "process 1 lost the others: Connection closed by peer"


def test_too_small_a_disk_is_refused_before_training(
    trained: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = SimpleNamespace(free=10**6)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: sizes)
    # Two arms on two datasets, two runs each.
    with pytest.raises(OSError, match=r"0\.0 GB are free, and the 8 runs .* CMMANET_RUNS"):
        trained()
    with pytest.raises(OSError, match="the 8 runs"):
        trained(trial=1)
    sizes.free = 10**12
    assert trained() == [title(0), title(1)]
    sizes.free = 0
    assert trained() == [], "stored runs need no room"
