"""The file that holds a trial's embeddings, tied to the weights and the index they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from cmmanet.frames.archive import hash_file
from cmmanet.params import TEST_FRAMES, TestFrames


class Source(NamedTuple):
    """What embeddings come from, as sha256 of the weights and of what is indexed."""

    weights: str
    frames: str


class Stored(NamedTuple):
    """The embeddings float32 [M, D] of the tracklets in `rows`, by test frames.

    `environment` says where they were made.
    """

    features: dict[TestFrames, Tensor]
    rows: list[int]
    environment: dict[str, Any]


def source_of(weights: str, data: Path) -> Source:
    """Weights of this sha256, and the index as it is now."""
    return Source(weights, hash_file(data / "index.json"))


def write_embeddings(
    path: Path,
    dense: Tensor,
    chunk_first: Tensor,
    rows: Sequence[int],
    source: Source,
    environment: Mapping[str, Any],
) -> None:
    """Write what `read_embeddings` reads: float32, and the M rows of the tracklet table.

    Raises:
        OSError: if it cannot be written.
    """
    # Values of safetensors' metadata are text.
    metadata = {**source._asdict(), "environment": json.dumps(environment)}
    content = {"dense": dense, "chunk_first": chunk_first, "tracklet": torch.tensor(rows)}
    try:
        safetensors.torch.save_file(content, path, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: not written: {error}") from None


def read_embeddings(path: Path, source: Source, stage: str) -> Stored:
    """Read a file of `write_embeddings`, which `stage` writes.

    Raises:
        ValueError: if there is none, or it comes from other weights or frames.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}  # None where an older version wrote it
            features = {frames: file.get_tensor(frames) for frames in TEST_FRAMES}
            rows = file.get_tensor("tracklet").tolist()
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path}: no embeddings ({error}); run the stage {stage}") from None
    for name, now in source._asdict().items():
        if metadata.get(name) != now:
            raise ValueError(f"{path}: of other {name} than are there now; run the stage {stage}")
    return Stored(features, rows, json.loads(metadata["environment"]))
