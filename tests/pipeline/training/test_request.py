"""What makes two runs the same one, and what another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cmmanet.frames.index import FRAMES
from cmmanet.training.processes import Processes
from pipeline.training import request
from pipeline.training.request import differences, key_of, listed, request_of, resumable
from pipeline.training.run import Run

ONE = Processes(torch.device("cpu"))
MakeRun = Callable[..., Run]


def changed(run: Run, other: Run) -> set[str]:
    """The parts of the request that differ."""
    before, now = request_of(run, ONE), request_of(other, ONE)
    assert (key_of(before) == key_of(now)) == (before == now)
    return {name for name in before if before[name] != now[name]}


def with_plan(run: Run, **changes: Any) -> Run:
    """The run under a plan with changes."""
    return replace(run, plan=run.plan.model_copy(update=changes))


def test_names_counts_and_the_machine_do_not_matter(make_run: MakeRun) -> None:
    run = make_run()
    names = {"arm": "reading-x", "variant": "x", "recipe": "x", "sampler": "x", "trials": 9}
    assert changed(run, with_plan(run, **names)) == set()
    # Trial 1 of seed 0 is trial 0 of seed 1, on the same split.
    assert changed(make_run(1), with_plan(run, seed=1)) == set()
    before = request_of(run, ONE)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert request_of(run, ONE) == before == request_of(run, Processes(torch.device("cuda"), 1, 2))
    torch.set_num_threads(threads)


def test_what_is_declared_matters(make_run: MakeRun) -> None:
    run = make_run()
    assert changed(run, make_run(1)) == {"seed"}
    assert changed(run, make_run(optimiser__lr=0.5)) == {"plan"}
    assert changed(run, make_run(sampling={"draw": "clip"})) == {"plan"}
    assert changed(run, replace(run, rows=run.rows[:3])) == {"data"}
    file = {"path": "a.pth", "sha256": "0" * 64}
    weights = make_run(model__weights=file)
    assert changed(run, weights) == {"plan"}
    assert changed(weights, make_run(model__weights={**file, "path": "b/c.pth"})) == set()
    assert changed(weights, make_run(model__weights={**file, "sha256": "1" * 64})) == {"plan"}


def test_only_the_training_data_matter(make_run: MakeRun) -> None:
    run = make_run()

    def with_archive(name: str) -> Run:
        archives = {**run.data.frames["archives"], name: "another"}
        frames = {**run.data.frames, "archives": archives}
        return replace(run, data=replace(run.data, frames=frames))

    # A zip lists the checksum of each frame: what else changes in it does not matter.
    for name in ("bbox_train.zip", "bbox_test.zip"):
        assert changed(run, with_archive(name)) == set()
    table = pq.read_table(run.data.folder / FRAMES)
    row = int(run.data.tracklets.first[run.rows[0]])
    crc = table["crc"].to_numpy().copy()
    crc[row] ^= 1
    place = table.column_names.index("crc")
    pq.write_table(table.set_column(place, "crc", pa.array(crc)), run.data.folder / FRAMES)
    before = request_of(run, ONE)  # of the file before: it was read already
    request._frames.cache_clear()
    assert request_of(run, ONE)["data"] != before["data"]
    request._frames.cache_clear()
    pq.write_table(table, run.data.folder / FRAMES)
    pid = run.data.tracklets.pid.copy()
    pid[0] += 1
    data = replace(run.data, tracklets=replace(run.data.tracklets, pid=pid))
    assert changed(run, replace(run, data=data)) == {"data"}


def test_code_and_versions_matter(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    before = request_of(run, ONE)
    assert "cmmanet.losses" in before["code"] and "pipeline.training.run" in before["code"]
    assert not [name for name in before["code"] if "store" in name or "diagnosis" in name]
    assert "+" not in before["versions"]["torch"]

    monkeypatch.setattr(request, "version", lambda name: "2.15.1+cu130")
    patched = request_of(run, ONE)
    monkeypatch.setattr(request, "version", lambda name: "2.15.0")
    old = request_of(run, ONE)
    monkeypatch.setattr(request, "version", lambda name: "2.16.0")
    new = request_of(run, ONE)
    assert len({key_of(each) for each in (patched, old, new)}) == 3
    # An interrupted run goes on with another patch version.
    assert resumable(patched, ONE) == resumable(old, ONE) != resumable(new, ONE)


def test_processes_matter_where_they_normalise_apart(make_run: MakeRun) -> None:
    run = make_run()
    two = Processes(torch.device("cpu"), 0, 2)
    assert request_of(run, two) == {**request_of(run, ONE), "processes": 2}
    # On CUDA the numbers differ in their last bits: one is not resumed as the other.
    one, four = (Processes(torch.device("cuda"), 0, count) for count in (1, 4))
    asked = request_of(run, one)
    assert resumable(asked, one) != resumable(asked, four)


def test_differences_are_readable() -> None:
    before = {"plan": {"optimiser": {"lr": 0.002}, "milestones": (2,)}, "seed": 1, "gone": 2}
    now = {"plan": {"optimiser": {"lr": 0.001}, "milestones": [2]}, "seed": 1}
    changes = differences(before, now)
    assert changes == ["plan.optimiser.lr 0.002 (now 0.001)", "gone 2 (now nothing)"]
    assert listed(changes) == ", ".join(changes)
    assert listed(list("abcdef")) == "a, b, c, d and 2 more"
