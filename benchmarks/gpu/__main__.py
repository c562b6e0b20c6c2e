"""`python -m benchmarks.gpu --out DIR --minutes M`: every question about a GPU, by its value."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks._report import judged
from benchmarks.gpu.goals import goals
from benchmarks.gpu.record import Job, Record, write_figures
from benchmarks.gpu.steps import STEPS, Step
from cmmanet.training.device import prepare_device

# Forked after torch is imported: a step starts at once, in a process that can be ended.
_FORK = multiprocessing.get_context("fork")


def main() -> None:
    """Answer every question about a GPU, in order of value, within some minutes.

    Each step has a process and a time limit of its own, and writes its figures as it goes: what a
    cut-off run has measured is kept. The last line is JSON.
    """
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for figures.json")
    parser.add_argument("--minutes", type=float, default=8.5, help="for everything (default 8.5)")
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
    (out / "steps").mkdir(parents=True, exist_ok=True)
    end = time.monotonic() - _seconds_since_start() + 60 * given.minutes
    records: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(torch.device(given.device), given.tiny, Path(folder))
        for step in STEPS:
            if not given.only or step.name in given.only:
                path = out / "steps" / f"{step.name}.json"
                records[step.name] = run_step(step, job, path, end - time.monotonic())
                write_figures(out, records)
    card = records["machine"].figures.get("card") if "machine" in records else None
    bars = judged(goals(records))
    print(json.dumps({"benchmark": "gpu", "device": card or given.device, "bars": bars}))


def run_step(step: Step, job: Job, path: Path, left: float) -> Record:
    """Let a step answer in a process of its own; its record says how that ended."""
    print(f"{step.name}: {step.question}", flush=True)
    if left < step.least:
        record = Record.begin(path, step.name, step.question)
        reason = f"too little time: it needs {step.least} s, and {max(0, left):.0f} s are left"
        record.close("skipped", 0, reason)
        return record
    path.unlink(missing_ok=True)
    begun, limit = time.monotonic(), min(left, step.most)
    process = _FORK.Process(target=_answer_step, args=(step, job, path))
    process.start()
    process.join(limit)
    late = process.is_alive()
    # Also the processes that it started, and may have left.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join(10)  # one that is stuck in the driver cannot be ended
    record = Record.read(path) if path.is_file() else Record.begin(path, step.name, step.question)
    if record.status == "running":
        status = "timed out" if late else "failed"
        why = f"ended after {limit:.0f} s" if late else f"its process ended: {process.exitcode}"
        record.close(status, time.monotonic() - begun, why)
    return record


def _answer_step(step: Step, job: Job, path: Path) -> None:
    os.setpgid(0, 0)
    record, begun = Record.begin(path, step.name, step.question), time.monotonic()
    status, reason = "done", None
    try:
        prepare_device(job.device)
        step.answer(job, record)
        if record.errors:
            status, reason = "failed", f"parts: {', '.join(record.errors)}"
    except torch.OutOfMemoryError as error:
        status, reason = "out of memory", str(error).splitlines()[0]
    except ModuleNotFoundError as error:
        status, reason = "skipped", f"{error}: see benchmarks/gpu/README.md"
    except Exception as error:
        record.content["errors"]["step"] = traceback.format_exc()[-3000:]
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    record.close(status, time.monotonic() - begun, reason)
    sys.stderr.flush()
    os._exit(0)  # libraries that hang at exit would take the next steps' time


def _answer(question: Callable[[], bool]) -> bool:
    """Return the answer of a yes-or-no question that is asked in another process."""
    process = _FORK.Process(target=lambda: os._exit(0 if question() else 1))
    process.start()
    process.join()
    return process.exitcode == 0


def _seconds_since_start() -> float:
    """Return the age of this process: importing torch took some of its time."""
    try:
        started = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return 0.0
    return max(0.0, uptime - int(started) / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    main()
