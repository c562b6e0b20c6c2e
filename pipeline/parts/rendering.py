"""Rendered archives in the raw data folder: one folder per set of parameters, kept for reuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from cmmanet.datasets.rendered import synthetic
from cmmanet.params import Render


def render_once(parent: Path, render: Render) -> Path:
    """Return the folder of the rendered archives in `parent`, rendering them if it is missing."""
    content = json.dumps([synthetic.RENDERER_VERSION, render.model_dump()], sort_keys=True)
    folder = parent / hashlib.sha256(content.encode()).hexdigest()[:12]
    if not folder.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("rendering pedestrians")
            synthetic.render(
                folder,
                **render.model_dump(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    return folder
