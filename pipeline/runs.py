"""The stored runs: which there are, and which no plan uses any more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from cmmanet.params import ArmPlan
from cmmanet.training.processes import Processes
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.indexed_data import open_training_data
from pipeline.training.request import key_of, request_of, resumable
from pipeline.training.run import arm_runs
from pipeline.training.store import RunStore, StoredRun

Prune = Annotated[bool, typer.Option("--prune", help="remove the runs that no plan uses")]
Yes = Annotated[bool, typer.Option("--yes", help="remove them without asking")]

_ONE = Processes(torch.device("cpu"))


def main(prune: Prune = False, yes: Yes = False) -> None:
    """List the stored runs: name, seed, size, date, and whether a plan in plan/ uses them.

    A run is named after the arm that it was first trained for; others may use it too. Recorded
    results lose nothing with the store: DVC has their runs.
    """
    store = RunStore(workspace.run_store())
    wanted = _wanted()
    runs = list(store.runs())
    unused = [stored for stored in runs if _use(stored.request, stored.finished) not in wanted]
    for stored in runs:
        print(_in_words(stored, used=stored not in unused))
    total = sum(_size(stored.folder) for stored in runs)
    print(f"{store.root}: {len(runs)} runs, {total / 1e6:,.0f} MB; {len(unused)} are not in use")
    if not prune:
        return
    folders = [each.folder for each in unused if each.finished or not store.is_leased(each)]
    folders += store.leftovers()
    question = f"Remove {len(folders)} folders, {sum(map(_size, folders)) / 1e6:,.0f} MB?"
    try:
        agreed = bool(folders) and (yes or typer.confirm(question))
    except typer.Abort:
        raise ValueError("nobody answered, so nothing is removed; --yes answers") from None
    for folder in folders if agreed else []:
        shutil.rmtree(folder)
        print(f"removed {folder}")


def _wanted() -> set[str]:
    """Return what the runs of all plans ask for."""
    files = sorted(workspace.plan_file("").glob("*/*.json"))
    plans = [
        workspace.read_plan(ArmPlan, f"{path.parent.name}/{path.name}")
        for path in files
        if path.parent.name != "code" and path.stem not in ("data", "split", "claims")
    ]
    if not plans:
        raise FileNotFoundError("plan: not there; run `python -m pipeline.plan` first")
    data = {name: open_training_data(name) for name in {plan.dataset for plan in plans}}
    runs = [each for plan in plans for each in arm_runs(plan, data[plan.dataset])]
    requests = [request_of(each, _ONE) for each in runs]
    return {_use(request, finished) for request in requests for finished in (True, False)}


def _use(request: Mapping[str, Any], finished: bool) -> str:
    """Return a key that is the same for every machine and number of processes."""
    asked = request if finished else resumable(request, _ONE)
    return key_of({k: value for k, value in asked.items() if k not in ("processes", "machine")})


def _in_words(stored: StoredRun, *, used: bool) -> str:
    newest = max(path.stat().st_mtime for path in stored.folder.iterdir())
    date = datetime.fromtimestamp(newest, UTC).astimezone()
    return (
        f"{stored.key[:8]}  {stored.label:<44}  seed {stored.request['seed']:<4}  "
        f"{_size(stored.folder) / 1e6:>7,.1f} MB  {date:%Y-%m-%d %H:%M}  "
        f"{'' if used else 'not '}in use{'' if stored.finished else ', unfinished'}"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    run(main)
