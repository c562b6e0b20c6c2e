"""The inputs of the report: what the plan names, with its results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.evaluation.comparison import Comparison
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import ArmResult, EvaluateResult
from cmmanet.evaluation.uncertainty import Gain
from cmmanet.reporting.figures.entry import Figure


@dataclass(frozen=True)
class ReportInputs:
    """The planned arms with their results, by dataset and arm in the plan's order.

    `claims` are the files claims/<dataset>.json.
    """

    headline: str
    sampler: str
    scoring: Scoring
    results: dict[str, dict[str, EvaluateResult]]
    comparisons: dict[str, Comparison]
    claims: dict[str, Mapping[str, Any]]
    figures: dict[str, Sequence[Figure]]

    @property
    def arms(self) -> list[str]:
        """The plan's arms, the same on every dataset."""
        return list(next(iter(self.results.values())))

    def gain(self, dataset: str, before: str, after: str, metric: str) -> Gain | None:
        """Return the gain of a step; None if one of its arms was not run.

        Raises:
            ValueError: the arms were not compared.
        """
        if not {before, after} <= self.results.get(dataset, {}).keys():
            return None
        gains = self.comparisons[dataset].gains(before, after)
        if gains is None:
            raise ValueError(
                f"comparisons/{dataset}.json has no step from {before} to {after}: "
                f"run `dvc repro compare@{dataset}`"
            )
        return gains[metric]


def title(dataset: str) -> str:
    """Return a dataset's name as the field writes it."""
    return DATASETS[dataset].title


def dataset_heading(dataset: str) -> str:
    """Return the heading of a dataset's section."""
    return f"{title(dataset)}: all measurements"


def is_partial(arms: Iterable[ArmResult]) -> bool:
    """Return whether any of these results comes from a part of its dataset."""
    return any(result.partial for result in arms)
