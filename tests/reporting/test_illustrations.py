"""Figures as the page links them."""

from cmmanet.reporting.figures.entry import Figure
from cmmanet.reporting.illustrations import illustrations


def test_figures_stand_above_their_captions() -> None:
    drawn = Figure(
        file="cmc.png", title="CMC", paper=None, caption="Ranks 1 to 20.", alt="six curves [rising]"
    )
    left_out = Figure(
        file=None, title="Both MAMs", paper="Fig. 1b", caption="not drawn: no MAM*.", alt=""
    )
    assert illustrations("mars", [drawn, left_out]) == [
        "### Figures",
        "![six curves (rising)](figures/mars/cmc.png)",
        "**CMC**. Ranks 1 to 20.",
        r"**Both MAMs** (the paper's Fig. 1b). not drawn: no MAM\*.",
    ]


def test_without_figures_there_is_no_heading() -> None:
    assert illustrations("mars", []) == []
