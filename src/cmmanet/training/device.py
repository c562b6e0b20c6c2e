"""Which device computes, and in which precision."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def choose_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU.

    On CUDA, fp32 is then fp32: by itself cuDNN rounds convolutions to TF32.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Type of the matrix products: `fp32`, `bf16`, or `auto` for bf16 in hardware only.

    Emulated bf16 is slower than fp32, and MPS gains nothing from it.
    """
    if name == "auto":
        name = "bf16" if _has_bf16(device) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def precision_name(precision: torch.dtype) -> str:
    """`fp32` or `bf16`, as in the parameters."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[precision]


def describe_device(device: torch.device) -> str:
    """The device in words, with the thread count on CPU: the bits depend on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()} GPU (MPS)"
    return f"CPU ({_cpu_name()}, {torch.get_num_threads()} threads)"


def default_workers() -> int:
    """Processes that decode frames beside the one that trains."""
    return min(8, (os.cpu_count() or 1) // 2)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()
    return False


def _cpu_flags() -> list[str]:
    return _cpu_field("flags").split()


def _cpu_name() -> str:
    return _cpu_field("model name") or platform.processor() or platform.machine()


def _cpu_field(field: str) -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == field:
                return value.strip()
    except OSError:
        pass
    return ""
