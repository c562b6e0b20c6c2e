"""A dataset as later stages open it."""

from pathlib import Path

import pytest

from pipeline.parts import workspace
from pipeline.parts.indexed_data import open_dataset, open_training_data


def test_index_trials_and_frames_of_a_dataset(project: Path) -> None:
    opened = open_dataset("mars")
    assert opened.folder == Path("data/mars")
    assert opened.trials["protocol"] == "mars"
    assert opened.raw == workspace.raw_folder() / "mars"
    assert len(opened.open_frames().read(0)) > 0


def test_training_data_name_only_the_archives_that_training_reads(project: Path) -> None:
    archives = open_dataset("mars").frames["archives"]
    training = open_training_data("mars")
    assert training.frames["archives"] == {**archives, "bbox_test.zip": None}
    row = int(training.tracklets.first[training.trials["splits"][0]["train"][0]])
    assert len(training.open_frames().read(row)) > 0


def test_what_is_not_there_names_its_stage(project: Path) -> None:
    (project / "data" / "mars" / "trials.json").unlink()
    with pytest.raises(FileNotFoundError, match="run the stage split mars"):
        open_dataset("mars")
