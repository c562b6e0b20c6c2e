"""Split files of two-camera datasets: which people train and which test.

Two forms: MATLAB's matrix of indices, as iLIDS-VID comes with, and the JSON that public
loaders share.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

SPLITS_JSON = "splits.json"
SPLITS = 10

# One matrix of 10×300 small numbers; a member that claims more is none.
_MAX_MATRIX_BYTES = 2**20

People = tuple[list[int], list[int]]
"""A split by people's numbers: the training half and the test half."""


class SplitFileError(ValueError):
    """A split file that is damaged, or contradicts itself."""


@dataclass(frozen=True, slots=True)
class SplitMatrix:
    """A split file in MATLAB's format: each row an order of all people, by 1-based index."""

    file: str
    folder: str
    key: str
    numbers: tuple[int, ...]
    """The number of the person that an index stands for, in the order of the sorted folders."""


def json_splits(path: Path, person: re.Pattern[str]) -> list[People]:
    """Read a list of {"train": [names], "test": [names]}.

    `person` matches a name, its number being the only group.

    Raises:
        SplitFileError: if the file has another form, or a person stands in a split twice.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SplitFileError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, list) or not content:
        raise SplitFileError(f'{path}: expected a list of {{"train": [...], "test": [...]}}')
    splits = []
    for number, split in enumerate(content):
        where = f"{path}, split {number}"
        train, test = (_numbers(split, half, person, where) for half in ("train", "test"))
        _refuse_repeated(where, train + test)
        splits.append((train, test))
    return splits


def read_in_tar(path: Path, file: str) -> tuple[str, bytes]:
    """Where `file` lies inside a tar, and its content.

    Raises:
        SplitFileError: if it is not in there, or the tar is damaged.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and member.name.rpartition("/")[2] == file:
                    content = archive.extractfile(member)
                    if content is None or member.size > _MAX_MATRIX_BYTES:
                        raise SplitFileError(f"{path}: {member.name} claims {member.size:,} bytes")
                    return f"{member.name} in {path}", content.read()
    except (tarfile.TarError, OSError) as error:
        raise SplitFileError(f"{path}: no whole tar archive ({error})") from None
    raise SplitFileError(
        f"{path}: holds no {file}; put that file, or a {SPLITS_JSON}, into {path.parent}"
    )


def matrix_splits(where: str, content: bytes, matrix: SplitMatrix, test_half: str) -> list[People]:
    """Read the matrix `content` of `where`.

    `test_half` says which half of the columns is the test half: `first` or `last`.

    Raises:
        SplitFileError: if it is no such matrix, an index stands for nobody, or a person stands
            in a split twice.
    """
    try:
        table = np.asarray(_loadmat(content)[matrix.key]).astype(np.int64)
    except KeyError:
        raise SplitFileError(f"{where}: holds no matrix {matrix.key}") from None
    except Exception as error:  # scipy and zlib fail on damage in a dozen ways
        raise SplitFileError(f"{where}: not a whole .mat file ({error})") from None
    people = len(matrix.numbers)
    if table.shape != (SPLITS, people):
        raise SplitFileError(f"{where}: expected a {SPLITS}×{people} matrix, found {table.shape}")
    splits = []
    for number, row in enumerate(table):
        if row.min() < 1 or row.max() > people:
            wrong = row.min() if row.min() < 1 else row.max()
            raise SplitFileError(f"{where}, split {number}: index {wrong} is not in 1–{people}")
        # By the official numbering and not by the folders found: of a part of the dataset, the
        # same index must still be the same person.
        numbers = [matrix.numbers[index - 1] for index in row]
        _refuse_repeated(f"{where}, split {number}", numbers)
        first, last = sorted(numbers[: people // 2]), sorted(numbers[people // 2 :])
        splits.append((last, first) if test_half == "first" else (first, last))
    return splits


def _numbers(split: Any, half: str, person: re.Pattern[str], where: str) -> list[int]:
    names = split.get(half) if isinstance(split, dict) else None
    if not isinstance(names, list) or not names:
        raise SplitFileError(f"{where}: has no list {half!r} of people")
    numbers = []
    for name in names:
        match = person.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise SplitFileError(f"{where}: {name!r} is no person's name: {person.pattern}")
        numbers.append(int(match[1]))
    return sorted(numbers)


def _refuse_repeated(where: str, numbers: Iterable[int]) -> None:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            raise SplitFileError(
                f"{where}: person {number} stands there twice: the halves must not overlap"
            )
        seen.add(number)


def _loadmat(content: bytes) -> dict[str, Any]:
    # It reads open files as well, which its type stubs do not know.
    return scipy.io.loadmat(io.BytesIO(content))  # type: ignore[arg-type]
