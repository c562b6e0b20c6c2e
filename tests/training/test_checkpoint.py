import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn

from cmmanet.training.checkpoint import KEPT, Checkpoint, load_checkpoint, save_checkpoint


def checkpoint(iteration: int) -> Checkpoint:
    network = nn.Conv2d(3, 5, 3)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    network(torch.randn(2, 3, 6, 6)).sum().backward()
    optimiser.step()
    return Checkpoint(
        iteration=iteration,
        network=network.state_dict(),
        optimiser=optimiser.state_dict(),
        sums={"loss": torch.tensor(0.1) * 3},
        seconds=1.5,
        history=[{"loss": 0.1 + 0.2, "epoch": 0.0}],
    )


def complaints(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    said: list[str] = []
    return load_checkpoint(folder, said.append), said


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_comes_back_to_the_bit_and_in_its_memory_format(tmp_path: Path) -> None:
    saved = checkpoint(7)
    save_checkpoint(tmp_path, saved)
    loaded, said = complaints(tmp_path)
    assert loaded is not None and not said
    assert (loaded.iteration, loaded.seconds, loaded.history) == (7, 1.5, saved.history)
    assert torch.equal(loaded.network["weight"], saved.network["weight"])
    assert torch.equal(loaded.sums["loss"], saved.sums["loss"])
    for name in ("exp_avg", "exp_avg_sq"):
        moment = loaded.optimiser["state"][0][name]
        assert torch.equal(moment, saved.optimiser["state"][0][name])
        assert moment.is_contiguous(memory_format=torch.channels_last)


def test_none_where_nothing_was_saved(tmp_path: Path) -> None:
    assert complaints(tmp_path / "missing") == (None, [])


def test_keeps_the_newest_two(tmp_path: Path) -> None:
    for iteration in (5, 40, 1000, 12345):
        save_checkpoint(tmp_path, checkpoint(iteration))
    assert len(files(tmp_path)) == KEPT == 2
    loaded, _ = complaints(tmp_path)
    assert loaded is not None and loaded.iteration == 12345


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "digest"])
def test_a_damaged_one_is_refused_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    for iteration in (1, 2):
        save_checkpoint(tmp_path, checkpoint(iteration))
    newest = tmp_path / files(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = bytearray()
    else:
        content[-1 if damage == "digest" else len(content) // 3] ^= 1
    newest.write_bytes(content)
    loaded, said = complaints(tmp_path)
    assert loaded is not None and loaded.iteration == 1
    assert len(said) == 1 and newest.name in said[0]
    assert said[0].endswith("damaged; going on from the checkpoint before it")

    (tmp_path / files(tmp_path)[0]).write_bytes(b"nothing")
    loaded, said = complaints(tmp_path)
    assert loaded is None and len(said) == 1 and said[0].endswith("going on from the beginning")


def test_damaged_ones_push_out_nothing(tmp_path: Path) -> None:
    for iteration in (900, 1000):
        save_checkpoint(tmp_path, checkpoint(iteration))
    for path in tmp_path.iterdir():
        path.write_bytes(b"rotten")
    assert complaints(tmp_path)[0] is None
    for iteration in (50, 100, 150):
        save_checkpoint(tmp_path, checkpoint(iteration))
    newest = max(tmp_path.glob("*.ckpt"))
    newest.write_bytes(b"rotten as well")
    loaded, said = complaints(tmp_path)
    assert loaded is not None and loaded.iteration == 100 and len(said) == 1


def test_what_a_killed_process_was_writing_is_not_taken(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / "partial").write_bytes(b"half of iteration 2")
    loaded, said = complaints(tmp_path)
    assert loaded is not None and loaded.iteration == 1 and not said
    save_checkpoint(tmp_path, checkpoint(3))
    assert "partial" not in files(tmp_path)


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow past a kilobyte: writing fails as on a full disk, with another number.

    Not even the tests' own log: nothing may be printed meanwhile.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_takes_no_more_leaves_the_older_ones(tmp_path: Path) -> None:
    for iteration in (1, 2):
        save_checkpoint(tmp_path, checkpoint(iteration))
    before = files(tmp_path)
    third = checkpoint(3)
    with pytest.raises(OSError), small_disk():
        save_checkpoint(tmp_path, third)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("folders", "number", "passes"),
    [
        (True, errno.EINVAL, True),
        (True, errno.ENOTSUP, True),
        (True, errno.EBADF, True),
        (True, errno.EACCES, True),
        (True, errno.EIO, False),
        (False, errno.EINVAL, False),
        (False, errno.EIO, False),
    ],
)
def test_a_file_system_that_cannot_synchronise_folders(
    folders: bool, number: int, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if passes else pytest.raises(OSError, match=os.strerror(number)):
        for iteration in range(4):
            save_checkpoint(tmp_path, checkpoint(iteration))
    assert len(files(tmp_path)) == (2 if passes else int(folders))


def test_interrupted_writing_leaves_the_older_ones(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    before = files(tmp_path)
    with patch("os.fsync", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, checkpoint(2))
    with (
        patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")),
        pytest.raises(OSError, match="No space left"),
    ):
        save_checkpoint(tmp_path, checkpoint(2))
    assert files(tmp_path) == before
