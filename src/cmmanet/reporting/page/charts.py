"""Interactive curves as Vega-Lite specifications.

What is shown is chosen outside the chart, by the page's own checkboxes and lists, which every
keyboard reaches: they set the parameters `arms` and `term`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from cmmanet.reporting.colours import styles

Rows = Sequence[Mapping[str, Any]]

_SHOWN = "indexof(arms, datum.arm) >= 0"
# In pixels.
_HEIGHT, _BAND = 360, 14
_POINTS = alt.OverlayMarkDef(size=45, filled=True)


def cmc_chart(rows: Rows, arms: Sequence[str]) -> dict[str, Any]:
    """CMC of the arms: rows of arm, rank and cmc, a fraction."""
    base = alt.Chart(_inline(rows)).encode(
        x=alt.X("rank:Q", title="rank", scale=alt.Scale(nice=False, padding=8))
    )
    height = alt.Y(
        "cmc:Q",
        title="queries with a true match",
        axis=alt.Axis(format=".0%"),
        scale=alt.Scale(zero=False, padding=8),
    )
    lines = base.transform_filter(_SHOWN).mark_line(point=_POINTS).encode(y=height, **_styled(arms))
    chart = alt.layer(lines, _reader(base, "rank", "cmc", arms, ".1%"))
    return _specification(chart, "CMC curves, a line for each arm", _chosen(arms))


def training_chart(rows: Rows, arms: Sequence[str], term: str) -> dict[str, Any]:
    """A column of the training log over iterations: each trial thin, their mean thick."""
    base = (
        alt.Chart(_inline(rows))
        .transform_calculate(value="datum[term]")
        .transform_filter("isValid(datum.value)")
        .encode(x=alt.X("iterations:Q", title="iterations", scale=alt.Scale(nice=False, padding=8)))
    )
    height = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, padding=8))
    shown = base.transform_filter(_SHOWN).encode(y=height, **_styled(arms))
    trials = shown.mark_line(strokeWidth=1, opacity=0.45).encode(detail="trial:N")
    mean = shown.transform_aggregate(value="mean(value)", groupby=["arm", "iterations"]).mark_line(
        point=_POINTS
    )
    reader = _reader(base, "iterations", "value", arms, ".4~g")
    chart = alt.layer(trials, mean, reader)
    parameters = (_chosen(arms), alt.param(name="term", value=term))
    return _specification(chart, "Training curves, a line for each arm", *parameters)


def _reader(base: alt.Chart, along: str, value: str, arms: Sequence[str], digits: str) -> alt.Chart:
    """A band at each place, seen below the pointer, with the values of all arms there."""
    at = alt.selection_point(
        name="at", on="pointerover", clear="pointerout", fields=[along], empty=False
    )
    # Columns by number: an arm's name may hold signs that a field's must not.
    columns = {f"arm{number}": arm for number, arm in enumerate(arms)}
    own = {name: f"datum.arm === {json.dumps(arm)} ? datum.{value} : null"
           for name, arm in columns.items()}  # fmt: skip
    means = [alt.AggregatedFieldDef(op="mean", field=name, **{"as": name}) for name in columns]
    texts = {name: f"isValid(datum.{name}) ? format(datum.{name}, '{digits}') : '–'"
             for name in columns}  # fmt: skip
    reader: alt.Chart = (
        base.transform_calculate(**own)
        .transform_aggregate(means, groupby=[along])
        .transform_calculate(**{f"{name}_text": text for name, text in texts.items()})
        .mark_rule(color="#444", strokeWidth=_BAND, aria=False)
        .encode(
            opacity=alt.condition(at, alt.value(0.25), alt.value(0)),
            tooltip=[
                alt.Tooltip(f"{along}:Q"),
                *(alt.Tooltip(f"{name}_text:N", title=arm) for name, arm in columns.items()),
            ],
        )
        .add_params(at)
    )
    return reader


def _styled(arms: Sequence[str]) -> dict[str, Any]:
    """The arms' colours and dashes; the page's checkboxes are the legend."""
    looks = styles(arms)
    colours = alt.Scale(domain=list(arms), range=[looks[arm].colour for arm in arms])
    # A dash as long as its gap is short draws a whole line.
    dashes = [list(looks[arm].dashes) or [1, 0] for arm in arms]
    return {
        "color": alt.Color("arm:N", legend=None, scale=colours),
        "strokeDash": alt.StrokeDash(
            "arm:N", legend=None, scale=alt.Scale(domain=list(arms), range=dashes)
        ),
    }


def _chosen(arms: Sequence[str]) -> alt.Parameter:
    return alt.param(name="arms", value=list(arms))


def _inline(rows: Rows) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _specification(
    chart: alt.LayerChart | alt.FacetChart, description: str, *parameters: alt.Parameter
) -> dict[str, Any]:
    drawn = (
        chart.properties(width="container", height=_HEIGHT, description=description)
        # The room for labels changes with what is shown.
        .properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding", resize=True))
        .add_params(*parameters)
        .configure(background="white", font="sans-serif")
        .configure_axis(labelFontSize=12, titleFontSize=13, labelColor="#222", titleColor="#222")
    )
    specification: dict[str, Any] = drawn.to_dict()
    return specification
