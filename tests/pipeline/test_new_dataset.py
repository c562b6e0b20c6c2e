"""A dataset in MARS's layout is one entry of the catalogue and one of params.yaml."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from params.edited import changed

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.mars import MarsLayout
from cmmanet.params import Params
from cmmanet.reporting.inputs import title
from pipeline import fetch, index, plan, split
from pipeline.parts import workspace
from pipeline.parts.indexed_data import open_dataset

pytestmark = pytest.mark.slow

CAMPUS = MarsLayout(
    title="Campus",
    source="ask its authors",
    official_counts={
        "train_tracklets": 4,
        "train_frames": 11,
        "train_identities": 2,
        "test_tracklets": 6,
        "test_frames": 16,
        "queries": 4,
    },
    train="campus_train",
    test="campus_test",
)


@pytest.fixture
def campus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Adds the dataset to the catalogue and to a copy of params.yaml."""
    with monkeypatch.context() as patch:
        patch.setitem(DATASETS, "campus", CAMPUS)
        Params.model_rebuild(force=True)
        changed(tmp_path, datasets=["campus"], data__campus={"recipe": "demo", "trials": 2})
        patch.chdir(tmp_path)
        patch.setenv("DVC_ROOT", str(tmp_path))
        patch.setenv("CMMANET_DATA", str(tmp_path))
        yield
    Params.model_rebuild(force=True)


def test_from_plan_to_split(
    campus: None, write_mars: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_mars(folder="campus", parts=("campus_train", "campus_test"))
    plan.main()
    for stage in (fetch, index, split):
        stage.main("campus")
    manifest = workspace.read_json(workspace.data_folder("campus") / "manifest.json", "fetch")
    assert manifest["complete"] and manifest["official_frames"] == 27
    dataset = open_dataset("campus")
    counts = workspace.read_json(dataset.folder / "index.json", "index")
    assert counts["found_frames"] == counts["listed_frames"] == 27
    assert not counts["partial"]
    store = dataset.open_frames()
    assert store.describe(0).startswith("campus_train/0001/0001C1T0001F002.jpg in ")
    assert store.read(0)[:2] == b"\xff\xd8"
    assert dataset.trials["trials"] == [0, 0]
    assert dataset.trials["splits"][0]["query"] == [6, 7, 8, 9]
    assert title("campus") == "Campus"


def test_its_missing_archive_is_named(campus: None, write_mars: Callable[..., Path]) -> None:
    root = write_mars(folder="campus", parts=("campus_train", "campus_test"))
    (root / "campus_test.zip").unlink()
    plan.main()
    with pytest.raises(ValueError, match=r"Campus is incomplete .* campus_test\.zip .* ask its"):
        fetch.main("campus")
