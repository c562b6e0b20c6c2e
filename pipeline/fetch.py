"""Stage fetch: make sure that a dataset's files are in place, and say what they are."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, track

from cmmanet.datasets import mars, synthetic
from cmmanet.params import DataPlan, Render
from pipeline import workspace
from pipeline.command import DatasetName, run

# How often a chunk of a large archive is hashed at a time.
_CHUNK = 2**24


def main(dataset: DatasetName) -> None:
    """Render or verify DATASET's archives and write data/DATASET/manifest.json.

    Runs at every `dvc repro`, since DVC cannot see the raw data folder, and costs little:
    files whose size and time are unchanged are not read again.
    """
    plan = workspace.read_plan(DataPlan, f"{dataset}/data.json")
    folder = workspace.raw_folder() / dataset
    with workspace.locked(f"fetch-{dataset}", f"{dataset} is being fetched by another process"):
        if plan.render is not None:
            folder = _rendered(folder, plan.render)
        manifest = _verified(dataset, folder)
    workspace.write_json(workspace.data_folder(dataset) / "manifest.json", manifest)
    print(_in_words(manifest))


def _rendered(parent: Path, render: Render) -> Path:
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
    parts = mars.find_parts(folder)
    files = [*mars.info_files(folder), *parts]
    stamps = {str(file): _stamp(file) for file in files}
    kept = workspace.root() / "data" / ".manifests" / f"{dataset}.json"
    try:
        last = json.loads(kept.read_bytes())
        if last["stamps"] == stamps:
            return dict(last["manifest"])
    except (OSError, ValueError, KeyError):
        pass  # the first time, or a file that is not whole: verify anew
    manifest = _manifest(dataset, folder, parts)
    workspace.write_json(kept, {"stamps": stamps, "manifest": manifest})
    return manifest


def _manifest(dataset: str, folder: Path, parts: list[Path]) -> dict[str, Any]:
    listing = mars.read_listing(folder)
    counts = mars.counts(listing)
    archives: list[dict[str, Any]] = []
    for part in parts:
        images, size, digest = _digest(part, mars.IMAGE_SUFFIX)
        archives.append({"name": part.name, "images": images, "bytes": size, "sha256": digest})
    official = mars.OFFICIAL_COUNTS if dataset == "mars" else counts
    wrong = {name: count for name, count in counts.items() if count != official[name]}
    found = sum(archive["images"] for archive in archives)
    return {
        "dataset": dataset,
        # Relative to the raw data folder, so that the manifest is the same on any machine.
        "folder": folder.relative_to(workspace.raw_folder()).as_posix(),
        "archives": archives,
        "info": {file.name: _sha256(file) for file in mars.info_files(folder)},
        "counts": counts,
        "official_counts": official,
        "complete": not wrong and found >= official["train_frames"] + official["test_frames"],
    }


def _digest(part: Path, suffix: str) -> tuple[int, int, str]:
    """Number of images, bytes and sha256 of an archive, or of a folder's names and sizes.

    Raises:
        ValueError: for an archive that is cut short or damaged.
    """
    if part.is_dir():
        digest, images, size = hashlib.sha256(), 0, 0
        for file in sorted(part.rglob(f"*{suffix}")):
            length = file.stat().st_size
            digest.update(f"{file.relative_to(part).as_posix()} {length}\n".encode())
            images, size = images + 1, size + length
        return images, size, digest.hexdigest()
    try:
        with zipfile.ZipFile(part) as archive:
            images = sum(name.endswith(suffix) for name in archive.namelist())
    except zipfile.BadZipFile:
        raise ValueError(
            f"{part}: no whole zip archive ({part.stat().st_size:,} bytes): cut short or damaged; "
            "get it again"
        ) from None
    return images, part.stat().st_size, _sha256(part)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    size = file.stat().st_size
    with file.open("rb") as stream:
        chunks = iter(lambda: stream.read(_CHUNK), b"")
        if size > 8 * _CHUNK and sys.stderr.isatty():
            chunks = iter(track(chunks, f"hashing {file.name}", total=-(-size // _CHUNK)))
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


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
    frames = counts["train_frames"] + counts["test_frames"]
    if manifest["complete"]:
        return f"{manifest['dataset']}: complete, {frames:,} frames listed"
    whole = official["train_frames"] + official["test_frames"]
    images = sum(archive["images"] for archive in manifest["archives"])
    return (
        f"{manifest['dataset']}: PARTIAL: {frames:,} frames listed and {images:,} present of "
        f"{whole:,}; every number from it will be labelled so"
    )


if __name__ == "__main__":
    run(main)
