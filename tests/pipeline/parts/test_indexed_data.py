"""A dataset as later stages open it."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from pipeline import fetch, index, split
from pipeline.parts import workspace
from pipeline.parts.indexed_data import open_dataset, open_training_data


def test_index_trials_and_frames_of_a_dataset(project: Path) -> None:
    opened = open_dataset("mars")
    assert opened.folder == Path("data/mars")
    assert opened.trials["protocol"] == "mars"
    assert opened.raw == workspace.raw_folder() / "mars"
    assert len(opened.open_frames().read(0)) > 0


def test_training_data_depend_on_training_frames_alone(project: Path) -> None:
    def digests() -> dict[str, str | None]:
        for stage in (fetch, index, split):
            stage.main("mars")
        return dict(open_training_data("mars").frames["archives"])

    training = open_training_data("mars")
    row = int(training.tracklets.first[training.trials["splits"][0]["train"][0]])
    frame = training.open_frames().read(row)
    before = digests()
    assert before["bbox_train.zip"] is not None and before["bbox_test.zip"] is None

    archive = workspace.raw_folder() / "mars/bbox_train.zip"
    with ZipFile(archive) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    with ZipFile(archive, "w", ZIP_DEFLATED) as written:
        for name, data in members.items():
            written.writestr(name, data)
        written.writestr("bbox_train/0001/another.jpg", b"not listed")
    assert digests() == before
    assert open_training_data("mars").open_frames().read(row) == frame

    changed = next(name for name, data in members.items() if data == frame)
    with ZipFile(archive, "w") as written:
        for name, data in members.items():
            written.writestr(name, data if name != changed else data[:-1] + b"\0")
    assert digests() != before


def test_what_is_not_there_names_its_stage(project: Path) -> None:
    (project / "data" / "mars" / "trials.json").unlink()
    with pytest.raises(FileNotFoundError, match="run the stage split mars"):
        open_dataset("mars")
