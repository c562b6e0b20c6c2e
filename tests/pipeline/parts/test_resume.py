import json
import multiprocessing
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.parts.resume import kept

NAME = "synthetic-baseline"
IDENTITY = {"plan": {"optimiser": {"lr": 0.002}, "arm": "baseline"}, "data": "abc", "threads": 2}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    yield tmp_path


def finish(folder: Path, trial: int) -> None:
    (folder / f"trial-{trial:02d}").mkdir()
    (folder / f"trial-{trial:02d}/weights").write_text(f"of trial {trial}")


def test_what_an_interruption_leaves_is_found_again(root: Path) -> None:
    with kept(NAME, IDENTITY, pytest.fail) as left:
        finish(left.folder, 0)
        left.track("arm", "run1")
        left.track("0", "run2")
    with kept(NAME, dict(reversed(IDENTITY.items())), pytest.fail) as again:
        assert again.folder == left.folder and again.folder.parent == root / ".checkpoints"
        assert again.trial(0).is_dir() and not again.trial(1).exists()
        assert again.tracked() == {"arm": "run1", "0": "run2"}


def test_anything_changed_starts_afresh_and_says_what() -> None:
    with kept(NAME, IDENTITY, pytest.fail) as first:
        finish(first.folder, 0)
    said: list[str] = []
    changed = {**IDENTITY, "plan": {"optimiser": {"lr": 0.001}, "arm": "baseline"}, "threads": 4}
    with kept(NAME, changed, said.append) as second:
        assert second.folder != first.folder and not second.trial(0).exists()
        finish(second.folder, 0)
    assert len(said) == 1 and str(first.folder.name) in said[0]
    assert "had plan.optimiser.lr 0.002 (now 0.001), threads 2 (now 4);" in said[0]
    # Once only; an arm whose name begins alike is another, and one that is open not interrupted.
    with kept(NAME, changed, pytest.fail), kept(NAME + "-restricted", changed, pytest.fail):
        pass
    with (
        kept(NAME, changed, pytest.fail),
        kept(NAME, IDENTITY, pytest.fail),
        kept(NAME, {**IDENTITY, "data": "def"}, pytest.fail),
    ):
        pass


def test_what_failed_before_it_began_leaves_nothing(root: Path) -> None:
    with pytest.raises(ValueError), kept(NAME, IDENTITY, pytest.fail) as left:
        left.track("arm", "run1")
        raise ValueError
    assert [path.name for path in (root / ".checkpoints").iterdir()] == ["locks"]


def test_several_processes_do_not_wait(root: Path) -> None:
    with (
        kept(NAME, IDENTITY, pytest.fail),
        pytest.raises(BlockingIOError, match="being done by another process"),
        kept(NAME, IDENTITY, pytest.fail, wait=False),
    ):
        pass


def test_finished_trials_are_handed_over_whole_and_the_rest_forgotten(root: Path) -> None:
    target = root / "runs/synthetic/baseline"
    target.mkdir(parents=True)
    (target / "old").touch()
    with kept(NAME, IDENTITY, pytest.fail) as left:
        for trial in (0, 1):
            finish(left.folder, trial)
        left.checkpoints(1).mkdir()
        left.hand_over(target)
    assert sorted(path.name for path in target.iterdir()) == ["trial-00", "trial-01"]
    assert (target / "trial-01/weights").read_text() == "of trial 1"
    assert [path.name for path in (root / ".checkpoints").iterdir()] == ["locks"]


def test_half_removed_is_not_taken_for_whole(root: Path) -> None:
    with kept(NAME, IDENTITY, pytest.fail) as left:
        finish(left.folder, 0)
        interrupted = patch("shutil.rmtree", side_effect=[None, KeyboardInterrupt])
        with interrupted, pytest.raises(KeyboardInterrupt):
            left.forget()
    with kept(NAME, IDENTITY, pytest.fail) as again:
        assert not again.trial(0).exists()


def test_a_full_disk_at_the_end_loses_nothing(root: Path) -> None:
    target = root / "runs/synthetic/baseline"
    with kept(NAME, IDENTITY, pytest.fail) as left:
        finish(left.folder, 0)
        full = shutil.Error([("a", "b", "[Errno 28] No space left on device")])
        with patch("shutil.copytree", side_effect=full), pytest.raises(OSError) as caught:
            left.hand_over(target)
    assert "No space left" in str(caught.value) and "run the same command again" in str(
        caught.value
    )
    assert not target.exists() and not list(target.parent.iterdir())
    with kept(NAME, IDENTITY, pytest.fail) as again:
        again.hand_over(target)
    assert (target / "trial-00/weights").is_file()


def hold(ready: Path) -> None:
    with kept(NAME, IDENTITY, print):
        ready.touch()
        time.sleep(1)
        (ready.parent / "released").touch()


def test_two_processes_never_share_one(root: Path) -> None:
    other = multiprocessing.get_context("fork").Process(target=hold, args=(root / "ready",))
    other.start()
    while not (root / "ready").exists():
        time.sleep(0.01)
    with kept(NAME, IDENTITY, pytest.fail):
        assert (root / "released").exists()
    other.join()
    assert other.exitcode == 0


def test_identity_is_readable(root: Path) -> None:
    with kept(NAME, IDENTITY, pytest.fail) as left:
        assert json.loads((left.folder / "identity.json").read_text()) == IDENTITY
