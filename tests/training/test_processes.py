from pathlib import Path

import pytest
import torch
from training.small import run_script

from cmmanet.training.processes import Processes, joined_processes

pytestmark = pytest.mark.slow


def run(data: Path, result: Path, *launcher: str) -> tuple:
    run_script("one_or_two.py", data, result, launcher=launcher)
    return torch.load(result, weights_only=True)


def test_two_processes_do_as_one(data: Path, tmp_path: Path) -> None:
    one = run(data, tmp_path / "one")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    two = run(data, tmp_path / "two", *launcher)
    for name, value in one[0].items():
        torch.testing.assert_close(two[0][name], value, rtol=1e-6, atol=1e-6)
    for name, gradient in one[1].items():
        difference = (two[1][name] - gradient).abs().max() / gradient.abs().max()
        assert difference < 2e-5, name
    assert len(one[2]) == len(two[2]) > 1
    for means, again in zip(one[2], two[2], strict=True):
        assert again == pytest.approx(means, rel=1e-3, abs=1e-4)
    assert one[3].keys() == two[3].keys(), "the weights' names do not tell how many trained"


def test_three_processes_go_on_to_the_same_bits(data: Path, tmp_path: Path) -> None:
    # The sum of two gradients has one order only.
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3")
    run(data, tmp_path / "three", *launcher)


def test_one_process_meets_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes() as processes:
        assert (processes.index, processes.count, processes.main) == (0, 1, True)
        assert processes.agree("word") == "word"
    assert not torch.distributed.is_initialized()


def test_a_batch_is_shared_whole_and_in_order() -> None:
    clips = list(range(28))
    shares = [clips[Processes(torch.device("cpu"), i, 4).share(28)] for i in range(4)]
    assert [clip for share in shares for clip in share] == clips
    assert {len(share) for share in shares} == {7}
    with pytest.raises(ValueError, match="3 processes cannot share a batch of 28 clips equally"):
        Processes(torch.device("cpu"), 0, 3).share(28)
