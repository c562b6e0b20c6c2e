"""Stage fetch: render, download or check a dataset's files, and list them in a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.datasets.mirror import get_file
from cmmanet.frames.archive import digest_part, hash_file, list_members
from cmmanet.frames.members import is_data
from cmmanet.messages import hide_passwords
from cmmanet.params import DataPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.dependencies import code_of
from pipeline.parts.rendering import render_once


def main(dataset: DatasetName) -> None:
    """Render or verify DATASET's archives and write data/DATASET/manifest.json.

    Runs at every `dvc repro`, since DVC cannot see the raw data folder. A file of the same size,
    time and inode as before is not read again.
    """
    plan = workspace.read_plan(DataPlan, f"{dataset}/data.json")
    if plan.render is None:
        folder = workspace.raw_folder() / dataset
        if mirror := os.environ.get("CMMANET_MIRROR"):
            _download(f"{mirror.rstrip('/')}/{dataset}", dataset, folder)
        manifest = _verify(dataset, folder, dataset)
    else:
        name, folder = render_once(plan.render)
        try:
            manifest = _verify(dataset, folder, name)
        except ValueError as error:
            raise ValueError(
                f"{error} (rendered data: delete {folder}, then run this again)"
            ) from None
    workspace.write_json(workspace.data_folder(dataset) / "manifest.json", manifest)
    print(_describe(manifest))


def _download(mirror: str, dataset: str, folder: Path) -> None:
    """Get missing files from the user's mirror; resume interrupted downloads."""
    if all(_is_present(folder / name) for name in DATASETS[dataset].mirror_files):
        return  # nothing is written to a folder that may be read-only
    try:
        with workspace.leased(folder, f"fetch {dataset}"):
            for name in DATASETS[dataset].mirror_files:
                if not _is_present(folder / name):
                    _download_file(mirror, name, folder / name)
    except OSError as error:
        if error.errno not in workspace.NOT_WRITABLE:
            raise
        print(f"{folder} cannot be written: nothing is downloaded", flush=True)


def _is_present(target: Path) -> bool:
    """Whether a file, or the folder that it was extracted to, is in place."""
    return target.exists() or target.with_suffix("").is_dir()


def _download_file(mirror: str, name: str, target: Path) -> None:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(name, total=None)
        get_file(mirror, name, target, on_bytes=partial(_show, bar, task))
    print(f"{target}: from {hide_passwords(mirror)}", flush=True)


def _show(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    bar.update(task, completed=done, total=total)


def _verify(dataset: str, folder: Path, name: str) -> dict[str, Any]:
    """Return the manifest of the files in `folder`, which has a `name` on any machine.

    It is the last one if none of them has changed.
    """
    official = DATASETS[dataset]
    parts = official.find_parts(folder)
    stamps = {str(file): _stamp(file) for file in [*official.info_files(folder), *parts]}
    cache = workspace.root() / "data" / ".manifests" / f"{dataset}.json"
    # Files that an older version of this code has verified are verified again.
    version = code_of("pipeline.fetch")
    try:
        last = json.loads(cache.read_bytes())
        if last["stamps"] == stamps and last["version"] == version:
            return dict(last["manifest"])
    except (OSError, ValueError, KeyError):
        pass  # the first time, or a damaged file
    manifest = _manifest(dataset, folder, name, parts)
    workspace.write_json(cache, {"version": version, "stamps": stamps, "manifest": manifest})
    return manifest


def _manifest(dataset: str, folder: Path, name: str, parts: list[Path]) -> dict[str, Any]:
    official = DATASETS[dataset]
    members = [list_members(part, official.image_suffix) for part in parts]
    listing = official.read_listing(folder, members)
    counts = official.counts(folder, listing)
    archives: list[dict[str, Any]] = [
        {"name": part.name, **digest_part(part, own, listing.member)._asdict()}
        for part, own in zip(parts, members, strict=True)
    ]
    expected, frames = official.official_counts, official.official_frames
    if expected is None:  # rendered here
        expected, frames = counts, len(listing.member)
    images = sum(archive["images"] for archive in archives)
    return {
        "dataset": dataset,
        # Relative to the raw data folder: the manifest is the same on any machine.
        "folder": name,
        "archives": archives,
        "info": {file.name: hash_file(file) for file in official.info_files(folder)},
        "counts": counts,
        "official_counts": expected,
        "listed_frames": len(listing.member),
        "official_frames": frames,
        "complete": counts == expected and (frames is None or images >= frames),
        "warnings": _check_md5(parts, official.unconfirmed_md5),
    }


def _check_md5(parts: list[Path], unconfirmed: Mapping[str, str]) -> list[str]:
    """Return a warning for each archive whose hash differs from the unconfirmed one."""
    warnings = []
    for part in parts:
        if part.name in unconfirmed and part.is_file():
            with part.open("rb") as file:
                md5 = hashlib.file_digest(file, _md5).hexdigest()
            if md5 != unconfirmed[part.name]:
                warnings.append(
                    f"{part.name} has md5 {md5}; an unconfirmed source gives "
                    f"{unconfirmed[part.name]}: it may be damaged or another version"
                )
    return warnings


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _stamp(file: Path) -> list[int]:
    """Return size, time and inode of a file, or a hash of those of all data files in a folder."""
    if not file.is_dir():
        return _identity(file.stat())
    named = ((path, path.relative_to(file).as_posix()) for path in sorted(file.rglob("*")))
    # Links may lead nowhere; listing refuses them.
    found = [(name, path.lstat()) for path, name in named if is_data(name)]
    content = [[name, *_identity(stat)] for name, stat in found if not S_ISDIR(stat.st_mode)]
    return [int(hashlib.sha256(json.dumps(content).encode()).hexdigest()[:15], 16)]


def _identity(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _describe(manifest: dict[str, Any]) -> str:
    counts, official = manifest["counts"], manifest["official_counts"]
    lines = [f"warning: {manifest['dataset']}: {text}" for text in manifest["warnings"]]
    if manifest["complete"]:
        return "\n".join(
            [
                *lines,
                f"{manifest['dataset']}: complete, {manifest['listed_frames']:,} frames listed",
            ]
        )
    fewer = [
        f"{counts[name]:,} of {official[name]:,} {name.replace('_', ' ')}"
        for name in official
        if counts[name] != official[name]
    ]
    if manifest["official_frames"] is not None:
        images = sum(archive["images"] for archive in manifest["archives"])
        fewer.append(
            f"{manifest['listed_frames']:,} frames listed and {images:,} present of "
            f"{manifest['official_frames']:,}"
        )
    words = f"{manifest['dataset']}: PARTIAL: {', '.join(fewer)}"
    return "\n".join([*lines, f"{words}; every result from it is labelled partial"])


if __name__ == "__main__":
    run(main)
