"""The figures of a dataset, as the page links them."""

from collections.abc import Sequence

from cmmanet.reporting.cells import escape, paragraph
from cmmanet.reporting.results import Figure


def illustrations(dataset: str, figures: Sequence[Figure]) -> list[str]:
    """Each figure under its title, with what it shows and by which rule it was chosen."""
    parts = ["### Figures"] if figures else []
    for figure in figures:
        of = f" (the paper's {figure['paper']})" if figure["paper"] else ""
        title = f"**{escape(figure['title'])}**{of}."
        if figure["file"] is not None:
            # Brackets would end the text of the link.
            alt = figure["alt"].replace("[", "(").replace("]", ")")
            parts.append(f"![{alt}](figures/{dataset}/{figure['file']})")
        parts.append(paragraph(f"{title} {escape(figure['caption'])}"))
    return parts
