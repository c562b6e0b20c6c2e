"""Stage plan: validate params.yaml and resolve it into one small file an arm."""

from __future__ import annotations

import shutil

from cmmanet.params import load_params, plans
from pipeline.parts import workspace
from pipeline.parts.command import run


def main() -> None:
    """Validate params.yaml and write plan/: everything that each later stage depends on."""
    params = load_params(workspace.PARAMS)
    files = plans(params)
    shutil.rmtree(workspace.plan_file(""), ignore_errors=True)
    for name, plan in files.items():
        workspace.write_json(workspace.plan_file(name), plan.model_dump(mode="json"))
    print(f"{len(params.arms)} arms on {', '.join(params.datasets)}; headline: {params.headline}")


if __name__ == "__main__":
    run(main)
