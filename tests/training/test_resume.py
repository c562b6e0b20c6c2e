"""An interrupted training ends with the bits of one that never was."""

import json
from pathlib import Path

import pytest
import torch
from training.small import run_script

pytestmark = pytest.mark.slow

KILLS = 8


def end_of_training(data: Path, folder: Path, kills: int) -> tuple[list[list[int]], tuple]:
    folder.mkdir()
    printed = run_script("interruptible.py", data, folder / "state", folder / "result", kills, 7)
    return json.loads(printed), torch.load(folder / "result", weights_only=True)


def test_killed_at_random_moments_it_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    _, (weights, history) = end_of_training(data, tmp_path / "whole", 0)
    lives, (weights_again, history_again) = end_of_training(data, tmp_path / "killed", KILLS)

    assert len(lives) == KILLS + 1
    begun = [iteration for iteration, _ in lives]
    assert begun == sorted(begun) and len(set(begun)) > KILLS / 2, "it went on, again and again"
    assert any(iteration % 5 for iteration in begun), "within an epoch too"
    assert weights.keys() == weights_again.keys()
    for name, value in weights.items():
        assert torch.equal(value, weights_again[name]), name
    assert history == history_again
