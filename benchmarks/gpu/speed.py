"""How fast a training step is, in what memory, and at what price it is deterministic."""

from __future__ import annotations

import gc
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._report import side_by_side, times_as_fast, wait
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
    "plain": lambda setting, device: _as_pytorch_defaults(
        plain_step_of(plain_network(setting, device), *random_batch(setting, device))
    ),
}


def resnet50(job: Job, record: Record) -> None:
    """Time the paper's step against its references, in turns."""
    _steps(job, record, TINY if job.tiny else RESNET50)


def resnet18(job: Job, record: Record) -> None:
    """Time the small network's step in the same way."""
    _steps(job, record, TINY if job.tiny else RESNET18)


def _steps(job: Job, record: Record, setting: Setting) -> None:
    references = [name for name in STEPS if name != "plain"]
    if job.device.type == "cuda":
        for name in references:
            record.add(**{f"{name}_peak_gb": _peak_gb(STEPS[name], setting, job.device)})
    steps = {name: STEPS[name](setting, job.device) for name in references}
    rounds, calls = (1, 1) if job.tiny else (12, 10)
    seconds = side_by_side(steps, rounds, job.device, warm_up=1, calls=calls)
    record.add(**_rates(seconds, setting))
    record.add(
        cmmanet_to_bare=times_as_fast(seconds, "cmmanet", "bare"),
        baseline_to_bare=times_as_fast(seconds, "baseline", "bare"),
    )
    with record.part("arithmetic"):
        with FlopCounterMode(display=False) as counter:
            steps["cmmanet"]()
        flops = counter.get_total_flops() / statistics.median(seconds["cmmanet"])
        peak = peak_flops(job.device)
        record.add(
            cmmanet_tflops=flops / 1e12,
            cmmanet_share_of_peak=None if peak is None else flops / peak,
        )
    with record.part("plain"):
        # Hundreds of times as many kernels: few of these.
        pair = {"cmmanet": steps["cmmanet"], "plain": STEPS["plain"](setting, job.device)}
        rounds, calls = (1, 1) if job.tiny else (5, 3)
        seconds = side_by_side(pair, rounds, job.device, warm_up=1, calls=calls)
        record.add(
            **_rates({"plain": seconds["plain"]}, setting),
            cmmanet_to_plain=times_as_fast(seconds, "cmmanet", "plain"),
        )
        if job.device.type == "cuda":
            del steps, pair
            _free()
            record.add(plain_peak_gb=_peak_gb(STEPS["plain"], setting, job.device))


def _as_pytorch_defaults(step: Step) -> Step:
    """Take a step with TF32 convolutions: the default, which our training switches off."""

    def call() -> object:
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            return step()
        finally:
            torch.backends.cudnn.allow_tf32 = before

    return call


def kernels(job: Job, record: Record) -> None:
    """Profile a step of CMMANet and of torchvision's network: the kernels that take longest."""
    setting = TINY if job.tiny else RESNET50
    cuda = job.device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    for name in ("cmmanet", "bare"):
        step = STEPS[name](setting, job.device)
        for _ in range(3):
            step()
        with torch.profiler.profile(activities=activities) as profile:
            step()
            wait(job.device)
        events = profile.key_averages()
        if cuda:
            kernels = [event for event in events if _is_kernel(event)]
            record.add(**{f"{name}_kernels_ms": _longest(kernels, "self_device_time_total")})
            busy = sum(event.self_device_time_total for event in kernels) / 1000
            record.add(**{f"{name}_all_kernels_ms": busy})
        operations = [event for event in events if event.device_type == DeviceType.CPU]
        time = "self_device_time_total" if cuda else "self_cpu_time_total"
        record.add(**{f"{name}_ms": _longest(operations, time)})


def _is_kernel(event: Any) -> bool:
    return event.device_type == DeviceType.CUDA and not event.is_user_annotation


def _longest(events: Sequence[Any], time: str) -> dict[str, float]:
    """Return the ms of the 25 names that take longest; a kernel's name is cut to 100 characters."""
    spent: Counter[str] = Counter()
    for event in events:
        spent[event.key[:100]] += getattr(event, time) / 1000
    return {key: round(ms, 3) for key, ms in spent.most_common(25)}


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
    # More frames than 4,096 pass 2^31 elements in a map, which not every kernel can address.
    fits, fails = 0, 4 if job.tiny else 4096 // (setting.clips * setting.frames) + 1  # identities
    attempt = setting.identities
    while fails - fits > max(1, fits // 16):
        try:
            fitted = _fits(setting._replace(identities=attempt), job.device)
        except RuntimeError as error:  # libraries have other words for memory that ran out
            record.add(ended_by=str(error).splitlines()[0])
            break
        if fitted:
            fits = attempt
            record.add(clips=fits * setting.clips)
        else:
            fails = attempt
        attempt = min(2 * fits, (fits + fails) // 2) if fits else fails // 2
    record.add(clips=fits * setting.clips)


def _fits(setting: Setting, device: torch.device) -> bool:
    try:
        step: Step | None = STEPS["cmmanet"](setting, device)
        step(), step()  # type: ignore[misc]
        wait(device)
    except torch.OutOfMemoryError:
        return False
    finally:
        step = None
        _free()
    return True
