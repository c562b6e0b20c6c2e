"""Which machine this is, and what its matrix units deliver."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision

from benchmarks._report import median_seconds
from benchmarks.gpu.record import Job, Record
from cmmanet.training.device import device_name

# Dense bf16 without sparsity, from the data sheets; H100 alone is the SXM card.
PEAK_FLOPS = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
}

# Where decoding processes hand over their batches.
_SHARED = Path("/dev/shm")  # noqa: S108


def peak_flops(device: torch.device) -> float | None:
    """Return the data sheet's bf16 operations per second, None for an unlisted card."""
    name = device_name(device)
    return next((peak for card, peak in PEAK_FLOPS.items() if card in name), None)


def machine(job: Job, record: Record) -> None:
    """Name the card, the driver, the versions, the date and the commit."""
    cuda = job.device.type == "cuda"
    properties = torch.cuda.get_device_properties(job.device) if cuda else None
    record.add(
        tiny=job.tiny,
        card=device_name(job.device),
        memory_gb=None if properties is None else properties.total_memory / 1e9,
        driver=_output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if cuda else None,
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        python=platform.python_version(),
        processors=os.cpu_count(),
        shared_memory_gb=_SHARED.is_dir() and shutil.disk_usage(_SHARED).total / 1e9,
        threads=torch.get_num_threads(),
        date=datetime.now(UTC).date().isoformat(),
        commit=os.environ.get("KIT_COMMIT") or _output("git", "rev-parse", "HEAD"),
    )
    size = 256 if job.tiny else 8192
    one, other = (torch.randn(size, size, device=job.device).bfloat16() for _ in range(2))
    seconds = median_seconds(lambda: one @ other, 10, job.device, warm_up=3)
    record.add(matmul_tflops=2 * size**3 / seconds / 1e12)


def _output(command: str, *arguments: str) -> str | None:
    path = shutil.which(command)
    if path is None:
        return None
    done = subprocess.run(  # noqa: S603 (the arguments are this file's own)
        [path, *arguments], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else None
