"""How much memory a process has held."""

from pathlib import Path


def peak_mb() -> float:
    """Give the most memory that this process has held."""
    # Not getrusage: its maximum counts what the parent held when it started this process.
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024 / 1e6
