"""What a step has measured, in a JSON file that is complete after every figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Job(NamedTuple):
    """Where a step computes, and whether only to show that its code runs."""

    device: torch.device
    tiny: bool


class Record:
    """The figures of one step; each is on the disk as soon as it is added."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    @classmethod
    def begin(cls, path: Path, step: str, question: str) -> Record:
        """Begin a step's file."""
        content = {"step": step, "question": question, "status": "running", "figures": {}}
        record = cls(path, content)
        record._write()
        return record

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a step's file.

        Raises:
            ValueError: if it is not one.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for key in ("step", "question", "status", "figures"):
                content[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a file of `python -m benchmarks.gpu`: {error}") from None
        return cls(path, content)

    @property
    def status(self) -> str:
        """`running`, `done`, `failed`, `out of memory`, `timed out` or `skipped`."""
        return str(self._content["status"])

    @property
    def reason(self) -> str | None:
        """Why it is not done."""
        return self._content.get("reason")

    @property
    def figures(self) -> dict[str, Any]:
        """Figures by name."""
        return dict(self._content["figures"])

    def add(self, **figures: object) -> None:
        """Add figures by name: numbers, texts, truth values, null, or mappings of them."""
        self._content["figures"] |= figures
        self._write()
        for name, value in figures.items():
            print(f"   {name}: {_short(value)}", flush=True)

    def close(self, status: str, seconds: float, reason: str | None = None) -> None:
        """Say how the step ended."""
        self._content |= {"status": status, "reason": reason, "seconds": round(seconds, 1)}
        self._write()
        print(f"   {status}{f': {reason}' if reason else ''}", flush=True)

    def _write(self) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._content, indent=2) + "\n", encoding="utf-8")
        partial.replace(self._path)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
