"""Stage index: find every listed frame inside the archives, without unpacking them."""

from __future__ import annotations

from dataclasses import asdict

from cmmanet.datasets.protocol import files_of
from cmmanet.frames.archive import hash_file, list_members
from cmmanet.frames.index import FRAMES, TRACKLETS, build_index
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run


def main(dataset: DatasetName) -> None:
    """Write DATASET's frames.parquet and tracklets.parquet, and index.json about them.

    missing.txt names every listed frame that no archive has.
    """
    data = workspace.data_folder(dataset)
    manifest = workspace.read_json(data / "manifest.json", f"fetch {dataset}")
    folder = workspace.raw_folder() / manifest["folder"]
    files = files_of(dataset)
    parts = [folder / archive["name"] for archive in manifest["archives"]]
    members = [list_members(part, files.IMAGE_SUFFIX) for part in parts]
    listing = files.read_listing(folder, members)
    summary = build_index(listing, members, data)
    # The names in a file of their own: of a dataset's half there are many.
    counts = asdict(summary)
    missing = counts.pop("missing")
    workspace.write_text(data / "missing.txt", "".join(f"{name}\n" for name in missing))
    content = {
        "dataset": dataset,
        "folder": manifest["folder"],
        # With their hashes: other pixels of the same sizes must reach everything downstream.
        "archives": {archive["name"]: archive["sha256"] for archive in manifest["archives"]},
        "tables": {name: hash_file(data / name) for name in (FRAMES, TRACKLETS)},
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
