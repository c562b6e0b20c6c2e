from collections.abc import Callable
from pathlib import Path

import pytest
from training.small import open_clips

from cmmanet.clips.dataset import ClipDataset
from cmmanet.datasets import mars
from cmmanet.frames.archive import list_members
from cmmanet.frames.index import build_index


@pytest.fixture
def data(write_mars: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with the index of a small MARS, which lies beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    root = write_mars()
    parts = mars.find_parts(root)
    build_index(mars.read_listing(root), [list_members(p, ".jpg") for p in parts], folder)
    (folder / "archives").write_text("\n".join(map(str, parts)))
    return folder


@pytest.fixture
def clips(data: Path) -> ClipDataset:
    return open_clips(data)
