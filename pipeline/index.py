"""Stage index: locate every listed frame inside the archives, without unpacking them."""

from __future__ import annotations

from dataclasses import asdict

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.frames.archive import hash_file, list_members
from cmmanet.frames.index import FRAMES, TRACKLETS, build_index
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's frames.parquet, tracklets.parquet, frames.json, index.json and missing.txt.

    frames.json names and hashes all that frames are read from, index.json has counts, and
    missing.txt lists the official frames that no archive has.
    """
    data = workspace.data_folder(dataset)
    manifest = workspace.read_json(data / "manifest.json", f"fetch {dataset}")
    folder = workspace.raw_data(manifest["folder"])
    official = DATASETS[dataset]
    parts = [folder / archive["name"] for archive in manifest["archives"]]
    members = [list_members(part, official.image_suffix) for part in parts]
    summary = build_index(official.read_listing(folder, members), members, data)
    # The missing frames have a file of their own: there may be many.
    counts = asdict(summary)
    missing = counts.pop("missing")
    workspace.write_text(data / "missing.txt", "".join(f"{name}\n" for name in missing))
    frames = {
        "folder": manifest["folder"],
        # With their hashes: other pixels of the same sizes must change everything downstream.
        "archives": {archive["name"]: archive["sha256"] for archive in manifest["archives"]},
        "tables": {name: hash_file(data / name) for name in (FRAMES, TRACKLETS)},
    }
    workspace.write_json(data / "frames.json", frames)
    content = {
        "dataset": dataset,
        "partial": not manifest["complete"] or bool(missing),
        "official_frames": manifest["official_frames"],
        **counts,
    }
    workspace.write_json(data / "index.json", content)
    print(
        f"{dataset}: {summary.found_frames:,} frames of {summary.found_tracklets:,} tracklets; "
        f"{len(missing):,} listed frames missing{_examples(missing)}, "
        f"{summary.unlisted_members:,} images not listed{_examples(summary.unlisted_examples)}"
    )


def _examples(names: tuple[str, ...]) -> str:
    return f" (such as {names[0]})" if names else ""


if __name__ == "__main__":
    run(main)
