"""Warnings shown during training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Entropy of attention over that of uniform attention.
COLLAPSED = 0.02
UNIFORM = 0.98

# Share of the iterations after which uniform attention (counted from the end of the warm-up) and an
# identity loss no better than guessing are reported.
_SETTLED = 0.5

# How close the loss is to the margin, and the distances are to each other, when nothing is
# learned; relative to the margin.
_AT_MARGIN = 0.01


def diagnose(plan: ArmPlan, epoch: Mapping[str, float], identities: int) -> dict[str, str]:
    """Return the warnings that the means of an epoch give rise to, by name.

    Thresholds are ours. `epoch` has the keys of the history; `identities` are trained on.
    """
    signs: dict[str, str] = {}
    losses = plan.losses
    if losses.triplet:
        stuck = math.log(2) if losses.margin == "soft" else losses.margin
        apart = epoch["positive_distance"] - epoch["negative_distance"]
        if max(abs(epoch["loss_triplet"] - stuck), abs(apart)) < _AT_MARGIN * stuck:
            signs["triplet"] = (
                f"the triplet loss is {epoch['loss_triplet']:.3f}, its value when all distances "
                f"are equal (on average {epoch['positive_distance']:.2g} to the hardest positive, "
                f"{epoch['negative_distance']:.2g} to the hardest negative): features may have "
                "collapsed; try a lower optimiser.lr or a warm-up"
            )
    schedule = plan.schedule
    settled = epoch["iterations"] >= schedule.warmup + _SETTLED * schedule.iterations
    # Equal probabilities give this loss with smoothed labels too.
    guessing = math.log(identities)
    late = epoch["iterations"] > max(schedule.warmup, _SETTLED * schedule.iterations)
    if losses.identity and late and epoch["loss_identity"] > guessing:
        signs["diverged"] = (
            f"the identity loss was {epoch['loss_identity']:.4g} at iteration "
            f"{epoch['iterations']:.0f} of {schedule.iterations}, above the {guessing:.3g} of "
            f"guessing among {identities} identities: training has diverged or learns nothing; "
            "check optimiser.lr, and the warm-up"
        )
    for stage in plan.model.mam_after:
        entropy = epoch[f"attention{stage}_entropy"]
        if entropy < COLLAPSED:
            signs[f"collapsed{stage}"] = (
                f"attention after stage {stage} has collapsed to one place per image (entropy "
                f"{entropy:.4f} of its maximum): lower optimiser.lr or losses.concentration"
            )
        elif entropy > UNIFORM and settled:
            signs[f"uniform{stage}"] = (
                f"attention after stage {stage} was nearly uniform at iteration "
                f"{epoch['iterations']:.0f} of {schedule.iterations} (entropy {entropy:.3f} of its "
                "maximum); if it stays so, the module has no effect"
            )
    # Later in a run that goes well, little of the other two losses is left.
    if plan.model.mam_after and epoch["epoch"] == 0:
        learning = sum(
            getattr(losses, name) * epoch.get(f"loss_{name}", 0.0)
            for name in ("identity", "triplet")
        )
        for name in ("diversity", "concentration"):
            weighted = getattr(losses, name) * epoch.get(f"loss_{name}", 0.0)
            if weighted > learning:
                signs[name] = (
                    f"losses.{name} {getattr(losses, name):g} dominates the loss: it contributes "
                    f"{weighted:.3g} in the first epoch, identity and triplet together "
                    f"{learning:.3g}"
                )
    return signs
