"""From rankings to figures, by networks that nobody trained."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.metrics import Scoring
from cmmanet.frames.decode import read_frames
from cmmanet.training.device import choose_runtime
from pipeline import compare, curves, embed, evaluate, figures, retrievals
from pipeline.parts import attention_figures
from pipeline.parts.attention_viewer import AttentionViewer
from pipeline.parts.indexed_data import open_dataset
from pipeline.parts.query_tables import read_queries
from pipeline.parts.trained_network import load_trained

pytestmark = pytest.mark.slow

ARMS = ("multi_mam", "cmmanet-random_interval")
HEADLINE = Scoring("cosine", "dense")


class Kept(list[tuple[str, str]]):
    """Which run was given which artifact."""

    def artifact(self, run: str, file: Path) -> None:
        assert file.is_file()
        self.append((run, file.name))


@pytest.fixture
def evaluated(
    project: Path,
    draw_runs: Callable[[str, str, Sequence[int]], None],
    untracked: object,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Kept]:
    """Ranks both arms on a dataset, with histories; its tracklets are short."""
    monkeypatch.setattr(attention_figures, "FRAMES", 2)
    kept = Kept()
    monkeypatch.setattr(figures, "Tracker", lambda **_: kept)

    def ready(dataset: str) -> Kept:
        for seed, arm in enumerate(ARMS):
            draw_runs(dataset, arm, [seed, 10 + seed])
            embed.main(dataset, arm)
            evaluate.main(dataset, arm)
            for trial in (0, 1):
                history = f"epoch,iterations,loss,accuracy\n0,2,{4 + trial}.125,0.10\n1,4,3,0.2\n"
                (project / f"runs/{dataset}/{arm}/trial-0{trial}/history.csv").write_text(history)
        for stage in (compare, curves, retrievals):
            stage.main(dataset)
        return kept

    return ready


def write_masks(project: Path, hidden: Callable[[str], bool]) -> None:
    """Label maps of all frames; occluded are those whose member name says so."""
    raw = open_dataset("mars").raw
    for split in ("train", "test"):
        with (
            zipfile.ZipFile(raw / f"bbox_{split}.zip") as frames,
            zipfile.ZipFile(raw / f"masks_{split}.zip", "w") as masks,
        ):
            for name in frames.namelist():
                labels = np.full((32, 16), Part.TORSO, np.uint8)
                labels[3, 4] = Part.OCCLUDER if hidden(name) else Part.TORSO
                buffer = io.BytesIO()
                Image.fromarray(labels).save(buffer, "PNG")
                masks.writestr(f"{name.removesuffix('.jpg')}.png", buffer.getvalue())


def listed(dataset: str) -> dict[str, Any]:
    content = json.loads(Path(f"reports/figures/{dataset}/figures.json").read_text())
    return {f"{entry['title']} {entry['paper']}": entry for entry in content}


def check_curves(dataset: str, project: Path) -> None:
    table = pd.read_csv(project / f"curves/{dataset}/cmc.csv")
    assert list(table.columns) == ["arm", "rank", "cmc"]
    trials = json.loads((project / f"data/{dataset}/trials.json").read_text())
    ranks = min(50, len(trials["splits"][0]["gallery"]))
    assert len(table) == len(ARMS) * ranks
    for row in table.itertuples():
        queries = read_queries(dataset, str(row.arm), HEADLINE)
        shares = [
            (queries[queries["trial"] == trial]["first_right_rank"] <= row.rank).mean()
            for trial in (0, 1)
        ]
        assert row.cmc == pytest.approx(sum(shares) / 2)
    text = (project / f"curves/{dataset}/training.csv").read_text().splitlines()
    assert text[0] == "arm,trial,iterations,epoch,loss,accuracy"
    assert text[1] == "multi_mam,0,2,0,4.125,0.10", "as training wrote it"
    assert len(text) == 1 + len(ARMS) * 2 * 2


def check_retrievals(dataset: str, project: Path) -> None:
    found = json.loads((project / f"retrievals/{dataset}.json").read_text())
    opened = open_dataset(dataset)
    split = opened.trials["splits"][opened.trials["trials"][0]]
    pid, camera = opened.tracklets.pid, opened.tracklets.camera
    assert found["arms"] == list(ARMS) and found["scoring"] == str(HEADLINE)
    assert sorted(query["row"] for query in found["queries"]) == sorted(split["query"]), (
        "all of few"
    )
    shown = set()
    for arm in ARMS:
        table = read_queries(dataset, arm, HEADLINE)
        table = table[table["trial"] == 0].set_index("query")
        for query in found["queries"]:
            answer = query["answers"][arm]
            asked = query["row"]
            assert answer["ap"] == table["ap_trapezoid"][asked]
            first = table["first_right_rank"][asked]
            assert answer["first_right_rank"] == first == answer["right"].index(True) + 1
            allowed = [
                row
                for row in split["gallery"]
                if pid[row] != -1 and (pid[row], camera[row]) != (pid[asked], camera[asked])
            ]
            assert sorted(answer["rows"]) == sorted(allowed), "fewer than ten are all"
            assert answer["right"] == [bool(pid[row] == pid[asked]) for row in answer["rows"]]
            assert answer["distances"] == sorted(answer["distances"])
            shown |= {asked, *answer["rows"]}
    assert {int(row) for row in found["tracklets"]} == shown
    names = pq.read_table(project / f"data/{dataset}/frames.parquet")["name"].to_pylist()
    for query in found["queries"]:
        assert names[opened.tracklets.first[query["row"]]].endswith(f"/{query['name']}")
    headline = [query["answers"][ARMS[1]]["ap"] for query in found["queries"]]
    assert headline == sorted(headline)
    assert all(
        tracklet["image"].startswith("data:image/jpeg;base64,")
        for tracklet in found["tracklets"].values()
    )
    before = (project / f"retrievals/{dataset}.json").read_bytes()
    retrievals.main(dataset)
    assert (project / f"retrievals/{dataset}.json").read_bytes() == before


def check_fall(caption: str) -> None:
    """Means over all frames of the tracklet, as the stage attention would look at them."""
    opened = open_dataset("mars")
    trained = load_trained(Path(f"runs/mars/{ARMS[1]}/trial-00"))
    tracklets = opened.tracklets
    names = pq.read_table("data/mars/frames.parquet")["name"].to_pylist()
    (row,) = (
        row for row, first in enumerate(tracklets.first)
        if f"first frame {names[first].rpartition('/')[2]}" in caption
    )  # fmt: skip
    rows = range(tracklets.first[row], tracklets.first[row] + tracklets.length[row])
    runtime = choose_runtime(trained.plan.precision)
    network = for_inference(trained.network.to(runtime.device), runtime.precision)
    pixels = torch.from_numpy(read_frames(opened.open_frames(), rows, *trained.plan.view))
    with runtime.autocast():
        maps = attention_maps(network, pixels.permute(0, 3, 1, 2))[0].cpu()
    found = AttentionViewer("mars", opened).attention(ARMS[1], "3", rows)
    np.testing.assert_array_equal(found, maps)
    maxima: dict[bool, list[list[float]]] = {True: [], False: []}
    for frame, of_frame in zip(rows, maps, strict=True):
        maxima["F002" in names[frame]].append([float(one.max()) for one in of_frame])
    shown, hidden = len(maxima[False]), len(maxima[True])
    assert f"the tracklet's {shown} visible and {hidden} occluded frames" in caption
    for number, (visible, occluded) in enumerate(
        zip(zip(*maxima[False], strict=True), zip(*maxima[True], strict=True), strict=True), 1
    ):
        means = f"{sum(visible) / shown:.3f} and {sum(occluded) / hidden:.3f}"
        assert f"submodule {number} {means}" in caption


Ready = Callable[[str], Kept]


@pytest.mark.parametrize("dataset", ["mars", "ilids-vid"])
def test_curves_and_retrievals_agree_with_the_rankings(
    dataset: str, evaluated: Ready, project: Path
) -> None:
    evaluated(dataset)
    check_curves(dataset, project)
    check_retrievals(dataset, project)


def test_figures_without_masks(evaluated: Ready, project: Path) -> None:
    kept = evaluated("ilids-vid")
    figures.main("ilids-vid")
    entries = listed("ilids-vid")
    folder = project / "reports/figures/ilids-vid"
    files = {entry["file"] for entry in entries.values()}
    assert files == {
        "attention-with-and-without-stage3.png", "attention-with-and-without-stage4.png",
        "attention-two-grains.png", "attention-occlusion.png", "cmc.png", "training.png",
        "retrievals.png",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == files | {"figures.json"}
    for entry in entries.values():
        assert Image.open(folder / entry["file"]).width >= 200
        assert entry["caption"] and entry["alt"]
    weights = entries["Maximum weights over a tracklet Fig. 3"]["caption"]
    assert "Nobody has marked which frames are occluded." in weights and "visible" not in weights
    chosen = entries["Attention of both MAMs Fig. 1b"]["caption"].partition(" Tracklet: ")[2]
    assert weights.endswith(chosen), "not chosen for its weights"
    assert ("arm", "cmc.png") in kept and len(kept) == len(files) + 1, "of both arms"
    strip = entries["Best and worst answers None"]["caption"]
    assert "At the same average precision the query whose first right answer comes later" in strip
    assert "at the same distance a wrong answer comes before a right one." in strip
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures.main("ilids-vid")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_figures_with_masks(evaluated: Ready, project: Path) -> None:
    evaluated("mars")
    write_masks(project, lambda name: name.startswith("bbox_test/0004/0004C1") and "F002" in name)
    figures.main("mars")
    entries = listed("mars")
    occluded = entries["Maximum weights under occlusion Fig. 3"]["caption"]
    assert "pid 4, camera 1, first frame 0004C1" in occluded and "first row), 0.50." in occluded
    check_fall(occluded)
    tracklets = open_dataset("mars").tracklets
    precision = {
        int(row.query): float(row.ap_trapezoid)
        for row in read_queries("mars", ARMS[1], HEADLINE).query("trial == 0").itertuples()
    }
    in_order = sorted(precision.values())
    median = in_order[(len(in_order) - 1) // 2]
    row = min(row for row, ap in precision.items() if ap == median)
    caption = entries["Attention of both MAMs Fig. 1b"]["caption"]
    assert f"pid {tracklets.pid[row]}, camera {tracklets.camera[row]}, first frame" in caption


def test_what_cannot_be_drawn_is_said(
    evaluated: Ready, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated("ilids-vid")
    path = project / "plan/report.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps(plan | {"arms": [ARMS[1]]}))
    figures.main("ilids-vid")
    entry = listed("ilids-vid")["Attention with and without the loss Fig. 1a"]
    assert entry["file"] is None and entry["caption"] == "not drawn: multi_mam not in the plan"
    monkeypatch.setattr(attention_figures, "FRAMES", 100)
    figures.main("ilids-vid")
    missing = [entry for entry in listed("ilids-vid").values() if entry["file"] is None]
    assert [entry["paper"] for entry in missing] == ["Fig. 1a", "Fig. 1b", "Fig. 3"]
    assert "no query of trial 0 has 100 frames" in missing[0]["caption"]
    files = {path.name for path in (project / "reports/figures/ilids-vid").iterdir()}
    assert files == {"cmc.png", "training.png", "retrievals.png", "figures.json"}


def test_an_arm_without_a_mam_has_no_heatmaps() -> None:
    plan: Any = SimpleNamespace(arms=ARMS, headline="a")

    def looking(*stages: str) -> Any:
        return SimpleNamespace(stages=lambda arm: list(stages))

    subject: Any = None
    (entry,) = attention_figures._with_and_without(plan, looking(), subject)
    assert entry.content is None and "no MAM behind the same stage" in entry.caption
    entry = attention_figures._two_grains("a", looking("4"), subject)
    assert entry.caption == "not drawn: a has no two MAMs"
    opened: Any = None
    entry = attention_figures._occlusion("a", looking(), opened, [], subject)
    assert entry.caption == "not drawn: a has no MAM"


def test_means_are_of_the_visible_frames_and_then_of_the_occluded() -> None:
    weights = np.array([[0.5, 0.25], [0.75, 0.25], [0.125, 1.0]], np.float32)
    told = attention_figures._fall(weights, np.array([False, False, True]))
    assert "2 visible and 1 occluded frames, shown here or not" in told
    assert "submodule 1 0.625 and 0.125, submodule 2 0.250 and 1.000." in told


@pytest.mark.parametrize(("hidden", "word"), [(True, "All"), (False, "None")])
def test_a_tracklet_of_one_kind_of_frames_has_nothing_to_compare(hidden: bool, word: str) -> None:
    weights = np.full((3, 2), 0.5, np.float32)
    told = attention_figures._fall(weights, np.full(3, hidden))
    assert told == f"{word} of the tracklet's frames are occluded."


def test_missing_inputs_name_the_stage_to_run(
    evaluated: Ready, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated("mars")
    monkeypatch.setattr(figures, "attention_figures", lambda *_: [])  # seconds, and not asked for
    for stage, pattern, wanted in (
        (figures, "curves/mars/cmc.csv", "curves mars"),
        (figures, "comparisons/mars.json", "compare mars"),
        (figures, "retrievals/mars.json", "retrievals mars"),
        (retrievals, "embeddings/mars/multi_mam/trial-00.safetensors", "embed mars multi_mam"),
        (curves, "runs/mars/multi_mam/*/history.csv", "train mars multi_mam"),
        (curves, "rankings/mars/multi_mam.parquet", "evaluate mars multi_mam"),
    ):
        there = {path: path.read_bytes() for path in project.glob(pattern)}
        assert there
        for path in there:
            path.unlink()
        with pytest.raises((FileNotFoundError, ValueError), match=f"run the stage {wanted}"):
            stage.main("mars")
        for path, content in there.items():
            path.write_bytes(content)
