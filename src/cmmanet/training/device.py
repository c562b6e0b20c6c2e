"""The device that computes, its precision, and what its numbers depend on."""

from __future__ import annotations

import os
import platform
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# What follows the operation's name in PyTorch's warning.
_NO_KERNEL = "does not have a deterministic implementation"


@dataclass(frozen=True)
class Runtime:
    """Where and how a network computes.

    Attributes:
        device: where.
        precision: of the matrix products.
        workers: processes that decode frames; their number changes no result.
    """

    device: torch.device
    precision: torch.dtype
    workers: int

    def autocast(self) -> torch.autocast:
        """Within, matrix products are computed in `precision`."""
        return torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        )


def choose_runtime(precision: str) -> Runtime:
    """Return the best that this machine has; `precision` as in the parameters."""
    device = choose_device()
    return Runtime(device, choose_precision(precision, device), default_workers())


def choose_device() -> torch.device:
    """Return CUDA where available, else Apple's MPS, else the CPU; prepared for use."""
    name = "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device("cuda" if torch.cuda.is_available() else name)
    prepare_device(device)
    return device


def prepare_device(device: torch.device) -> None:
    """Fix what a device's numbers depend on, before its first use.

    On CUDA, fp32 is then fp32 (by default cuDNN rounds convolutions to TF32), and cuBLAS has
    the workspace without which it is not deterministic.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(device: torch.device) -> Iterator[set[str]]:
    """Within, a GPU uses deterministic kernels where PyTorch has them.

    Yields the set of operations without one, filled as they are called. On a CPU all are
    deterministic, for a given number of threads; for MPS, PyTorch does not document it.
    """
    without: set[str] = set()
    if device.type != "cuda":
        yield without
        return
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # its property is unknown to type checkers
    filled = memory.fill_uninitialized_memory
    show = warnings.showwarning

    def notice(message: Warning | str, *where: Any, **details: Any) -> None:
        operation, known, _ = str(message).partition(_NO_KERNEL)
        if known:
            without.add(operation.strip())
        else:
            show(message, *where, **details)

    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would only reveal memory that is read before it is written.
    memory.fill_uninitialized_memory = False
    with warnings.catch_warnings():
        warnings.showwarning = notice
        # Even for a user who silences all warnings.
        warnings.filterwarnings("always", message=f".*{_NO_KERNEL}")
        try:
            yield without
        finally:
            torch.use_deterministic_algorithms(before, warn_only=only_warned)
            memory.fill_uninitialized_memory = filled


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the matrix products: `fp32`, `bf16`, or `auto` for bf16 in hardware only.

    Emulated bf16 is slower than fp32, and MPS gains nothing from it.
    """
    if name == "auto":
        name = "bf16" if _has_bf16(device) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def precision_name(precision: torch.dtype) -> str:
    """Return `fp32` or `bf16`, as in the parameters."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[precision]


def describe_device(device: torch.device) -> str:
    """Return the device in words, with the thread count on CPU: the bits depend on it."""
    name = device_name(device)
    return name if device.type != "cpu" else f"CPU ({name}, {torch.get_num_threads()} threads)"


def device_name(device: torch.device) -> str:
    """Return the make and model of a GPU or a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()} GPU (MPS)"
    return _cpu_field("model name") or platform.processor() or platform.machine()


def reset_peak_memory(device: torch.device) -> None:
    """Forget what this process has held so far: `peak_memory` counts from here on.

    Without CUDA that takes Linux.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return this process's peak in bytes so far: of CUDA memory, else of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        status = Path("/proc/self/status").read_text().split()
        return 1024 * int(status[status.index("VmHWM:") + 1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def default_workers() -> int:
    """Return how many processes decode frames for each process that trains on this machine."""
    trainers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(8, (os.cpu_count() or 1) // 2 // trainers)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()
    return False


def _cpu_flags() -> list[str]:
    return _cpu_field("flags").split()


def _cpu_field(field: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == field:
                return value.strip()
    except OSError:
        pass
    return ""
