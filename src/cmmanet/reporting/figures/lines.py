"""CMC and training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cmmanet.reporting.colours import Style, styles
from cmmanet.reporting.figures.sheet import TEXT, new_figure, plain_axes

RANKS = 20

TERMS = {
    "loss": "loss",
    "loss_identity": "identity loss",
    "loss_triplet": "triplet loss",
    "loss_diversity": "diversity loss",
    "loss_concentration": "concentration loss",
    "accuracy": "training accuracy",
}
"""Columns of a training's history that are drawn, with their panels' titles."""


def cmc(curves: pd.DataFrame, intervals: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """CMC of each arm, with the interval of rank-1 where there is one.

    Args:
        curves: the columns `arm`, `rank` and `cmc`.
        intervals: by arm and metric, as fractions.
    """
    figure = new_figure(3.3)
    axes = figure.add_axes((0.07, 0.14, 0.92, 0.83))
    arms = list(dict.fromkeys(curves["arm"]))
    looks = styles(arms)
    for number, arm in enumerate(arms):
        curve = curves[(curves["arm"] == arm) & (curves["rank"] <= RANKS)]
        axes.plot(curve["rank"], 100 * curve["cmc"], label=arm, markersize=4, linewidth=1.2,
                  markevery=(number % 2, 2), **_line(looks[arm]))  # fmt: skip
        if "rank1" in intervals.get(arm, {}):
            low, high = (100 * end for end in intervals[arm]["rank1"])
            # Beside each other, before rank 1.
            place = 0.65 - 0.13 * (len(arms) - 1 - number)
            axes.plot([place, place], [low, high], color=looks[arm].colour, linewidth=1.2)
            first = 100 * curve["cmc"].iloc[0]
            axes.plot([place], [first], color=looks[arm].colour, marker=looks[arm].marker,
                      markersize=3)  # fmt: skip
    told = [of["rank1"][1] for arm, of in intervals.items() if arm in arms and "rank1" in of]
    if told:
        middle = 0.65 - 0.13 * (len(arms) - 1) / 2
        axes.text(middle, 100 * max(told) + 1, "95 %", ha="center", fontsize=TEXT)
    plain_axes(axes)
    last = int(min(RANKS, curves["rank"].max()))
    axes.set_xticks([1, *range(5, last + 1, 5)] if last >= 5 else range(1, last + 1))
    axes.set_xlabel("rank", fontsize=TEXT)
    axes.set_ylabel("queries with a right answer by then, %", fontsize=TEXT)
    axes.legend(loc="lower right", fontsize=TEXT, handlelength=4.5, framealpha=1, edgecolor="0.9")
    return figure


def training(histories: pd.DataFrame) -> Figure:
    """Losses and accuracy over iterations: a thin line for each trial, a thick one for their mean.

    Args:
        histories: the columns `arm`, `trial`, `iterations` and those of `TERMS`; NaN where an arm
            has no such term.
    """
    terms = [term for term in TERMS if term in histories and histories[term].notna().any()]
    figure = new_figure(0.65 + 1.75 * -(-len(terms) // 3))
    arms = list(dict.fromkeys(histories["arm"]))
    looks = styles(arms)
    panels = figure.subplots(-(-len(terms) // 3), 3, squeeze=False)
    for axes, term in zip(panels.flat, terms, strict=False):
        for arm in arms:
            rows = histories[(histories["arm"] == arm) & histories[term].notna()]
            for _, trial in rows.groupby("trial"):
                axes.plot(trial["iterations"], trial[term], color=looks[arm].colour,
                          linewidth=0.5, alpha=0.5)  # fmt: skip
            if len(rows):
                mean = rows.groupby("iterations")[term].mean()
                axes.plot(mean.index, mean, linewidth=1.5, **_line(looks[arm], marker=False))
        plain_axes(axes)
        axes.set_title(TERMS[term], fontsize=TEXT, pad=3)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes in panels.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in panels[-1]:
        axes.set_xlabel("iterations", fontsize=TEXT)
    handles = [
        Line2D([], [], label=arm, linewidth=1.5, **_line(looks[arm], marker=False)) for arm in arms
    ]
    high = figure.get_figheight()
    figure.subplots_adjust(0.06, 0.95 / high, 0.99, 1 - 0.22 / high, wspace=0.25, hspace=0.45)
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False, fontsize=TEXT,
                  handlelength=4.5)  # fmt: skip
    return figure


def _line(style: Style, *, marker: bool = True) -> dict[str, Any]:
    dashes = (0, style.dashes) if style.dashes else "solid"
    return {"color": style.colour, "linestyle": dashes} | (
        {"marker": style.marker} if marker else {}
    )
