"""`python -m benchmarks.gpu --out DIR --minutes M`: every question about a GPU, by its value."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks._report import judged
from benchmarks.gpu.goals import goals
from benchmarks.gpu.record import Job, Record
from benchmarks.gpu.steps import STEPS, Step
from cmmanet.training.device import prepare_device

# Forked after torch is imported: a step starts at once, in a process that can be ended.
_FORK = multiprocessing.get_context("fork")


def main() -> None:
    """Answer every question about a GPU, in order of value, within some minutes.

    Each step has a process and a time limit of its own, and writes its figures as it goes: what a
    cut-off run has measured is kept. The last line is JSON.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder: a JSON file per step")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default 9)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="only try the code, at small sizes")
    names = [step.name for step in STEPS]
    parser.add_argument("--only", action="append", choices=names, help="a step; may be repeated")
    given = parser.parse_args()
    # In a process of its own: one that has used CUDA cannot be forked.
    if given.device == "cuda" and not _answer(torch.cuda.is_available):
        print("error: no CUDA device here; `--device cpu --tiny` tries the code", file=sys.stderr)
        sys.exit(2)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given.minutes
    job = Job(torch.device(given.device), given.tiny)
    for step in STEPS:
        if not given.only or step.name in given.only:
            run_step(step, job, out / f"{step.name}.json", end - time.monotonic())
    records = {path.stem: Record.read(path) for path in out.glob("*.json")}
    card = records["machine"].figures.get("card") if "machine" in records else None
    print(
        json.dumps(
            {"benchmark": "gpu", "device": card or given.device, "bars": judged(goals(records))}
        )
    )


def run_step(step: Step, job: Job, path: Path, left: float) -> None:
    """Let a step answer in a process of its own; its file says how that ended."""
    print(f"{step.name}: {step.question}", flush=True)
    if left < step.least:
        reason = f"too little time: it needs {step.least} s, and {max(0, left):.0f} s are left"
        Record.begin(path, step.name, step.question).close("skipped", 0, reason)
        return
    path.unlink(missing_ok=True)
    begun, limit = time.monotonic(), min(left, step.most)
    process = _FORK.Process(target=_answer_step, args=(step, job, path))
    process.start()
    process.join(limit)
    late = process.is_alive()
    if late:
        # With the processes that it started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.join()
    record = Record.read(path) if path.is_file() else Record.begin(path, step.name, step.question)
    if record.status == "running":
        status = "timed out" if late else "failed"
        why = f"ended after {limit:.0f} s" if late else f"its process ended: {process.exitcode}"
        record.close(status, time.monotonic() - begun, why)


def _answer_step(step: Step, job: Job, path: Path) -> None:
    os.setsid()
    prepare_device(job.device)
    record, begun = Record.begin(path, step.name, step.question), time.monotonic()
    status, reason = "done", None
    try:
        step.answer(job, record)
    except torch.OutOfMemoryError as error:
        status, reason = "out of memory", str(error).splitlines()[0]
    except ModuleNotFoundError as error:
        status, reason = "skipped", f"{error}: see benchmarks/gpu/README.md"
    except Exception as error:
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    record.close(status, time.monotonic() - begun, reason)


def _answer(question: Any) -> bool:
    """Return the answer of a yes-or-no question that is asked in another process."""
    process = _FORK.Process(target=lambda: sys.exit(0 if question() else 1))
    process.start()
    process.join()
    return process.exitcode == 0


if __name__ == "__main__":
    main()
