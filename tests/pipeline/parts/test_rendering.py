import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cmmanet.datasets.rendered import synthetic
from cmmanet.params import Render
from pipeline.parts import workspace
from pipeline.parts.rendering import render_once

RENDER = Render(
    train_identities=2, test_identities=2, distractors=0, junk=0, cameras=2, occlusion=0,
    tracklets_per_camera=1, frames_min=1, frames_max=1, height=32, width=16, seed=0,
)  # fmt: skip


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were rendered, in order; nothing is drawn."""
    folders: list[Path] = []

    def render(folder: Path, **_: Any) -> None:
        folder.mkdir()
        folders.append(folder)

    monkeypatch.setattr(synthetic, "render", render)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path / "lab"))
    return folders


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    """Refuse to create anything in a folder."""
    mkdir = os.mkdir

    def refuse(path: Any, *mode: Any, **options: Any) -> None:
        if Path(path).is_relative_to(folder):
            raise OSError(number, os.strerror(number), str(path))
        mkdir(path, *mode, **options)

    monkeypatch.setattr(os, "mkdir", refuse)


def test_rendered_once_for_all_copies(rendered: list[Path], tmp_path: Path) -> None:
    name, folder = render_once(RENDER)
    assert folder == tmp_path / "lab" / name and render_once(RENDER) == (name, folder)
    assert rendered == [folder]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_passed_over(
    number: int, rendered: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, tmp_path / "lab", number)
    name, folder = render_once(RENDER)
    assert folder == tmp_path / "data" / "raw" / name == workspace.raw_data(name)
    assert render_once(RENDER) == (name, folder) and rendered == [folder]


def test_a_full_disk_ends_it(
    rendered: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, tmp_path / "lab", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        render_once(RENDER)
    assert rendered == []
