"""What would end a late stage is refused before anything is trained."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import check, fetch, index, split
from pipeline.parts import workspace


def rewrite(archive: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Write a zip anew, with each member changed."""
    with zipfile.ZipFile(archive) as old:
        members = [(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(archive, "w") as new:
        for info, data in members:
            new.writestr(info, change(info.filename, data))


def test_whole_frames_are_counted(project: Path) -> None:
    check.main("mars")
    frames = workspace.read_json(project / "data/mars/index.json", "index")["found_frames"]
    assert json.loads((project / "data/mars/check.json").read_text()) == {"frames": frames}


def test_a_damaged_member_is_named(project: Path) -> None:
    archive = workspace.raw_folder() / "mars/bbox_test.zip"
    with zipfile.ZipFile(archive) as opened:
        member = opened.infolist()[3]
    content = bytearray(archive.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 16
    archive.write_bytes(content)
    with pytest.raises(ValueError) as refused:
        check.main("mars")
    first, *named = str(refused.value).splitlines()
    assert first.startswith("mars: 1 of ")
    assert named[0].startswith(f"{member.filename} in {archive}: ") and len(named) == 1
    assert not (project / "data/mars/check.json").exists()


def test_images_that_do_not_decode_are_counted_and_the_first_named(project: Path) -> None:
    archive = workspace.raw_folder() / "mars/bbox_train.zip"
    rewrite(archive, lambda name, data: data[: len(data) // 2] + bytes(len(data) // 2))
    fetch.main("mars")
    index.main("mars")
    with pytest.raises(ValueError, match="does not decode") as refused:
        check.main("mars")
    _, *named, rest = str(refused.value).splitlines()
    assert len(named) == 5 and rest.startswith("... and ")


def test_a_split_without_an_identity_in_two_cameras_is_refused(
    write_mars: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    tracklets = workspace.data_folder("mars") / "tracklets.parquet"
    import pyarrow.parquet as pq

    table = pq.read_table(tracklets)
    one = table.set_column(table.column_names.index("camera"), "camera", [[1] * len(table)])
    pq.write_table(one, tracklets)
    before = (project / "data/mars/trials.json").read_bytes()
    with pytest.raises(ValueError, match="no query of split 0 has its identity in another camera"):
        split.main("mars")
    assert (project / "data/mars/trials.json").read_bytes() == before


def test_a_stray_file_changes_nothing_that_training_depends_on(
    write_mars: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_mars(as_zip=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path))
    data = workspace.data_folder("mars")

    def listed() -> dict[str, bytes]:
        workspace.write_json(data / "manifest.json", fetch._verify("mars", root, "mars"))
        index.main("mars")
        return {
            name: (data / name).read_bytes()
            for name in ("frames.parquet", "tracklets.parquet", "frames.json")
        }

    before = listed()
    with monkeypatch.context() as patched:
        (root / "bbox_test/0004/.DS_Store").write_bytes(b"hidden")
        patched.setattr(fetch, "_manifest", None)  # nothing is read again
        assert listed() == before
    (root / "bbox_test/0004/thumbnail.jpg").write_bytes(b"not listed")
    (root / "bbox_train/0001/another.jpg").write_bytes(b"not listed")
    assert listed() == before
    frame = next((root / "bbox_test/0004").glob("0004*"))
    frame.write_bytes(frame.read_bytes() + b"\0")
    changed = listed()
    assert changed["frames.json"] != before["frames.json"]
