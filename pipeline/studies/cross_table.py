"""Stage cross_table: the page of cross-dataset results."""

from __future__ import annotations

from typing import Any

from cmmanet.params import CrossPlan
from cmmanet.reporting.cross import render_cross
from pipeline.parts import workspace
from pipeline.parts.command import run


def main() -> None:
    """Write reports/cross.md from exactly the planned pairs and arms."""
    plan = workspace.read_plan(CrossPlan, "cross.json")
    crossed: dict[tuple[str, str, str], Any] = {
        (pair.source, pair.target, arm): workspace.read_json(
            workspace.cross_file(pair.source, pair.target, arm),
            f"cross {pair.source} {arm} {pair.target}",
        )
        for pair in plan.pairs
        for arm in plan.arms
    }
    within: dict[tuple[str, str], Any] = {
        (target, arm): workspace.read_json(
            workspace.result_file(target, arm), f"evaluate {target} {arm}"
        )
        for target in {pair.target for pair in plan.pairs}
        for arm in plan.arms
    }
    page = workspace.REPORTS / "cross.md"
    workspace.write_text(page, render_cross(plan.model_dump(mode="json"), crossed, within))
    print(f"{page}: {len(plan.pairs)} pairs of datasets, {len(plan.arms)} arms")


if __name__ == "__main__":
    run(main)
