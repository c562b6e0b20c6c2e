"""Records of the steps, written to disk after every figure."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

FIGURES = "figures.json"


class Job(NamedTuple):
    """How a step computes.

    Attributes:
        device: where.
        tiny: whether only to try the code, at small sizes.
        folder: for rendered data that steps share.
    """

    device: torch.device
    tiny: bool
    folder: Path


class Record:
    """The figures of one step, in a file that is complete after each of them."""

    def __init__(self, content: dict[str, Any], path: Path | None = None) -> None:
        self.content = content
        self._path = path

    @classmethod
    def begin(cls, path: Path, step: str, question: str) -> Record:
        """Begin a step's file."""
        content = {"step": step, "question": question, "status": "running"}
        record = cls({**content, "figures": {}, "errors": {}}, path)
        record._write()
        return record

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a step's file."""
        return cls(json.loads(path.read_text(encoding="utf-8")), path)

    @property
    def status(self) -> str:
        """`running`, `done`, `failed`, `out of memory`, `timed out` or `skipped`."""
        return str(self.content["status"])

    @property
    def reason(self) -> str | None:
        """Why it is not done."""
        return self.content.get("reason")

    @property
    def figures(self) -> dict[str, Any]:
        """Figures by name."""
        return dict(self.content["figures"])

    @property
    def errors(self) -> dict[str, str]:
        """Tracebacks of the parts that failed, by name."""
        return dict(self.content["errors"])

    def add(self, **figures: object) -> None:
        """Add figures by name: numbers, texts, truth values, null, lists or mappings."""
        self.content["figures"] |= {name: _plain(value) for name, value in figures.items()}
        self._write()
        for name, value in figures.items():
            print(f"   {name}: {_short(value)}", flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part of a step: if it fails, its traceback is kept and the next part goes on.

        Memory that runs out ends the step.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except Exception:
            self.content["errors"][name] = traceback.format_exc()[-3000:]
            self._write()
            print(f"   {name} failed:\n{traceback.format_exc()}", flush=True)

    def close(self, status: str, seconds: float, reason: str | None = None) -> None:
        """Say how the step ended."""
        self.content |= {"status": status, "reason": reason, "seconds": round(seconds, 1)}
        self._write()
        print(f"   {status}{f': {reason}' if reason else ''}", flush=True)

    def _write(self) -> None:
        if self._path is not None:
            _write(self._path, self.content)


def write_figures(folder: Path, records: Mapping[str, Record]) -> None:
    """Write the records of a run into one file: few files come back from some machines."""
    _write(folder / FIGURES, {name: record.content for name, record in records.items()})


def read_figures(folder: Path) -> dict[str, Record]:
    """Read what a run of the kit has left.

    Raises:
        ValueError: if there is none, or it is something else.
    """
    path = folder / FIGURES
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = {name: Record(step) for name, step in content.items()}
        for record in records.values():
            _ = record.status, record.figures, record.errors
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: no figures ({reason}); `python -m benchmarks.gpu --out {folder}` writes them"
        ) from None
    return records


def _write(path: Path, content: object) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _plain(value: object) -> object:
    """Return a value that JSON can hold: NaN and infinity as text."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
