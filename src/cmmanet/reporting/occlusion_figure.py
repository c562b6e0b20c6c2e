"""The figure of the occlusion study."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cmmanet.evaluation.metrics import METRICS
from cmmanet.evaluation.robustness import MEASURED
from cmmanet.reporting.colours import styles

# Inches; of the text, points.
WIDTH, HEIGHT, TEXT = 7.0, 5.6, 8
DPI = 200
# What the arms' bars stand apart, in points of occlusion: they would hide each other.
APART = 0.7


def occlusion_figure(content: Mapping[str, Any]) -> bytes:
    """Rank-1 and mAP of each arm against the measured share of occluded frames, as a PNG.

    From the content of reports/occlusion.json. The same content gives the same bytes, whatever a
    user's own matplotlib settings are.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams |= {"font.size": TEXT, "axes.spines.top": False, "axes.spines.right": False}
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        # Below each other: side by side the arms' bars would touch at a page's width.
        panels = figure.subplots(len(MEASURED), sharex=True)
        for panel, metric in zip(panels, MEASURED, strict=True):
            _draw(panel, content, metric)
        panels[-1].set_xlabel("occluded frames of the people tested (%)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, handlelength=4
        )
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return png.getvalue()


def _draw(panel: Axes, content: Mapping[str, Any], metric: str) -> None:
    shares = [100 * level["measured"] for level in content["levels"]]
    arms = content["arms"]
    for place, (arm, style) in enumerate(styles(list(arms)).items()):
        values, lows, highs = (
            [100 * interval[key] for interval in arms[arm]["levels"][metric]]
            for key in ("value", "low", "high")
        )
        aside = APART * (place - (len(arms) - 1) / 2)
        places = [share + aside for share in shares]
        panel.vlines(places, lows, highs, color=style.colour, linewidth=0.6)
        (line,) = panel.plot(
            places,
            values,
            color=style.colour,
            marker=style.marker,
            markersize=4.5,
            linewidth=1.3,
            label=arm,
        )
        if style.dashes:
            line.set_dashes(style.dashes)
    trained = 100 * content["trained_at"]
    panel.axvline(trained, color="0.75", linewidth=0.8, zorder=0)
    panel.annotate(
        f"trained ({trained:g} % asked for)",
        (trained, 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, -2),
        textcoords="offset points",
        va="top",
        color="0.4",
    )
    panel.set_ylabel(f"{METRICS[metric]} (%)")
    panel.grid(axis="y", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
