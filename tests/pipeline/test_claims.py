"""Attention is measured on a rendered dataset and on others, and the claims judged from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from cmmanet.datasets.rendered.canvas import Part
from cmmanet.evaluation.attention.labels import open_labels, read_labels
from cmmanet.evaluation.attention.observe import attention_maps
from cmmanet.evaluation.attention.table import BOUND, COLUMNS, KEYS, OF_PARTS
from cmmanet.frames.decode import read_frames
from cmmanet.reporting.claims_table import comparisons_table, measures_tables, summary_table
from pipeline import attention, claims, fetch, index, plan, split
from pipeline.parts import workspace
from pipeline.parts.indexed_data import open_dataset
from pipeline.parts.trained_network import load_trained

pytestmark = pytest.mark.slow

Draw = Callable[[str, str, Sequence[int]], None]

RENDER = {
    "train_identities": 2,
    "test_identities": 5,
    "distractors": 1,
    "junk": 1,
    "cameras": 2,
    "tracklets_per_camera": 1,
    "frames_min": 3,
    "frames_max": 5,
    "occlusion": 0.6,
    "height": 64,
    "width": 32,
    "seed": 1,
}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture
def rendered(project: Path) -> None:
    """A rendered dataset as well, with arms of every kind."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["datasets"] = ["synthetic"]
    params["arms"] = ["baseline", "single_mam", *params["arms"], "cmmanet-restricted"]
    # A headline of another sampler: the loss is still compared under one.
    params["sampler"] = "restricted"
    params["cross"] = []
    params["data"]["synthetic"] |= {"trials": 2, "render": RENDER}
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    plan.main()
    for stage in (fetch, index, split):
        stage.main("synthetic")


def nearest(pixels: int, cells: int) -> np.ndarray:
    """Which cell a pixel belongs to [cells, pixels]: that with the nearest centre, 16 apart."""
    away = np.abs(np.arange(pixels) - 16 * np.arange(cells)[:, None])
    near = away == away.min(0)
    return near / near.sum(0)


def test_rendered_data(rendered: None, draw_runs: Draw) -> None:
    arms = (
        "baseline", "single_mam", "multi_mam", "cmmanet-random_interval", "cmmanet-restricted",
    )  # fmt: skip
    for place, arm in enumerate(arms):
        draw_runs("synthetic", arm, [2 * place, 2 * place + 1])
        attention.main("synthetic", arm)
    table = pd.read_parquet(workspace.attention_file("synthetic", "multi_mam"))
    assert tuple(table.columns) == (*KEYS, *COLUMNS)
    opened = open_dataset("synthetic")
    query = opened.trials["splits"][0]["query"]
    for trial in (0, 1):
        for stage, cells in ((3, 8), (4, 2)):
            part = table[(table["trial"] == trial) & (table["stage"] == stage)]
            assert part["query"].tolist() == query and set(part["cells"]) == {cells}
            assert part["pid"].tolist() == opened.tracklets.pid[query].tolist()

    # One query again, frame by frame.
    row = query[-1]
    store, labels = opened.open_frames(), open_labels(opened.folder, opened.raw)
    assert labels is not None
    first, length = int(opened.tracklets.first[row]), int(opened.tracklets.length[row])
    network = load_trained(workspace.run_folder("synthetic", "multi_mam") / "trial-01").network
    shares, entropies = [], []
    for frame in range(first, first + length):
        pixels = torch.from_numpy(read_frames(store, [frame], 64, 32)).permute(0, 3, 1, 2)
        maps = attention_maps(network, pixels)[0][0].numpy()
        blank = read_labels(labels, [frame])[0] == Part.BACKGROUND
        down, across = nearest(64, 4), nearest(32, 2)
        share = down @ blank @ across.T / np.outer(down.sum(1), across.sum(1))
        shares.append((maps * share).sum((1, 2)).mean())
        entropies.append((-maps * np.log(maps)).sum((1, 2)).mean() / np.log(8))
    found = table[(table["trial"] == 1) & (table["stage"] == 3) & (table["query"] == row)]
    assert found["background"].item() == pytest.approx(np.mean(shares), abs=1e-5)
    assert found["entropy"].item() == pytest.approx(np.mean(entropies), abs=1e-5)
    assert found["uniform_entropy"].item() == pytest.approx(1)

    assert len(pd.read_parquet(workspace.attention_file("synthetic", "baseline"))) == 0
    before = workspace.attention_file("synthetic", "multi_mam").read_bytes()
    attention.main("synthetic", "multi_mam")
    assert workspace.attention_file("synthetic", "multi_mam").read_bytes() == before

    claims.main("synthetic")
    content = workspace.read_json(workspace.claims_file("synthetic"), "claims")
    assert content["dataset"] == "synthetic" and content["masks"]
    known = table[(table["trial"] == 0) & (table["stage"] == 3)]["occluder"].notna().sum()
    assert content["occluded"] == known > 0
    steps = {claim["after"]["arm"] for claim in content["claims"] if claim["kind"] == "loss"}
    assert steps == {"cmmanet-random_interval"}, "single_mam_con was not run"
    names = [table.name for table in measures_tables("synthetic", content)]
    assert "synthetic-attention-after-stage-3" in names


@pytest.mark.parametrize("dataset", ["mars", "ilids-vid"])
def test_data_without_masks(project: Path, draw_runs: Draw, dataset: str) -> None:
    for place, arm in enumerate(("multi_mam", "cmmanet-random_interval")):
        draw_runs(dataset, arm, [2 * place, 2 * place + 1])
        attention.main(dataset, arm)
    table = pd.read_parquet(workspace.attention_file(dataset, "multi_mam"))
    assert table[sorted(OF_PARTS)].isna().all(axis=None)
    each = {f"{kind}{name}" for kind in ("", "uniform_", "fixed_") for name in OF_PARTS}
    of_parts = {*each, BOUND}
    assert set(table.columns[table.isna().any()]) == of_parts
    claims.main(dataset)
    content = workspace.read_json(workspace.claims_file(dataset), "claims")
    assert not content["masks"]
    verdicts = {claim["measure"]: claim["verdict"] for claim in content["claims"]}
    unmeasured = {m for m, v in verdicts.items() if v == "not measured: no masks"}
    assert unmeasured == OF_PARTS - {"background"}
    assert (content["test_to_train"] is None) == (dataset == "mars")
    assert len(comparisons_table(dataset, content).rows) == len(content["claims"])
    assert summary_table(dataset, content).rows and measures_tables(dataset, content)


def test_what_is_missing_is_named(project: Path, draw_runs: Draw) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage attention mars multi_mam first"):
        claims.main("mars")
    with pytest.raises(FileNotFoundError, match="run the stage train first"):
        attention.main("mars", "multi_mam")
    assert not workspace.attention_file("mars", "multi_mam").exists()
