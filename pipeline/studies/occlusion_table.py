"""Stage occlusion_table: the page of the occlusion study, and its figure."""

from __future__ import annotations

import pandas as pd

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import OcclusionResult
from cmmanet.evaluation.robustness import robustness
from cmmanet.params import OcclusionPlan
from cmmanet.reporting.document import markdown
from cmmanet.reporting.occlusion_figure import occlusion_figure
from cmmanet.reporting.occlusion_numbers import numbers
from cmmanet.reporting.occlusion_page import BASELINE, build_occlusion
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.results import read_result


def main() -> None:
    """Write reports/occlusion.md, its numbers as JSON, and reports/occlusion.png."""
    plan = workspace.read_plan(OcclusionPlan, "occlusion.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    results = {
        (level, arm): workspace.read_record(
            OcclusionResult,
            workspace.occlusion_result_file(level, arm),
            "studies/occlusion/dvc.yaml",
        )
        for level in plan.levels
        for arm in plan.arms
    }
    trained = {arm: read_result("synthetic", arm) for arm in plan.arms}
    queries = {arm: [_queries(level, arm, scoring) for level in plan.levels] for arm in plan.arms}
    content = numbers(plan, results, robustness(queries, BASELINE))
    page = workspace.REPORTS / "occlusion.md"
    workspace.write_bytes(page.with_suffix(".png"), occlusion_figure(content))
    workspace.write_json(page.with_suffix(".json"), content)
    workspace.write_text(page, markdown(build_occlusion(plan, results, content, trained)))
    print(f"{page}: {len(plan.arms)} arms at {len(plan.levels)} shares of occluded frames")


def _queries(level: float, arm: str, scoring: Scoring) -> pd.DataFrame:
    path = workspace.occlusion_ranking_file(level, arm)
    return pd.read_parquet(path, filters=[("scoring", "=", str(scoring))])


if __name__ == "__main__":
    run(main)
