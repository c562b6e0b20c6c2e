from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from cmmanet.frames import archive
from cmmanet.frames.decode import DecodeError
from cmmanet.frames.members import Members
from pipeline.parts.command import run


class Broken(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> int:
        raise DecodeError("a.jpg in b.zip: does not decode")


def in_a_worker() -> None:
    """Read broken data in a worker process."""
    list(DataLoader(Broken(), num_workers=1))


def fails_with(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        """Fail."""
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "message"),
    [
        (fails_with(ValueError("what, where")), 1, "error: what, where\n"),
        (fails_with(OSError(28, "No space left on device")), 1, "No space left on device"),
        (fails_with(KeyboardInterrupt()), 130, "error: interrupted"),
        (in_a_worker, 1, "error: a.jpg in b.zip: does not decode\n"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    main: Callable[[], None],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == status
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(KeyError):
        run(fails_with(KeyError("x")))


@pytest.mark.slow
def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.setenv("CMMANET_DEBUG", "1")
    with pytest.raises(ValueError, match="x"):
        run(fails_with(ValueError("x")))


def test_fetch_verifies_once_and_notices_a_change(
    write_mars: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline import fetch

    root = write_mars()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path))
    listed: list[str] = []

    def list_zip(path: Path, suffix: str) -> Members:
        listed.append(path.name)
        return zip_reader(path, suffix)

    zip_reader = archive.list_zip
    monkeypatch.setattr(archive, "list_zip", list_zip)
    first = fetch._verify("mars", root, "mars")
    assert sorted(listed) == ["bbox_test.zip", "bbox_train.zip"], "each once"
    assert first["complete"] is False and first["counts"]["queries"] == 4
    assert [part["images"] for part in first["archives"]] == [11, 16]

    def unread(*_: object) -> None:
        raise AssertionError("an unchanged file was read again")

    with monkeypatch.context() as patched:
        patched.setattr(fetch, "_manifest", unread)
        assert fetch._verify("mars", root, "mars") == first
    data = bytearray((root / "bbox_test.zip").read_bytes())
    data[int(np.argmax(np.frombuffer(data, np.uint8) == 0xDB))] ^= 1
    (root / "bbox_test.zip").write_bytes(data)
    again = fetch._verify("mars", root, "mars")
    changed = [
        a["name"] for a, b in zip(again["archives"], first["archives"], strict=True) if a != b
    ]
    assert changed == ["bbox_test.zip"]


def test_fetch_takes_what_is_missing_from_the_mirror(
    write_mars: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline import fetch

    mirror = write_mars(folder="mirror/mars").parent
    raw = tmp_path / "raw" / "mars"
    raw.mkdir(parents=True)
    (raw / "bbox_train.zip").write_bytes((mirror / "mars" / "bbox_train.zip").read_bytes())
    stamp = (raw / "bbox_train.zip").stat()
    fetch._download(f"{mirror}/mars", "mars", raw)
    assert (raw / "bbox_train.zip").stat() == stamp, "what is in place is left alone"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path / "raw"))
    assert fetch._verify("mars", raw, "mars")["counts"]["train_frames"] == 11


def test_fetch_says_what_a_folder_that_cannot_be_written_lacks(
    write_mars: Callable[..., Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import fetch
    from pipeline.parts import workspace

    def lease(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(workspace, "lease", lease)
    monkeypatch.setenv("CMMANET_MIRROR", str(write_mars(folder="mirror/mars").parent))
    fetch.main("mars")  # complete: no lock is needed
    archive = workspace.raw_folder() / "mars" / "bbox_test.zip"
    archive.unlink()
    with pytest.raises(ValueError, match=r"missing bbox_test\.zip"):
        fetch.main("mars")
    assert not archive.exists()


def test_index_names_every_frame_that_is_missing(
    write_mars: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline import fetch, index
    from pipeline.parts import workspace

    root = write_mars(as_zip=False)
    lost = sorted((root / "bbox_train/0001").glob("0001C2*"))
    lost.append(root / "bbox_test/0004/0004C1T0005F002.jpg")
    for file in lost:
        file.unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("CMMANET_DATA", str(tmp_path))
    data = workspace.data_folder("mars")
    workspace.write_json(data / "manifest.json", fetch._verify("mars", root, "mars"))
    index.main("mars")
    named = (data / "missing.txt").read_text().split()
    assert named == [file.relative_to(root).as_posix() for file in lost]
    assert workspace.read_json(data / "index.json", "index")["partial"] is True
