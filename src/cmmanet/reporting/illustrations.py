"""Figures of a dataset, as the page links them."""

from collections.abc import Sequence

from cmmanet.reporting.figures.entry import Figure
from cmmanet.reporting.markdown import escape, paragraph


def illustrations(dataset: str, figures: Sequence[Figure]) -> list[str]:
    """Return each figure with its title and caption."""
    parts = ["### Figures"] if figures else []
    for figure in figures:
        paper = f" (the paper's {figure.paper})" if figure.paper else ""
        title = f"**{escape(figure.title)}**{paper}."
        if figure.file is not None:
            # Brackets would end the text of the link.
            alt = figure.alt.replace("[", "(").replace("]", ")")
            parts.append(f"![{alt}](figures/{dataset}/{figure.file})")
        parts.append(paragraph(f"{title} {escape(figure.caption)}"))
    return parts
