"""The occlusion study in one process: a few rendered people, networks that nobody trained."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from PIL import Image
from reporting import made_up

from cmmanet.datasets.rendered import synthetic
from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.records import OcclusionResult
from pipeline import embed, evaluate, fetch, index, plan
from pipeline import split as stage_split
from pipeline.parts import workspace
from pipeline.parts.results import read_result
from pipeline.studies import occluded, occlusion, occlusion_table

pytestmark = pytest.mark.slow

ARMS = ("baseline", "cmmanet-random_interval")
LEVELS = [0.0, 0.5, 1.0]
RENDER = {
    "train_identities": 3,
    "test_identities": 6,
    "distractors": 2,
    "junk": 1,
    "cameras": 2,
    "tracklets_per_camera": 2,
    "frames_min": 2,
    "frames_max": 5,
    "occlusion": 0.5,
    "height": 64,
    "width": 32,
    "seed": 3,
}

Draw = Callable[[str, str, Sequence[int]], None]


@pytest.fixture
def study(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of the other tests with rendered people in place of its datasets."""
    # Rendered here: processes take longer to start than these few people to draw.
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 1)
    change_params(project, datasets=["synthetic"], occlusion=LEVELS, arms=list(ARMS), cross=[])
    return project


def change_params(project: Path, **values: Any) -> None:
    file = project / "params.yaml"
    params = yaml.safe_load(file.read_text()) | values
    params["data"]["synthetic"] |= {"render": RENDER, "trials": 2, "recipe": "demo"}
    file.write_text(yaml.safe_dump(params, sort_keys=False))
    plan.main()


def result_of(level: float, arm: str) -> OcclusionResult:
    path = workspace.occlusion_result_file(level, arm)
    return workspace.read_record(OcclusionResult, path, "studies/occlusion/dvc.yaml")


def index_of(level: float) -> dict[str, Any]:
    folder = workspace.occluded_folder(level)
    return {
        **workspace.read_json(folder / "index.json", "occluded"),
        **workspace.read_json(folder / "frames.json", "occluded"),
    }


def raw_folder_of(level: float) -> Path:
    path = workspace.occluded_folder(level) / "frames.json"
    return workspace.raw_folder() / workspace.read_json(path, "occluded")["folder"]


