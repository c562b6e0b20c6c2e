"""What a person who watches a training wants to be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

# Entropy of attention over that of uniform attention.
COLLAPSED = 0.02
UNIFORM = 0.98

# Share of the iterations, after the warm-up, when uniform attention is worth a word.
_SETTLED = 0.5

# How near the loss is to the margin, and the distances to each other, when nothing is learnt;
# relative to the margin.
_AT_MARGIN = 0.01


def diagnose(plan: ArmPlan, epoch: Mapping[str, float]) -> dict[str, str]:
    """What looks wrong in the means of an epoch, each sign by a name of its own.

    Thresholds are ours. `epoch` has the keys of the history.
    """
    signs: dict[str, str] = {}
    losses = plan.losses
    if losses.triplet:
        stuck = math.log(2) if losses.margin == "soft" else losses.margin
        apart = epoch["positive_distance"] - epoch["negative_distance"]
        if max(abs(epoch["loss_triplet"] - stuck), abs(apart)) < _AT_MARGIN * stuck:
            signs["triplet"] = (
                f"the triplet loss sits at {epoch['loss_triplet']:.3f}, where all distances are "
                f"alike (they average {epoch['positive_distance']:.2g} to the hardest positive, "
                f"{epoch['negative_distance']:.2g} to the hardest negative): features may have "
                "collapsed; try a lower optimiser.lr or a warm-up"
            )
    schedule = plan.schedule
    settled = epoch["iterations"] >= schedule.warmup + _SETTLED * schedule.iterations
    for stage in plan.model.mam_after:
        entropy = epoch[f"attention{stage}_entropy"]
        if entropy < COLLAPSED:
            signs[f"collapsed{stage}"] = (
                f"attention behind stage {stage} has collapsed to one place an image (entropy "
                f"{entropy:.4f} of the uniform's): lower optimiser.lr or losses.concentration"
            )
        elif entropy > UNIFORM and settled:
            signs[f"uniform{stage}"] = (
                f"attention behind stage {stage} is still uniform (entropy {entropy:.3f} of the "
                "uniform's): the module does nothing yet"
            )
    # Later on a training that goes well has little of the other two left.
    if plan.model.mam_after and epoch["epoch"] == 0:
        learnt = sum(
            getattr(losses, name) * epoch.get(f"loss_{name}", 0.0)
            for name in ("identity", "triplet")
        )
        for name in ("diversity", "concentration"):
            weighted = getattr(losses, name) * epoch.get(f"loss_{name}", 0.0)
            if weighted > learnt:
                signs[name] = (
                    f"losses.{name} {getattr(losses, name):g} drowns the rest: it makes "
                    f"{weighted:.3g} of the first epoch's loss, identity and triplet "
                    f"together {learnt:.3g}"
                )
    return signs
