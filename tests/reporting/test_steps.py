"""Steps between arms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cmmanet.reporting.steps import judge_steps


def test_steps_are_judged_trial_by_trial(made_up: SimpleNamespace) -> None:
    # Trials differ much, but `better` beats `base` by the same in each: pairing sees it.
    arms: dict[str, Any] = {
        "base": made_up.result("mars", "base", [0.50, 0.60, 0.70]),
        "better": made_up.result("mars", "better", [0.52, 0.61, 0.73]),
        "worse": made_up.result("mars", "worse", [0.40, 0.52, 0.60]),
        "same": made_up.result("mars", "same", [0.53, 0.60, 0.67]),
    }
    pairs = [("base", "better"), ("base", "same"), ("base", "worse"), ("base", "absent")]
    assert " ".join(judge_steps(pairs, arms, "dense").split()) == (
        "Steps in R1 larger than their spread over 3 trials: `base` → `better` (+2.0 ± 1.0), "
        "`base` → `worse` (−9.3 ± 1.2). Not resolved: `base` → `same` (0.0 ± 3.0)."
    )
    assert judge_steps([("base", "absent")], arms, "dense") == ""
