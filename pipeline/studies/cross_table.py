"""Stage cross_table: the page of cross-dataset results."""

from __future__ import annotations

from cmmanet.evaluation.records import CrossResult, EvaluateResult
from cmmanet.params import CrossPlan
from cmmanet.reporting.cross_page import build_cross
from cmmanet.reporting.document import markdown
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.results import read_result


def main() -> None:
    """Write reports/cross.md from exactly the planned pairs and arms."""
    plan = workspace.read_plan(CrossPlan, "cross.json")
    if not plan.pairs:
        raise ValueError("`cross` in params.yaml is empty: add a pair of `source` and `target`")
    crossed: dict[tuple[str, str, str], CrossResult] = {
        (pair.source, pair.target, arm): workspace.read_record(
            CrossResult,
            workspace.cross_file(pair.source, pair.target, arm),
            "studies/cross/dvc.yaml",
        )
        for pair in plan.pairs
        for arm in plan.arms
    }
    within: dict[tuple[str, str], EvaluateResult] = {
        (target, arm): read_result(target, arm)
        for target in {pair.target for pair in plan.pairs}
        for arm in plan.arms
    }
    page = workspace.REPORTS / "cross.md"
    workspace.write_text(page, markdown(build_cross(plan, crossed, within)))
    print(f"{page}: {len(plan.pairs)} pairs of datasets, {len(plan.arms)} arms")


if __name__ == "__main__":
    run(main)
