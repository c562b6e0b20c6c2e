"""How fast a training step is, in what memory, and at what price it is deterministic."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._report import side_by_side, times_as_fast
from benchmarks._step import (
    RESNET18,
    RESNET50,
    TINY,
    Setting,
    Step,
    bare_network,
    bare_step,
    our_network,
    our_step,
    plain_network,
    plain_step_of,
    random_batch,
)
from benchmarks.gpu.checks import compiled_losses
from benchmarks.gpu.machine import peak_flops
from benchmarks.gpu.record import Job, Record
from cmmanet.training.device import deterministic

BF16 = torch.bfloat16

# By the name of a network: builds its step on random clips.
STEPS: dict[str, Callable[[Setting, torch.device], Step]] = {
    "cmmanet": lambda setting, device: our_step(
        our_network(setting, device), BF16, *random_batch(setting, device)
    ),
    "baseline": lambda setting, device: our_step(
        our_network(setting, device, mam_after=()), BF16, *random_batch(setting, device)
    ),
    "bare": lambda setting, device: bare_step(
        bare_network(setting, device), BF16, *random_batch(setting, device)
    ),
    "plain": lambda setting, device: plain_step_of(
        plain_network(setting, device), *random_batch(setting, device)
    ),
}


def resnet50(job: Job, record: Record) -> None:
    """Time the paper's step against its references, in turns."""
    _steps(job, record, TINY if job.tiny else RESNET50)


def resnet18(job: Job, record: Record) -> None:
    """Time the small network's step in the same way."""
    _steps(job, record, TINY if job.tiny else RESNET18)


def _steps(job: Job, record: Record, setting: Setting) -> None:
    if job.device.type == "cuda":
        for name, build in STEPS.items():
            record.add(**{f"{name}_peak_gb": _peak_gb(build, setting, job.device)})
    steps = {name: build(setting, job.device) for name, build in STEPS.items()}
    plain = steps.pop("plain")
    rounds, calls = (1, 1) if job.tiny else (12, 10)
    seconds = side_by_side(steps, rounds, job.device, warm_up=1, calls=calls)
    record.add(**_rates(seconds, setting))
    record.add(
        cmmanet_to_bare=times_as_fast(seconds, "cmmanet", "bare"),
        baseline_to_bare=times_as_fast(seconds, "baseline", "bare"),
    )
    with FlopCounterMode(display=False) as counter:
        steps["cmmanet"]()
    flops = counter.get_total_flops() / statistics.median(seconds["cmmanet"])
    peak = peak_flops(job.device)
    record.add(
        cmmanet_tflops=flops / 1e12,
        cmmanet_share_of_peak=None if peak is None else flops / peak,
    )
    # Hundreds of times as many kernels: few of these.
    pair = {"cmmanet": steps["cmmanet"], "plain": plain}
    rounds, calls = (1, 1) if job.tiny else (5, 3)
    seconds = side_by_side(pair, rounds, job.device, warm_up=1, calls=calls)
    record.add(
        **_rates({"plain": seconds["plain"]}, setting),
        cmmanet_to_plain=times_as_fast(seconds, "cmmanet", "plain"),
    )


def _rates(seconds: Mapping[str, Sequence[float]], setting: Setting) -> dict[str, float]:
    figures = {}
    for name, values in seconds.items():
        figures[f"{name}_ms"] = 1000 * statistics.median(values)
        figures[f"{name}_frames_per_second"] = setting.batch / statistics.median(values)
    return figures


def _peak_gb(
    build: Callable[[Setting, torch.device], Step], setting: Setting, device: torch.device
) -> float:
    """Return the peak memory of a network that is alone on the device, after two steps."""
    torch.cuda.reset_peak_memory_stats(device)
    step = build(setting, device)
    step(), step()
    peak = torch.cuda.max_memory_allocated(device) / 1e9
    del step
    _free()
    return peak


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def compiled(job: Job, record: Record) -> None:
    """Compile the networks: the same losses? how long does it take, and what does it gain?"""
    setting = TINY if job.tiny else RESNET50
    # Without a GPU only that the graph can be captured: generating code takes a minute.
    backend = "aot_eager" if job.tiny else "inductor"
    network = our_network(setting, job.device)
    network.compile(backend=backend)
    record.add(loss_difference=compiled_losses(setting, job.device, network))
    eager = STEPS["cmmanet"](setting, job.device)
    for name, (build, take) in _COMPILED.items():
        module = build(setting, job.device)
        module.compile(backend=backend)
        step = take(module, BF16, *random_batch(setting, job.device))
        first = side_by_side({"step": step}, 1, job.device, warm_up=0)["step"][0]
        record.add(**{f"{name}_first_step_s": first})
        rounds, calls = (1, 1) if job.tiny else (8, 10)
        seconds = side_by_side({name: step, "eager": eager}, rounds, job.device, calls=calls)
        record.add(**_rates({name: seconds[name]}, setting))
        if name == "cmmanet":
            record.add(times_as_fast=times_as_fast(seconds, "cmmanet", "eager"))


# In order of value: a minute each, at first.
_COMPILED: dict[str, tuple[Callable[..., Any], Callable[..., Step]]] = {
    "cmmanet": (our_network, our_step),
    "bare": (bare_network, bare_step),
    "baseline": (lambda *where: our_network(*where, mam_after=()), our_step),
}


def deterministic_cost(job: Job, record: Record) -> None:
    """Time a step with deterministic kernels, as `train` takes it, and without."""
    setting = TINY if job.tiny else RESNET50
    step = STEPS["cmmanet"](setting, job.device)
    operations: set[str] = set()

    def deterministically() -> None:
        with deterministic(job.device) as met:
            step()
        operations.update(met)

    rounds, calls = (1, 1) if job.tiny else (8, 10)
    pair = {"with": deterministically, "without": step}
    seconds = side_by_side(pair, rounds, job.device, warm_up=1, calls=calls)
    record.add(
        slowdown=times_as_fast(seconds, "without", "with"),
        without_deterministic_kernel=sorted(operations),
    )


def largest_batch(job: Job, record: Record) -> None:
    """Find how many clips of six frames fit, in steps of the paper's four clips per identity."""
    setting = TINY if job.tiny else RESNET50
    fits, fails = 0, 4 if job.tiny else 1024  # identities
    try_next = setting.identities
    while fits + 1 < fails:
        larger = setting._replace(identities=try_next)
        if _fits(larger, job.device):
            fits = try_next
            record.add(clips=fits * setting.clips, frames=larger.batch)
            try_next = min(2 * fits, (fits + fails) // 2)
        else:
            fails = try_next
            try_next = (fits + fails) // 2
        if fails - fits <= max(1, fits // 16):
            break
    if not fits:
        record.add(clips=0)


def _fits(setting: Setting, device: torch.device) -> bool:
    try:
        step = STEPS["cmmanet"](setting, device)
        step(), step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return False
    finally:
        step = None  # type: ignore[assignment]
        _free()
    return True
