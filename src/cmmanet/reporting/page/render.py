"""The page: one HTML file, its pictures, data and programs within."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from cmmanet.evaluation.records import EvaluateResult
from cmmanet.reporting.colours import RIGHT, WRONG, styles
from cmmanet.reporting.document import Document, Figure, inline_html
from cmmanet.reporting.inputs import dataset_heading
from cmmanet.reporting.page.content import DatasetContent, dataset_view, figure_files
from cmmanet.reporting.page.images import figure_image
from cmmanet.reporting.page.origins import origins

_PROGRAMS = ("shared.js", "charts.js", "browser.js")


def render_page(
    document: Document,
    arms: Sequence[str],
    headline: str,
    results: Iterable[EvaluateResult],
    datasets: Sequence[DatasetContent],
) -> str:
    """Return the report as a page, with the curves and retrievals of each dataset.

    A policy keeps it from loading anything and from running any program but its own, whose
    digests it names.

    Raises:
        ValueError: a figure of the document has no image file.
    """
    images = {
        file: figure_image(png) for shown in datasets for file, png in figure_files(shown).items()
    }
    for block in document.blocks:
        if isinstance(block, Figure) and block.file and block.file not in images:
            raise ValueError(f"reports/{block.file}: not there; run the stage figures")
    # Its stub wants the snippet that it documents as optional.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    programs = [bundle, "\n".join(map(_part, _PROGRAMS))]
    environment = Environment(
        loader=PackageLoader("cmmanet.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = inline_html
    return environment.get_template("page.html.j2").render(
        document=document,
        images=images,
        policy=_policy(programs),
        css=_part("page.css"),
        programs=programs,
        vega=vl_convert.get_vega_version(),
        datasets={
            dataset_heading(shown.dataset): dataset_view(shown, arms, headline)
            for shown in datasets
        },
        styles=styles(arms),
        right=RIGHT,
        wrong=WRONG,
        origins=origins(results),
    )


def _policy(programs: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(code.encode()).digest()) for code in programs)
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src {allowed}"
    )


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
