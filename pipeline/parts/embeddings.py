"""The file of a run's embeddings, tied to the weights and the index that they come from."""

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
    """The origin of embeddings: sha256 of the weights and of the index."""

    weights: str
    frames: str


class Stored(NamedTuple):
    """The content of a file of embeddings.

    Attributes:
        features: float32 [M, D], by test frames.
        rows: of the tracklet table, [M].
        environment: the machine and versions that computed them, and the cost.
    """

    features: dict[TestFrames, Tensor]
    rows: list[int]
    environment: dict[str, Any]


def source_of(weights: str, data: Path) -> Source:
    """Return the origin of embeddings by weights of this sha256 on the current index."""
    return Source(weights, hash_file(data / "frames.json"))


def write_embeddings(
    path: Path,
    features: Mapping[TestFrames, Tensor],
    rows: Sequence[int],
    source: Source,
    environment: Mapping[str, Any],
) -> None:
    """Write the fields of `Stored`, and their origin.

    Raises:
        OSError: if the file cannot be written.
    """
    # The metadata of safetensors are text.
    metadata = {**source._asdict(), "environment": json.dumps(environment)}
    content = dict[str, Tensor](features.items(), tracklet=torch.tensor(rows))
    try:
        safetensors.torch.save_file(content, path, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: not written: {error}") from None


def read_embeddings(path: Path, source: Source, stage: str) -> Stored:
    """Read a file that `stage` wrote by `write_embeddings`.

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
            raise ValueError(
                f"{path}: made from other {name} than the current ones; run the stage {stage}"
            )
    return Stored(features, rows, json.loads(metadata["environment"]))
