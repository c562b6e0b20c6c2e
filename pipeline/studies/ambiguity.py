"""Stage ambiguity: sensitivity to details that the paper does not specify."""

from __future__ import annotations

from cmmanet.evaluation.comparison import Comparison, Step
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import EvaluateResult
from cmmanet.params import READING, ReadingsPlan
from cmmanet.reporting.ambiguity_page import build_ambiguity
from cmmanet.reporting.document import markdown
from cmmanet.reporting.settings import changes
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.contrasts import compare_arms, compare_scorings
from pipeline.parts.results import read_result


def main() -> None:
    """Write reports/ambiguity.md, and its numbers as JSON."""
    plan = workspace.read_plan(ReadingsPlan, "readings.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    readings = [f"{READING}{name}" for name in plan.readings]
    results: dict[tuple[str, str], EvaluateResult] = {
        (dataset, arm): read_result(dataset, arm)
        for dataset in plan.datasets
        for arm in (plan.arm, *readings)
    }
    trained: dict[str, Comparison] = {}
    scored: dict[str, list[Step]] = {}
    for dataset in plan.datasets:
        # A reading that equals the default under this recipe has nothing to be compared for.
        own = results[dataset, plan.arm].config
        others = [arm for arm in readings if changes(own, results[dataset, arm].config)]
        steps = [(plan.arm, reading) for reading in others]
        ratio = workspace.read_record(
            Comparison, workspace.comparison_file(dataset), f"compare@{dataset}"
        ).test_to_train
        trained[dataset] = compare_arms(dataset, [plan.arm, *others], steps, scoring, ratio)
        scored[dataset] = compare_scorings(dataset, plan.arm, scoring, ratio)
    page = workspace.REPORTS / "ambiguity.md"
    workspace.write_text(page, markdown(build_ambiguity(plan, results, trained, scored)))
    content = {
        "trained": {
            name: comparison.model_dump(mode="json") for name, comparison in trained.items()
        },
        "scored": {
            name: {"scoring": str(scoring), "steps": [s.model_dump(mode="json") for s in steps]}
            for name, steps in scored.items()
        },
    }
    workspace.write_json(page.with_suffix(".json"), content)
    print(f"{page}: {len(readings)} readings of {plan.arm}")


if __name__ == "__main__":
    run(main)
