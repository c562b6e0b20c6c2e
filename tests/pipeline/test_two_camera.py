"""iLIDS-VID's layout with rendered people, from the archive to the tables."""

import importlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, as_png, split_matrix

from cmmanet.datasets.rendered import synthetic
from pipeline.parts.dependencies import stage_modules

pytestmark = pytest.mark.slow

ARMS = ("baseline", "cmmanet-random_interval")


def rendered_people(folder: Path) -> dict[tuple[int, int], list[bytes]]:
    """Frames of ten people before two cameras, drawn by the project's own renderer."""
    synthetic.render(
        folder,
        train_identities=5,
        test_identities=5,
        distractors=0,
        junk=0,
        cameras=2,
        tracklets_per_camera=1,
        frames_min=3,
        frames_max=4,
        occlusion=0.0,
        height=64,
        width=32,
        seed=0,
    )
    sequences: dict[tuple[int, int], list[bytes]] = {}
    for part in ("train", "test"):
        with zipfile.ZipFile(folder / f"bbox_{part}.zip") as archive:
            for name in sorted(archive.namelist()):
                if match := re.fullmatch(r".*/(\d{4})C(\d)T\d+F\d+\.jpg", name):
                    place = int(match[1]), int(match[2])
                    sequences.setdefault(place, []).append(as_png(archive.read(name)))
    return sequences


@pytest.fixture
def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a stage in a folder of its own, in this process; returns what it prints."""
    work = tmp_path / "work"
    work.mkdir()
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params |= {"datasets": ["ilids-vid"], "arms": list(ARMS), "readings": {}}
    params["data"]["ilids-vid"] |= {
        "recipe": "demo",
        "overrides": {"batch": {"identities": 4, "clips": 2}},
        "trials": 2,
    }
    demo = params["recipes"]["demo"]
    demo["image"] = {"height": 64, "width": 32}
    demo["model"] |= {"submodules": 2, "hidden": 8}
    demo["schedule"] |= {"iterations": 3, "warmup": 0, "milestones": [2]}
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    monkeypatch.chdir(work)
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path / "raw"))
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)

    def run(name: str, *arguments: str) -> str:
        importlib.import_module(stage_modules()[name]).main(*arguments)
        return capsys.readouterr().out

    return run


def test_from_archive_to_table(
    stage: Callable[..., str], write_two_camera: Callable[..., Path], tmp_path: Path
) -> None:
    sequences = rendered_people(tmp_path / "rendered")
    tested = [[1, 2, 3, 4]] + [[7, 8, 9, 10]] * 9
    write_two_camera(
        "ilids-vid",
        {place: len(frames) for place, frames in sequences.items()},
        folder="raw/ilids-vid",
        matrix=split_matrix(tested),
        picture=lambda pid, camera, frame: sequences[pid, camera][frame],
    )
    stage("plan")
    fetched = stage("fetch", "ilids-vid")
    assert "ilids-vid: PARTIAL: 10 of 300 people, 20 of 600 sequences; every result" in fetched
    assert "warning: ilids-vid: i-LIDS-VID.tar has md5 " in fetched
    stage("index", "ilids-vid")
    assert "2 trials on 2 splits of train_test_splits_ilidsvid.mat" in stage("split", "ilids-vid")
    for arm in ARMS:
        for name in ("train", "embed", "evaluate", "attention"):
            stage(name, "ilids-vid", arm)
    for name in ("compare", "claims", "curves", "retrievals", "figures"):
        stage(name, "ilids-vid")
    stage("tables")
    stage("page")

    work = tmp_path / "work"
    result = json.loads((work / "results/ilids-vid/baseline.json").read_text())
    assert result["partial"] is True and result["config"]["batch"]["identities"] == 4
    assert [(trial["trial"], trial["split"]) for trial in result["trials"]] == [(0, 0), (1, 1)]
    assert result["data"]["train_tracklets"] == 12 and result["data"]["test_tracklets"] == 8
    frames = result["data"]["train_frames"] + result["data"]["test_frames"]
    assert frames == result["data"]["found_frames"] == sum(map(len, sequences.values()))
    assert (result["protocol"]["query"], result["protocol"]["gallery"]) == (4, 4)
    for trial in result["trials"]:
        assert trial["metrics"]["cosine.dense"]["valid"] == 4

    page = (work / "reports/tables.md").read_text()
    measured = {
        number: re.findall(rf"^\| `({'|'.join(ARMS)})` +\| (.*)$", text, re.MULTILINE)
        for number, text in re.findall(r"^## Table (\w+)\.(.*?)(?=^## )", page, re.M | re.S)
    }
    for number, arms in (("I", ARMS[1:]), ("III", ARMS[1:]), ("V", ARMS[1:])):
        rows = dict(measured[number])
        for arm in arms:
            assert "partial data" in rows[arm] and " ± " in rows[arm], (number, rows)
    assert "protocol two-camera, splits of train_test_splits_ilidsvid.mat (test half:" in " ".join(
        page.split()
    )
    assert "split 0" in page and "split 1" in page
