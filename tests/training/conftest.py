from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import index_mars
from training.small import open_clips

from cmmanet.clips.dataset import ClipDataset


@pytest.fixture
def data(write_mars: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with the index of a small MARS, which lies beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    root = write_mars()
    parts = index_mars(root, folder)
    (folder / "archives").write_text("\n".join(map(str, parts)))
    return folder


@pytest.fixture
def clips(data: Path) -> ClipDataset:
    return open_clips(data)
