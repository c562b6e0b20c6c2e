"""Rendered archives in the raw data folder: one folder per set of parameters, kept for reuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from cmmanet.datasets.rendered import synthetic
from cmmanet.params import Render
from pipeline.parts import workspace


def render_once(render: Render) -> tuple[str, Path]:
    """Return the rendered archives' name in a manifest, and their folder; render what is missing.

    Where the raw data folder cannot be written, they go to data/raw of the repository.
    """
    content = json.dumps([synthetic.RENDERER_VERSION, render.model_dump()], sort_keys=True)
    name = f"synthetic/{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    folder = workspace.raw_data(name)
    if not folder.is_dir():
        try:
            _render(folder, render)
        except OSError as error:
            own = workspace.own_raw_folder() / name
            if error.errno not in workspace.NOT_WRITABLE or folder == own:
                raise
            print(f"{workspace.raw_folder()} cannot be written: rendering to {own}", flush=True)
            _render(own, render)
            folder = own
    return name, folder


def _render(folder: Path, render: Render) -> None:
    with workspace.leased(folder.parent, "rendering"):
        if folder.is_dir():
            return
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("rendering pedestrians")
            synthetic.render(
                folder,
                **render.model_dump(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
