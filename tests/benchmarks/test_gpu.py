"""The GPU kit: its code on the CPU, what it refuses and survives, and its checks on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

from benchmarks.gpu import checks, report
from benchmarks.gpu.__main__ import run_step
from benchmarks.gpu.goals import goals
from benchmarks.gpu.record import Job, Record, read_figures, write_figures
from benchmarks.gpu.steps import STEPS, Step
from cmmanet.training.device import prepare_device

ENVIRONMENT = {**os.environ, "PYTHONPATH": "src", "CUDA_VISIBLE_DEVICES": ""}
CPU = Job(torch.device("cpu"), tiny=True, folder=Path("unused"))


def kit(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_every_step_runs_on_the_cpu(tmp_path: Path) -> None:
    done = kit("--device", "cpu", "--tiny", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    records = read_figures(tmp_path)
    assert {name: records[name].status for name in records} == {s.name: "done" for s in STEPS}
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["benchmark"] == "gpu"
    assert [bar["measured"] for bar in last["bars"]] == [None] * 4, "a CPU reaches no goal of a GPU"
    assert all(row["holds"] for row in records["agreement"].figures.values())
    assert records["repeatability"].figures["resnet18_fp32_resumed"] is True
    assert "code tried, nothing measured" in report.table([records])


@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_a_line(tmp_path: Path) -> None:
    done = kit("--out", tmp_path / "figures")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: no CUDA device here; `--device cpu --tiny` tries the code"
    ]
    assert not (tmp_path / "figures").exists()


@pytest.mark.slow
def test_it_needs_nothing_that_gpu_machines_lack() -> None:
    absent = "import sys; sys.modules |= dict.fromkeys(('pydantic', 'dvc', 'mlflow', 'simplejpeg'))"
    command = f"{absent}; import benchmarks.gpu.__main__, benchmarks.gpu.report"
    subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, env=ENVIRONMENT, check=True)


def no_memory(job: Job, record: Record) -> None:
    record.add(first=1)
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")


def endless(job: Job, record: Record) -> None:
    record.add(first=1)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)


def failing(job: Job, record: Record) -> None:
    raise ValueError("no such thing")


def failing_in_part(job: Job, record: Record) -> None:
    with record.part("first"):
        raise ValueError("no such thing")
    record.add(second=float("nan"))


def dying(job: Job, record: Record) -> None:
    os._exit(7)


@pytest.mark.parametrize(
    ("answer", "status", "reason", "figures"),
    [
        (no_memory, "out of memory", "CUDA out of memory. Tried to allocate 2 GiB.", {"first": 1}),
        (endless, "timed out", "ended after 1 s", {"first": 1}),
        (failing, "failed", "ValueError: no such thing", {}),
        (failing_in_part, "failed", "parts: first", {"second": "nan"}),
        (dying, "failed", "its process ended: 7", {}),
        (lambda job, record: record.add(a=1.5), "done", None, {"a": 1.5}),
    ],
)
def test_how_a_step_ends_is_in_its_file(
    tmp_path: Path,
    answer: Callable[[Job, Record], None],
    status: str,
    reason: str | None,
    figures: dict[str, float],
) -> None:
    path = tmp_path / "step.json"
    record = run_step(Step("step", "Why?", 1, 1, answer), CPU, path, 60)
    assert Record.read(path).content == record.content
    assert (record.status, record.reason, record.figures) == (status, reason, figures)


def test_too_little_time_skips_a_step(tmp_path: Path) -> None:
    step = Step("step", "Why?", 30, 60, failing)
    record = run_step(step, CPU, tmp_path / "step.json", 12.3)
    assert record.status == "skipped"
    assert record.reason == "too little time: it needs 30 s, and 12 s are left"


@pytest.mark.slow
def test_a_difference_is_relative_to_the_largest_value() -> None:
    reference = torch.tensor([100.0, -200.0])
    assert checks.difference(reference + torch.tensor([0.0, 1.0]), reference) == 1 / 200
    assert checks.difference(torch.zeros(2), torch.zeros(2)) == 0
    assert checks.difference(torch.tensor([1e-3]), torch.zeros(1)) > 1


def written(folder: Path, **figures: dict[str, object]) -> dict[str, Record]:
    folder.mkdir()
    records = {}
    for step, values in figures.items():
        records[step] = Record.begin(folder / f"{step}.json", step, "Why?")
        records[step].add(**values)
        records[step].close("done", 1.0)
    write_figures(folder, records)
    return read_figures(folder)


def test_goals_are_read_from_the_figures(tmp_path: Path) -> None:
    records = written(
        tmp_path / "run",
        machine={"card": "NVIDIA H100 80GB HBM3", "memory_gb": 85.0},
        resnet50={"cmmanet_to_bare": 0.96, "cmmanet_frames_per_second": 4100.0},
        training={"decoders_14_waiting": 0.02},
        ranking={"rank_device_s": 0.1},
    )
    assert [bar.measured for bar in goals(records)] == [0.96, 4100.0, 0.98, 2.0]
    del records["training"]
    records |= written(tmp_path / "other", machine={"card": "NVIDIA A100", "memory_gb": 40.0})
    assert [bar.measured for bar in goals(records)] == [0.96, None, None, 2.0]


def test_the_table_prints_figures_and_says_what_is_not_there(tmp_path: Path) -> None:
    records = written(
        tmp_path / "run",
        machine={"card": "NVIDIA H100", "date": "2026-12-01", "memory_gb": 85.0},
        resnet50={"cmmanet_ms": 41.234, "cmmanet_to_bare": 0.9614},
        waiting={"training_step_waits": "called a synchronizing CUDA operation"},
        agreement={"loss": {"difference": 2e-3, "tolerance": 1e-4, "holds": False}},
    )
    records["resnet18"] = Record.begin(tmp_path / "resnet18.json", "resnet18", "Why?")
    records["resnet18"].close("timed out", 9, "late")
    lines = [line.strip("|").split("|") for line in report.table([records]).splitlines()]
    # Labels repeat in later sections: the first counts.
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in reversed(lines)}
    assert rows["CMMANet: ms per step"] == ["", "41.2"]
    assert rows["CMMANet's speed over torchvision's"] == ["≥ 0.95", "0.961"]
    assert rows["ranking"] == ["≤ 0.2 s", "not run"]
    assert rows["a training step waits for the device"][1].startswith("**yes**")
    assert "| CMMANet: ms per step |  | timed out |" in report.table([records])
    assert rows["`loss`"] == ["1e-04", "**2.0e-03**"]
    assert "NVIDIA H100, 2026-12-01, resnet18: timed out, late" in report.table([records])


def test_the_committed_table_is_that_of_the_committed_figures() -> None:
    folders = sorted(path for path in report.COMMITTED.glob("*") if path.is_dir())
    page = report.table([read_figures(folder) for folder in folders])
    assert (report.HOME / "FIGURES.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("content", [None, "{", "[]", '{"machine": {"status": "done"}}'])
def test_what_is_no_run_of_the_kit_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "figures.json").write_text(content)
    with pytest.raises(ValueError, match="no figures"):
        read_figures(tmp_path)


def test_every_row_of_the_table_is_a_step_of_the_kit() -> None:
    names = {step.name for step in STEPS}
    assert {row.step for rows in report.TABLE.values() for row in rows} <= names


@pytest.mark.cuda
@pytest.mark.parametrize(
    "check",
    [checks.agreement, checks.waiting, checks.repeatability, checks.finite],
)
def test_on_a_gpu(check: Callable[[Job, Record], None], tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    prepare_device(torch.device("cuda"))
    record = Record.begin(tmp_path / "check.json", "check", "Right?")
    check(Job(torch.device("cuda"), tiny=True, folder=tmp_path), record)
    assert not record.errors
    for name, value in record.figures.items():
        if isinstance(value, dict):
            assert value["holds"], (name, value)
        elif name == "loss_difference":
            assert value <= 1e-3
        elif name.endswith("_waits"):
            assert value is False, (name, value)
        elif name.endswith(("_repeated", "_resumed", "_finite")):
            assert value is True, name