def members(folder: Path, archive: str) -> dict[str, bytes]:
    with ZipFile(folder / archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_frames_that_nothing_hides_are_the_same_at_every_level(study: Path) -> None:
    fetch.main("synthetic")
    whole = (
        workspace.raw_folder()
        / workspace.read_json(workspace.data_folder("synthetic") / "manifest.json", "fetch")[
            "folder"
        ]
    )
    folders = {}
    for level in LEVELS:
        occluded.main(level)
        folders[level] = raw_folder_of(level)
    assert len({whole, *folders.values()}) == 4
    free = members(folders[0.0], "bbox_test.zip")
    for level, folder in [*folders.items(), (0.5, whole)]:
        frames, hidden = members(folder, "bbox_test.zip"), 0
        labels = members(folder, "masks_test.zip")
        assert list(frames) == list(free)
        for name, picture in frames.items():
            parts = np.asarray(Image.open(io.BytesIO(labels[name.replace(".jpg", ".png")])))
            stranger = "/00-1/" in name or "/0000/" in name
            if (parts == Part.OCCLUDER).any():
                hidden += 1
                assert picture != free[name] and not stranger
            else:
                assert picture == free[name], (level, name)
        people = [name for name in frames if "/00-1/" not in name and "/0000/" not in name]
        counted = index_of(level)
        assert (counted["frames"], counted["occluded"]) == (len(people), hidden)
        assert hidden / len(people) == pytest.approx(level, abs=0.25)
    # Those that arms were trained with: the same level as the dataset's is its own test part.
    assert members(folders[0.5], "bbox_test.zip") == members(whole, "bbox_test.zip")


def test_the_level_of_the_dataset_gives_the_numbers_of_the_dataset(
    study: Path, draw_runs: Draw, untracked: None
) -> None:
    for stage in (fetch, index, stage_split):
        stage.main("synthetic")
    draw_runs("synthetic", "baseline", [0, 1])
    embed.main("synthetic", "baseline")
    evaluate.main("synthetic", "baseline")
    own = read_result("synthetic", "baseline")
    occluded.main(0.5)
    occlusion.main(0.5, "baseline")
    result = result_of(0.5, "baseline")
    assert result.protocol == own.protocol and result.config == own.config
    assert result.level == 0.5
    for run, expected in zip(result.trials, own.trials, strict=True):
        assert (run.seed, run.split) == (expected.seed, expected.split)
        for scoring, values in run.metrics.items():
            assert values == pytest.approx(expected.metrics[scoring], abs=1e-6)
        assert set(expected.metrics) - set(run.metrics) == {
            name for name in expected.metrics if "reranked" in name
        }


def test_page_and_figure_show_every_arm_at_every_level(study: Path, draw_runs: Draw) -> None:
    for arm in ARMS:
        draw_runs("synthetic", arm, [0, 1])
        # Only its warnings are read here.
        trained = made_up.result("synthetic", arm, [0.5, 0.6])
        warned = made_up.changed(trained, {"trials/1/warnings": {"triplet": f"stuck {arm}"}})
        path = workspace.result_file("synthetic", arm)
        workspace.write_json(path, warned.model_dump(mode="json"))
    with pytest.raises(FileNotFoundError, match=r"run the stage occluded 0\.0 first"):
        occlusion.main(0.0, "baseline")
    for level in LEVELS:
        occluded.main(level)
        with pytest.raises(FileNotFoundError, match=r"run `dvc repro studies/occlusion/dvc\.yaml`"):
            occlusion_table.main()
        for arm in ARMS:
            occlusion.main(level, arm)
    occlusion_table.main()
    reports = study / "reports"
    page, numbers, figure = (
        (reports / name).read_bytes()
        for name in ("occlusion.md", "occlusion.json", "occlusion.png")
    )
    shown = workspace.read_json(reports / "occlusion.json", "occlusion_table")
    assert [level["level"] for level in shown["levels"]] == LEVELS
    for arm in ARMS:
        rows = [line for line in page.decode().splitlines() if line.startswith(f"| `{arm}`")]
        assert len(rows) == 6, "of R1, of mAP, and twice judged by both"
        assert f"stuck {ARMS[0]}" in page.decode(), "of several wordings the first arm's"
        for place, level in enumerate(LEVELS):
            result = result_of(level, arm)
            for metric in ("rank1", "map"):
                value = shown["arms"][arm]["levels"][metric][place]["value"]
                assert value == pytest.approx(result.mean["cosine.dense"][metric])
    occlusion_table.main()
    assert (reports / "occlusion.md").read_bytes() == page
    assert (reports / "occlusion.json").read_bytes() == numbers
    assert (reports / "occlusion.png").read_bytes() == figure


def test_what_cannot_be_done_is_told(study: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.7 is not in `occlusion` .* \(0\.0, 0\.5, 1\.0\)"):
        occluded.main(0.7)
    occluded.main(0.0)
    with pytest.raises(FileNotFoundError, match="no trials; run the stage train synthetic base"):
        occlusion.main(0.0, "baseline")
    masks = raw_folder_of(0.0) / "masks_test.zip"
    with ZipFile(masks, "w") as emptied:
        emptied.writestr("other", b"")
    with pytest.raises(ValueError, match=r"no label map .* \(rendered data: delete "):
        occluded.main(0.0)
    masks.unlink()
    with pytest.raises(ValueError, match=r"no label map.* \(rendered data: delete "):
        occluded.main(0.0)
    change_params(study, datasets=["mars"])
    with pytest.raises(ValueError, match=r"add `synthetic` to `datasets` of params\.yaml"):
        occluded.main(0.0)
