"""Where things lie, and how they are written.

Stages read and write below the working directory, which under `dvc exp run --temp` is a
throwaway copy of the repository. What must outlive it is anchored on DVC_ROOT, which is
the original repository then.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, LeaseCompromise, SoftFileLease, Timeout
from pydantic import BaseModel, ValidationError

from cmmanet.params import READING

PARAMS = Path("params.yaml")
_RAW = "data/raw"
REPORTS = Path("reports")
# Files of a run folder.
WEIGHTS, HISTORY = "weights.safetensors", "history.csv"

# Errors of a folder that this process may not write to.
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)

# Seconds without a heartbeat after which another machine may take over what a lease protects. All
# machines that share a folder must have the same.
LEASE = 120.0

Plan = TypeVar("Plan", bound=BaseModel)
Record = TypeVar("Record", bound=BaseModel)


def root() -> Path:
    """The repository that outlives an experiment's temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def raw_folder() -> Path:
    """Where the user puts archives: $CMMANET_DATA, by default data/raw."""
    return root() / os.environ.get("CMMANET_DATA", _RAW)


def own_raw_folder() -> Path:
    """Where rendered data go if `raw_folder` cannot be written."""
    return root() / _RAW


def raw_data(name: str) -> Path:
    """Return a folder of raw data, by its name in a manifest; it may be missing."""
    own, shared = own_raw_folder() / name, raw_folder() / name
    return own if own.is_dir() and not shared.is_dir() else shared


def run_store() -> Path:
    """Where finished and interrupted runs are kept: $CMMANET_RUNS, by default .runs."""
    return root() / os.environ.get("CMMANET_RUNS", ".runs")


def plan_file(name: str) -> Path:
    """A file of the plan stage."""
    return Path("plan") / name


def data_folder(dataset: str) -> Path:
    """Manifest, index and trials of a dataset."""
    return Path("data") / dataset


def run_folder(dataset: str, arm: str) -> Path:
    """What training an arm leaves."""
    return _home(arm) / "runs" / dataset / arm


def embedding_folder(dataset: str, arm: str) -> Path:
    """The tracklets' embeddings by an arm."""
    return _home(arm) / "embeddings" / dataset / arm


def result_file(dataset: str, arm: str) -> Path:
    """The measured numbers of an arm."""
    return _home(arm) / "results" / dataset / f"{arm}.json"


def ranking_file(dataset: str, arm: str) -> Path:
    """What became of each query under an arm."""
    return _home(arm) / "rankings" / dataset / f"{arm}.parquet"


def comparison_file(dataset: str) -> Path:
    """How sure the arms' numbers are."""
    return Path("comparisons") / f"{dataset}.json"


def attention_file(dataset: str, arm: str) -> Path:
    """What an arm's attention looks at, query by query."""
    return Path("attention") / dataset / f"{arm}.parquet"


def claims_file(dataset: str) -> Path:
    """The paper's claims about attention, judged."""
    return Path("claims") / f"{dataset}.json"


def curve_folder(dataset: str) -> Path:
    """CMC and training curves of a dataset's arms."""
    return Path("curves") / dataset


def retrieval_file(dataset: str) -> Path:
    """What the arms answer to some queries."""
    return Path("retrievals") / f"{dataset}.json"


def figure_folder(dataset: str) -> Path:
    """A dataset's figures, and what they show."""
    return REPORTS / "figures" / dataset


def figure_list(dataset: str) -> Path:
    """What a dataset's figures show."""
    return figure_folder(dataset) / "figures.json"


def cross_file(source: str, target: str, arm: str) -> Path:
    """The measured numbers of an arm of `source` on `target`."""
    return Path("cross") / source / target / f"{arm}.json"


def occluded_folder(level: float) -> Path:
    """Index and split of the people tested at a share of occluded frames."""
    return Path("occlusion") / "data" / str(level)


def occlusion_result_file(level: float, arm: str) -> Path:
    """The measured numbers of an arm at a share of occluded frames."""
    return Path("occlusion") / "results" / str(level) / f"{arm}.json"


def occlusion_ranking_file(level: float, arm: str) -> Path:
    """What became of each query under an arm at a share of occluded frames."""
    return Path("occlusion") / "rankings" / str(level) / f"{arm}.parquet"


def _home(arm: str) -> Path:
    # The report depends on whole folders of arms: readings in them would be run for it as well.
    return Path("readings" if arm.startswith(READING) else "")


def lock_folder() -> Path:
    """Locks of what a working copy writes; another copy's stages are not in the way."""
    return Path(".locks")


def unfinished_folder(name: str) -> Path:
    """Return the folder of the finished part of `name`, which an interrupted stage continues."""
    return Path(".unfinished") / name


def trial_name(trial: int) -> str:
    """Name of a trial's folder or file."""
    return f"trial-{trial:02d}"


def read_plan(plan: type[Plan], name: str) -> Plan:
    """Read a file of the plan stage.

    Raises:
        FileNotFoundError: says which stage to run.
        ValueError: if the file is not of this version's form.
    """
    path = plan_file(name)
    try:
        return plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: not there: run `python -m pipeline.plan`, and name a dataset and an arm "
            "that params.yaml lists"
        ) from None
    except ValidationError:
        raise ValueError(f"{path}: of another version; run `python -m pipeline.plan`") from None


def read_json(path: Path, stage: str) -> Any:
    """Read a JSON file that `stage` writes.

    Raises:
        FileNotFoundError: says which stage to run.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not there; run the stage {stage} first") from None


def read_record(model: type[Record], path: Path, target: str) -> Record:
    """Read a JSON file that the DVC target `target` writes.

    Raises:
        FileNotFoundError: names the target to run.
        ValueError: the file was written by a version with another `model`.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: missing; run `dvc repro {target}`") from None
    except ValidationError:
        raise ValueError(
            f"{path}: written by an incompatible version; run `dvc repro {target}`"
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # not every file system has modes
            Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of text whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all, in a form that diffs well."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    write_bytes(path, content.getvalue().to_pybytes())


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes `target` in the end, whole or not at all.

    What was at `target` stays until then.
    """
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested values by dotted key, as they stand in params.yaml."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes of this machine out of what `name` stands for.

    The lock ends with its process.

    Raises:
        BlockingIOError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{name}.pid"
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = "unknown"
        with suppress(FileNotFoundError):
            other = holder.read_text() or other
        raise BlockingIOError(
            f"{name} is being done by another process, {other}: end that one, or let it "
            "finish, then run this again"
        ) from None
    try:
        holder.write_text(str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def leased(folder: Path, work: str) -> Iterator[None]:
    """Keep the processes of all machines that share `folder` from writing to it; wait for them.

    A process that died is not waited for, one of another machine no longer than `LEASE`.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = lease(folder / ".lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"{work} is being done by {lease_owner(held)}: waiting for it", flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def lease(path: Path) -> SoftFileLease:
    """Return a lease, not yet acquired; this process ends if another takes it over."""
    return SoftFileLease(
        path, lease_duration=LEASE, on_compromise=_end, thread_local=False, poll_interval=1
    )


def lease_owner(lease: SoftFileLease) -> str:
    """Name the process that has a lease."""
    owner = lease.owner
    return f"process {owner.pid} on {owner.hostname}" if owner else "another process"


def _end(compromise: LeaseCompromise) -> None:
    """End this process when it can no longer keep others away: its lease is not renewed."""
    print(
        f"the lease on this work is lost ({compromise.reason}): another process may take it over",
        flush=True,
    )
    os.kill(os.getpid(), signal.SIGTERM)
