"""Split files of two-camera datasets: which identities train and which test.

Two forms: MATLAB's matrix of indices, which comes with iLIDS-VID, and the JSON that public
loaders share.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmmanet.datasets.official_files import DatasetError, read_matrix

SPLITS_JSON = "splits.json"
SPLITS = 10

# One matrix of 10×300 small numbers; a member that claims more is something else.
_MAX_MATRIX_BYTES = 2**20

Halves = tuple[list[int], list[int]]
"""A split by identity numbers: the training half and the test half."""


@dataclass(frozen=True, slots=True)
class SplitMatrix:
    """A split file in MATLAB's format: each row an order of all identities, by 1-based index."""

    file: str
    folder: str
    key: str
    numbers: tuple[int, ...]
    """The number of the identity that an index means, in the order of the sorted folders."""


def json_splits(path: Path, person: re.Pattern[str]) -> list[Halves]:
    """Read a list of {"train": [names], "test": [names]}.

    `person` matches a name, its number being the only group.

    Raises:
        DatasetError: if the file has another form, or a split lists an identity twice.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, list) or not content:
        raise DatasetError(f'{path}: expected a list of {{"train": [...], "test": [...]}}')
    splits = []
    for number, split in enumerate(content):
        where = f"{path}, split {number}"
        train, test = (_numbers(split, half, person, where) for half in ("train", "test"))
        _refuse_repeated(where, train + test)
        splits.append((train, test))
    return splits


def read_in_tar(path: Path, file: str) -> tuple[str, bytes]:
    """Return where `file` is inside a tar, for messages, and its content.

    Raises:
        DatasetError: if it is not in there, or the tar is damaged.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and member.name.rpartition("/")[2] == file:
                    content = archive.extractfile(member)
                    if content is None or member.size > _MAX_MATRIX_BYTES:
                        raise DatasetError(f"{path}: {member.name} claims {member.size:,} bytes")
                    return f"{member.name} in {path}", content.read()
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: not a whole tar archive ({error})") from None
    raise DatasetError(
        f"{path}: has no {file}; put that file, or a {SPLITS_JSON}, into {path.parent}"
    )


def matrix_splits(where: str, content: bytes, matrix: SplitMatrix, test_half: str) -> list[Halves]:
    """Read the matrix in `content`; `where` names its file in messages.

    `test_half` says which half of the columns is the test half: `first` or `last`.

    Raises:
        DatasetError: if it is not such a matrix, an index is out of range, or a split lists an
            identity twice.
    """
    table = read_matrix(where, content, matrix.key)
    count = len(matrix.numbers)
    if table.shape != (SPLITS, count):
        raise DatasetError(f"{where}: expected a {SPLITS}×{count} matrix, got {table.shape}")
    splits = []
    for number, row in enumerate(table):
        if row.min() < 1 or row.max() > count:
            wrong = row.min() if row.min() < 1 else row.max()
            raise DatasetError(f"{where}, split {number}: index {wrong} is not in 1–{count}")
        # By the official numbering, not by the folders present: in a part of the dataset, an
        # index must still mean the same identity.
        numbers = [matrix.numbers[index - 1] for index in row]
        _refuse_repeated(f"{where}, split {number}", numbers)
        first, last = sorted(numbers[: count // 2]), sorted(numbers[count // 2 :])
        splits.append((last, first) if test_half == "first" else (first, last))
    return splits


def _numbers(split: Any, half: str, person: re.Pattern[str], where: str) -> list[int]:
    names = split.get(half) if isinstance(split, dict) else None
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{where}: has no list {half!r} of names")
    numbers = []
    for name in names:
        match = person.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise DatasetError(f"{where}: {name!r} is not a person's name: {person.pattern}")
        numbers.append(int(match[1]))
    return sorted(numbers)


def _refuse_repeated(where: str, numbers: Iterable[int]) -> None:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            raise DatasetError(
                f"{where}: person {number} is listed twice: the halves must not overlap"
            )
        seen.add(number)
