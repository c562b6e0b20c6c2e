"""Stage fetch: make sure that a dataset's files are in place, and say what they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
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

from cmmanet.datasets import mars, synthetic
from cmmanet.datasets.mirror import get_file
from cmmanet.datasets.protocol import files_of
from cmmanet.frames import archive
from cmmanet.frames.archive import digest_part, hash_file, list_members
from cmmanet.params import DataPlan, Render
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Render or verify DATASET's archives and write data/DATASET/manifest.json.

    Runs at every `dvc repro`, since DVC cannot see the raw data folder, and costs little:
    files whose size and time are unchanged are not read again.
    """
    plan = workspace.read_plan(DataPlan, f"{dataset}/data.json")
    folder = workspace.raw_folder() / dataset
    # The raw data are shared by every copy of the repository.
    with workspace.locked(workspace.root() / ".locks", f"fetch-{dataset}", wait=True):
        if plan.render is None:
            if mirror := os.environ.get("CMMANET_MIRROR"):
                _mirrored(f"{mirror.rstrip('/')}/{dataset}", dataset, folder)
            manifest = _verified(dataset, folder)
        else:
            folder = rendered(folder, plan.render)
            try:
                manifest = _verified(dataset, folder)
            except ValueError as error:
                raise ValueError(
                    f"{error} (rendered data: delete {folder} and it is rendered again)"
                ) from None
    workspace.write_json(workspace.data_folder(dataset) / "manifest.json", manifest)
    print(_in_words(manifest))


def _mirrored(mirror: str, dataset: str, folder: Path) -> None:
    """Get what is not in place yet from the user's mirror, resuming what broke off."""
    for name in files_of(dataset).MIRROR_FILES:
        target = folder / name
        if target.exists() or target.with_suffix("").is_dir():
            continue
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
        print(f"{target}: from {mirror}", flush=True)


def _show(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    bar.update(task, completed=done, total=total)


def rendered(parent: Path, render: Render) -> Path:
    """The folder of the rendered archives: one for each set of parameters, kept for reuse."""
    content = json.dumps([synthetic.RENDERER_VERSION, render.model_dump()], sort_keys=True)
    folder = parent / hashlib.sha256(content.encode()).hexdigest()[:12]
    if not folder.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("rendering pedestrians")
            synthetic.render(
                folder,
                **render.model_dump(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    return folder


def _verified(dataset: str, folder: Path) -> dict[str, Any]:
    """The manifest of the files in `folder`, from the last time if none has changed."""
    files = files_of(dataset)
    parts = files.find_parts(folder)
    stamps = {str(file): _stamp(file) for file in [*files.info_files(folder), *parts]}
    kept = workspace.root() / "data" / ".manifests" / f"{dataset}.json"
    # What an older version of this code verified is verified anew.
    rooms = (Path(mars.__file__).parent, Path(archive.__file__).parent)
    code = [Path(__file__), *(file for room in rooms for file in sorted(room.glob("*.py")))]
    version = [hash_file(file) for file in code]
    try:
        last = json.loads(kept.read_bytes())
        if last["stamps"] == stamps and last["version"] == version:
            return dict(last["manifest"])
    except (OSError, ValueError, KeyError):
        pass  # the first time, or a file that is not whole
    manifest = _manifest(dataset, folder, parts)
    workspace.write_json(kept, {"version": version, "stamps": stamps, "manifest": manifest})
    return manifest


def _manifest(dataset: str, folder: Path, parts: list[Path]) -> dict[str, Any]:
    files = files_of(dataset)
    members = [list_members(part, files.IMAGE_SUFFIX) for part in parts]
    listing = files.read_listing(folder, members)
    counts = files.counts(folder, listing)
    archives: list[dict[str, Any]] = [
        {"name": part.name, **digest_part(part, found)._asdict()}
        for part, found in zip(parts, members, strict=True)
    ]
    rendered = dataset == "synthetic"
    official = counts if rendered else files.OFFICIAL_COUNTS
    frames = len(listing.member) if rendered else files.OFFICIAL_FRAMES
    found = sum(archive["images"] for archive in archives)
    return {
        "dataset": dataset,
        # Relative to the raw data folder, so that the manifest is the same on any machine.
        "folder": folder.relative_to(workspace.raw_folder()).as_posix(),
        "archives": archives,
        "info": {file.name: hash_file(file) for file in files.info_files(folder)},
        "counts": counts,
        "official_counts": official,
        "listed_frames": len(listing.member),
        "official_frames": frames,
        "complete": counts == official and (frames is None or found >= frames),
        "warnings": _doubts(parts, files.UNCONFIRMED_MD5),
    }


def _doubts(parts: list[Path], md5s: Mapping[str, str]) -> list[str]:
    """What is worth a warning: a hash that one unconfirmed source gives, and is another."""
    doubts = []
    for part in parts:
        if part.name in md5s and part.is_file():
            with part.open("rb") as file:
                found = hashlib.file_digest(file, _md5).hexdigest()
            if found != md5s[part.name]:
                doubts.append(
                    f"{part.name} has md5 {found}; an unconfirmed source gives "
                    f"{md5s[part.name]}: it may be damaged or another version"
                )
    return doubts


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _stamp(file: Path) -> list[int]:
    """What changes when a file is replaced; of a folder, the same of all that it holds."""
    if file.is_dir():
        stats = [path.stat() for path in sorted(file.rglob("*"))]
        content = json.dumps([[stat.st_size, stat.st_mtime_ns, stat.st_ino] for stat in stats])
        return [int(hashlib.sha256(content.encode()).hexdigest()[:15], 16)]
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _in_words(manifest: dict[str, Any]) -> str:
    counts, official = manifest["counts"], manifest["official_counts"]
    lines = [f"warning: {manifest['dataset']}: {doubt}" for doubt in manifest["warnings"]]
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
    return "\n".join([*lines, f"{words}; every number from it will be labelled so"])


if __name__ == "__main__":
    run(main)
