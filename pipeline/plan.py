"""Stage plan: validate params.yaml, resolve it into one file per arm, and digest the code."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from cmmanet.params import Params, load_params, plans
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.dependencies import code_of, stage_modules

# A study without arms has no results, and DVC would not start its table without these folders.
_STUDIES = (Path("cross"), Path("readings/rankings"), Path("readings/results"))


def main() -> None:
    """Validate params.yaml and write plan/: everything that each later stage depends on."""
    _refuse_shallow_clone()
    params = load_params(workspace.PARAMS)
    files = plans(params)
    shutil.rmtree(workspace.plan_file(""), ignore_errors=True)
    for name, plan in files.items():
        workspace.write_json(workspace.plan_file(name), plan.model_dump(mode="json"))
    for folder in _STUDIES:
        folder.mkdir(parents=True, exist_ok=True)
    for stage, module in stage_modules().items():
        workspace.write_json(workspace.plan_file(f"code/{stage}.json"), code_of(module))
    runs = len(params.arms) * sum(params.data[name].trials for name in params.datasets)
    print(
        f"{len(params.arms)} arms on {', '.join(params.datasets)}, {runs} runs in all; headline: "
        f"{params.headline}{_duration(params, runs)}"
    )


def _duration(params: Params, runs: int) -> str:
    """Return about how long everything takes where that was measured: on rendered data."""
    data = {name: params.data[name] for name in params.datasets}
    if list(data) != ["synthetic"] or data["synthetic"].recipe != "demo":
        return ""
    # docs/cost.md: 18 runs of 60 iterations in 10.6 minutes.
    seconds = runs * (16 + 0.31 * params.recipes["demo"].schedule.iterations)
    return f"; about {math.ceil(seconds / 60)} minutes on two CPU cores from nothing"


def _refuse_shallow_clone() -> None:
    """Refuse to compute an experiment that DVC would lose without a word.

    An experiment in a temporary copy of a shallow clone does not arrive in the clone.
    """
    root = workspace.root()
    temporary = "DVC_EXP_NAME" in os.environ and Path.cwd().resolve() != root
    if temporary and (root / ".git" / "shallow").is_file():
        raise ValueError(
            f"{root} is a shallow clone, in which DVC loses experiments of --temp and "
            "--queue: run `git fetch --unshallow` there first"
        )


if __name__ == "__main__":
    run(main)
