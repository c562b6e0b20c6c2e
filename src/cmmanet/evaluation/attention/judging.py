"""How sure a difference in attention is: over other trainings, or in each of those that were run.

Attention of arms that were trained with the concentration loss spreads less over trainings than
that of arms without it, and a variance pooled over both would make the one look surer than it is
(of two quiet arms and two loud ones, a fifth of the loud ones' null differences). Variances are
pooled within each kind, over arms with the same maps, and added as Welch does. What arms share in a
trial, a lucky seed or an easy split, stays in them, so that intervals of paired differences err
towards the long side.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cmmanet.evaluation.attention.cells import Cell, Cells, Floats, Place
from cmmanet.evaluation.attention.paper_claims import Claim
from cmmanet.evaluation.uncertainty import (
    Gain,
    Variance,
    added,
    gain_in_these_trainings,
    gain_on_one_split,
    gain_over_splits,
    own_variance,
)


class Judgement(NamedTuple):
    """A difference, and that of each trial.

    Attributes:
        gain: over other trainings and people; without a verdict where too few trainings say
            nothing of others.
        trials: the difference in each training by itself, judged over other people; without a
            verdict where every trial has its own people.
    """

    gain: Gain
    trials: list[Gain]


@dataclass(frozen=True)
class Judge:
    """Judges differences between measures.

    Attributes:
        cells: all that was measured, for variances to be pooled over arms.
        concentrated: the arms that were trained with the concentration loss.
        test_to_train: as `cmmanet.evaluation.comparison.compare` takes it.
    """

    cells: Cells
    concentrated: Collection[str]
    test_to_train: float | None

    def __call__(self, claim: Claim, before: Place | None, after: Place) -> Judgement:
        """Judge what is `after` over what is `before`, or over what the claim's kind says."""
        own = self.cells[*after, claim.measure]
        if before is not None:
            others = self.cells[*before, claim.measure].trials
        else:
            others = own.fixed if claim.kind == "parts" else own.uniform
        gains = [mine - other for mine, other in zip(own.trials, others, strict=True)]
        training = self._training(claim, before, after)
        if self.test_to_train is not None:
            means = [float(values.mean()) for values in gains]
            gain = gain_over_splits(means, training, test_to_train=self.test_to_train)
            trials = [Gain(mean, None, None, None) for mean in means]
        else:
            gain = gain_on_one_split(np.array(gains), own.pid[0], training)
            trials = [gain_in_these_trainings(values[None], own.pid[0]) for values in gains]
        return Judgement(gain, trials)

    def _training(self, claim: Claim, before: Place | None, after: Place) -> Variance:
        """Half the variance that a training gives the difference: a gain counts two trainings."""
        parts = [self._spread(claim, after, before)]
        if claim.kind == "loss" and before is not None:
            parts.append(self._spread(claim, before, after))
        whole = added(*parts)
        return whole._replace(value=whole.value / 2)

    def _spread(self, claim: Claim, place: Place, other: Place | None) -> Variance:
        """The variance of what one training gives to a difference.

        Pooled over the arms that were trained with the loss if the place's was, else over those
        that were not.
        """
        arm, stage = place
        same = self.cells[arm, stage, claim.measure].others["uniform"]
        means = [
            given
            for (name, behind, measure), cell in self.cells.items()
            if measure == claim.measure
            and behind == stage
            and (name in self.concentrated) == (arm in self.concentrated)
            # Other maps, or another K, have another scale.
            and np.isclose(cell.others["uniform"], same)
            and (given := self._of_trainings(claim, name, cell, other)) is not None
        ]
        return own_variance(means)

    def _of_trainings(
        self, claim: Claim, arm: str, cell: Cell, other: Place | None
    ) -> Floats | None:
        """What each training of an arm gives: its mean, less what it is compared with itself."""
        means: Floats = np.array(cell.means)
        less: Floats = np.zeros(len(means))
        if claim.kind == "parts":
            less = np.array([values.mean() for values in cell.fixed])
        if claim.kind == "scales" and other is not None:
            behind = self.cells.get((arm, other[1], claim.measure))
            if behind is None:
                return None
            less = np.array(behind.means)
        return np.subtract(means, less)


def verdict(sign: int, judged: Judgement) -> str:
    """What the data say of a claim that expects a difference of this sign.

    >>> up, down = Gain(0.2, 0.1, 5.0, True), Gain(-0.3, 0.1, 5.0, True)
    >>> verdict(+1, Judgement(Gain(-0.05, None, None, None), [up, down]))
    'the trainings disagree'
    """
    if judged.gain.resolved is not None:
        over_others = {"yes": "holds", "no": "contradicted", "undecided": "not resolved"}
        return over_others[_word(sign, judged.gain)]
    told = [_word(sign, trial) for trial in judged.trials]
    if "no telling" in told:
        return "no telling"
    if {"yes", "no"} <= set(told):
        return "the trainings disagree"
    if "undecided" in told:
        return "undecided"
    return f"{told[0]} in {'the one training' if len(told) == 1 else f'each of {len(told)}'}"


def _word(sign: int, gain: Gain) -> str:
    if gain.resolved is None:
        return "no telling"
    if not gain.resolved:
        return "undecided"
    return "yes" if gain.gain * sign > 0 else "no"


def not_in_cells(first: Cell, second: Cell) -> bool:
    """Whether the first MAM's field, smaller as a share of the image, is not so in cells."""
    return first.mean * first.size >= second.mean * second.size
