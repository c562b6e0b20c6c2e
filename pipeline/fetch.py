"""Stage fetch: make sure that a dataset's files are in place, and say what they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from cmmanet.datasets import mars, synthetic
from cmmanet.frames import archive
from cmmanet.frames.archive import digest_part, hash_file
from cmmanet.params import DataPlan, Render
from pipeline import workspace
from pipeline.command import DatasetName, run


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
            manifest = _verified(dataset, folder)
        else:
            folder = _rendered(folder, plan.render)
            try:
                manifest = _verified(dataset, folder)
            except ValueError as error:
                raise ValueError(
                    f"{error} (rendered data: delete {folder} and it is rendered again)"
                ) from None
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
    # What an older version of this code verified is verified anew.
    version = [hash_file(Path(module)) for module in (__file__, mars.__file__, archive.__file__)]
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
    listing = mars.read_listing(folder)
    counts = mars.counts(listing)
    archives: list[dict[str, Any]] = [
        {"name": part.name, **digest_part(part, mars.IMAGE_SUFFIX)._asdict()} for part in parts
    ]
    official = mars.OFFICIAL_COUNTS if dataset == "mars" else counts
    wrong = {name: count for name, count in counts.items() if count != official[name]}
    found = sum(archive["images"] for archive in archives)
    return {
        "dataset": dataset,
        # Relative to the raw data folder, so that the manifest is the same on any machine.
        "folder": folder.relative_to(workspace.raw_folder()).as_posix(),
        "archives": archives,
        "info": {file.name: hash_file(file) for file in mars.info_files(folder)},
        "counts": counts,
        "official_counts": official,
        "complete": not wrong and found >= official["train_frames"] + official["test_frames"],
    }


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
