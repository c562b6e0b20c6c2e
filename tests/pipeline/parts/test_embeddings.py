"""The file of a trial's embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cmmanet.params import TestFrames
from pipeline.parts.embeddings import Source, read_embeddings, source_of, write_embeddings

SOURCE = Source(weights="w" * 64, frames="f" * 64)
DENSE = torch.arange(6.0).reshape(3, 2)
FEATURES: dict[TestFrames, torch.Tensor] = {"dense": DENSE, "chunk_first": DENSE + 0.5}
ROWS = [11, 4, 7]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "trial-00.safetensors"
    write_embeddings(target, FEATURES, ROWS, SOURCE, {"device": "CPU", "of": ["é", 1]})
    return target


def test_what_was_written_is_read(path: Path) -> None:
    stored = read_embeddings(path, SOURCE, "embed mars arm")
    assert set(stored.features) == {"dense", "chunk_first"}
    assert torch.equal(stored.features["dense"], DENSE)
    assert torch.equal(stored.features["chunk_first"], DENSE + 0.5)
    assert stored.features["dense"].dtype == torch.float32
    assert stored.rows == ROWS
    assert stored.environment == {"device": "CPU", "of": ["é", 1]}


def test_source_is_what_the_files_hold(tmp_path: Path) -> None:
    (tmp_path / "frames.json").write_bytes(b"index")
    before = source_of("of weights", tmp_path)
    assert before == Source("of weights", hashlib.sha256(b"index").hexdigest())
    (tmp_path / "frames.json").write_bytes(b"Index")
    after = source_of("of weights", tmp_path)
    assert after.weights == before.weights and after.frames != before.frames


@pytest.mark.parametrize("name", Source._fields)
def test_embeddings_of_something_else_are_refused(path: Path, name: str) -> None:
    now = SOURCE._replace(**{name: "0" * 64})
    with pytest.raises(ValueError, match=rf"from other {name} than .*; run the stage embed m a$"):
        read_embeddings(path, now, "embed m a")


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def cut_at_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def of_something_else(path: Path) -> None:
    safetensors.torch.save_file({"features": DENSE}, path, SOURCE._asdict())


def without_fingerprints(path: Path) -> None:
    # As they were before they were tied to what they come from.
    content = {**FEATURES, "tracklet": torch.tensor(ROWS)}
    safetensors.torch.save_file(content, path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (missing, "no embeddings"),
        (empty, "no embeddings"),
        (cut_in_header, "no embeddings"),
        (cut_at_the_end, "no embeddings"),
        (of_something_else, "no embeddings"),
        (without_fingerprints, "made from other weights"),
    ],
)
def test_files_that_are_not_whole_or_too_old_get_one_line(
    path: Path, change: Callable[[Path], None], complaint: str
) -> None:
    change(path)
    with pytest.raises(ValueError) as raised:
        read_embeddings(path, SOURCE, "embed mars arm")
    message = str(raised.value)
    assert message.startswith(f"{path}: {complaint}") and "\n" not in message
    assert message.endswith("; run the stage embed mars arm")


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError, match=rf"{target}: not written: "):
        write_embeddings(target, FEATURES, ROWS, SOURCE, {})
    assert list(tmp_path.iterdir()) == [target] and list(target.iterdir()) == []
    with pytest.raises(OSError, match="gone/x: not written: "):
        write_embeddings(tmp_path / "gone/x", FEATURES, ROWS, SOURCE, {})
