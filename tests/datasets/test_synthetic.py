import hashlib
import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image
from scipy.io import loadmat

import cmmanet
from cmmanet.datasets.rendered.canvas import Part
from cmmanet.datasets.rendered.synthetic import render

SMALL = {
    "train_identities": 5,
    "test_identities": 6,
    "distractors": 7,
    "junk": 4,
    "cameras": 4,
    "tracklets_per_camera": 2,
    "frames_min": 2,
    "frames_max": 6,
    "occlusion": 0.3,
    "height": 64,
    "width": 32,
    "seed": 11,
}
FILES = [
    "bbox_test.zip",
    "bbox_train.zip",
    "info/query_IDX.mat",
    "info/test_name.txt",
    "info/tracks_test_info.mat",
    "info/tracks_train_info.mat",
    "info/train_name.txt",
    "masks_test.zip",
    "masks_train.zip",
]


def make(folder, **changes):
    """Renders in this process: starting others takes longer than these scenes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        render(folder, **(SMALL | changes))
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make(tmp_path_factory.mktemp("synthetic") / "scene")


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder, split):
    return (folder / "info" / f"{split}_name.txt").read_bytes().decode().split("\r\n")[:-1]


def table(folder, split):
    return loadmat(folder / "info" / f"tracks_{split}_info.mat")[f"track_{split}_info"]


def images(folder, archive):
    """Every member in the archive's order, decoded."""
    with zipfile.ZipFile(folder / archive) as opened:
        return [np.asarray(Image.open(io.BytesIO(opened.read(n)))) for n in opened.namelist()]


def parts_of_identities(folder, split="test"):
    """The label maps of frames of real people."""
    labels = images(folder, f"masks_{split}.zip")
    rows = table(folder, split)
    return [labels[i] for first, last, pid, _ in rows if pid > 0 for i in range(first - 1, last)]


def test_writes_what_mars_has_and_the_label_maps(scene):
    assert list(contents(scene)) == FILES
    assert [path.name for path in scene.parent.iterdir()] == ["scene"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_table_covers_the_names_in_order(scene, split):
    rows = table(scene, split)
    assert rows.dtype == np.int32
    assert rows.shape == (len(rows), 4)
    expected, numbers = [], {}
    for first, last, pid, camera in rows.tolist():
        assert first == len(expected) + 1
        assert 2 <= last - first + 1 <= 6
        assert 1 <= camera <= 4
        numbers[pid] = numbers.get(pid, 0) + 1
        who = "00-1" if pid == -1 else f"{pid:04d}"
        stem = f"{who}C{camera}T{numbers[pid]:04d}"
        expected += [f"{stem}F{frame:03d}.jpg" for frame in range(1, last - first + 2)]
    assert names(scene, split) == expected


@pytest.mark.parametrize("split", ["train", "test"])
def test_archives_hold_the_listed_frames(scene, split):
    listed = [f"bbox_{split}/{name[:4]}/{name}" for name in names(scene, split)]
    with zipfile.ZipFile(scene / f"bbox_{split}.zip") as frames:
        assert frames.namelist() == listed
        for member in frames.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(scene / f"masks_{split}.zip") as masks:
        assert masks.namelist() == [name.replace(".jpg", ".png") for name in listed]


def test_who_is_where(scene):
    train, test = table(scene, "train"), table(scene, "test")
    assert test[:4, 2].tolist() == [-1] * 4
    assert test[4:11, 2].tolist() == [0] * 7
    assert (test[11:, 2] > 0).all()
    people = set(train[:, 2]), set(test[11:, 2])
    assert [len(ids) for ids in people] == [5, 6]
    assert not people[0] & people[1]
    for rows in (train, test[11:]):
        assert (np.diff(rows[:, 2]) >= 0).all()
        for pid in set(rows[:, 2]):
            cameras, counts = np.unique(rows[rows[:, 2] == pid, 3], return_counts=True)
            assert len(cameras) >= 2
            assert counts.max() <= 2


def test_one_query_an_identity_and_camera_with_an_answer_elsewhere(scene):
    test = table(scene, "test")
    query = loadmat(scene / "info" / "query_IDX.mat")["query_IDX"]
    assert query.dtype == np.int32
    assert query.shape[0] == 1
    picked = [(pid, camera) for _, _, pid, camera in test[query[0] - 1].tolist()]
    real = {(pid, camera) for _, _, pid, camera in test.tolist() if pid > 0}
    assert sorted(picked) == sorted(real)
    for pid, camera in picked:
        assert any(p == pid and c != camera for p, c in real)


def test_itineraries_differ(tmp_path):
    folder = make(
        tmp_path / "scene",
        **{"train_identities": 30, "test_identities": 1, "height": 32, "width": 16},
        **{"frames_min": 1, "frames_max": 9},
    )
    rows = table(folder, "train")
    seen = [len(set(rows[rows[:, 2] == pid, 3])) for pid in set(rows[:, 2])]
    assert set(seen) == {2, 3, 4}
    lengths = rows[:, 1] - rows[:, 0] + 1
    assert (lengths.min(), lengths.max()) == (1, 9)
    assert np.median(lengths) < lengths.mean() < 5


@pytest.mark.parametrize("split", ["train", "test"])
def test_label_maps_fit_the_frames(scene, split):
    frames = images(scene, f"bbox_{split}.zip")
    labels = images(scene, f"masks_{split}.zip")
    assert {frame.shape for frame in frames} == {(64, 32, 3)}
    assert {label.shape for label in labels} == {(64, 32)}
    assert {frame.dtype for frame in frames + labels} == {np.dtype(np.uint8)}
    assert set(np.unique(labels)) == set(Part)


def test_people_stand_upright_where_their_labels_say(tmp_path):
    folder = make(tmp_path / "scene", occlusion=0.0)
    for labels in parts_of_identities(folder):
        rows = {part: np.nonzero(labels == part)[0].mean() for part in list(Part)[1:6]}
        assert rows[Part.HEAD] < rows[Part.TORSO] < rows[Part.LEGS] < rows[Part.FEET]
        assert rows[Part.HEAD] < rows[Part.ARMS] < rows[Part.FEET]
        assert 0.1 < (labels > 0).mean() < 0.6


def test_labels_are_where_people_are_drawn(scene):
    """Neighbours differ more across a label's edge than within one."""
    across, within = [], []
    for frame, labels in zip(
        images(scene, "bbox_train.zip"), images(scene, "masks_train.zip"), strict=True
    ):
        step = np.abs(np.diff(frame.astype(int), axis=1)).sum(-1)
        edge = np.diff((labels > 0).astype(int), axis=1) != 0
        across.append(step[edge].mean())
        within.append(step[~edge].mean())
    assert np.mean(across) > 2 * np.mean(within)


@pytest.mark.parametrize(("occlusion", "tolerance"), [(0.0, 0.0), (0.3, 0.05), (0.8, 0.05), (1, 0)])
def test_share_of_occluded_frames(tmp_path, occlusion, tolerance):
    many = {"test_identities": 80, "train_identities": 1, "frames_min": 1, "frames_max": 3}
    folder = make(tmp_path / "scene", occlusion=occlusion, height=32, width=16, **many)
    occluded = [(labels == Part.OCCLUDER).any() for labels in parts_of_identities(folder)]
    assert np.mean(occluded) == pytest.approx(occlusion, abs=tolerance)


def test_occluders_cover_the_person_and_change_nothing_else(tmp_path, scene):
    free = make(tmp_path / "free", occlusion=0.0)
    covered = 0
    for with_, without in zip(parts_of_identities(scene), parts_of_identities(free), strict=True):
        hidden = with_ == Part.OCCLUDER
        np.testing.assert_array_equal(with_[~hidden], without[~hidden])
        if hidden.any():
            assert (without[hidden] > 0).any()
            covered += 1
    assert covered


def test_an_identity_keeps_its_clothes_in_every_camera(tmp_path):
    folder = make(tmp_path / "scene", test_identities=12, occlusion=0.0)
    frames, labels = images(folder, "bbox_test.zip"), images(folder, "masks_test.zip")
    colours, who, where = [], [], []
    for first, _, pid, camera in table(folder, "test").tolist():
        if pid > 0:
            frame, label = frames[first - 1], labels[first - 1]
            colours.append(
                np.concatenate([frame[label == p].mean(0) for p in (Part.TORSO, Part.LEGS)])
            )
            who.append(pid)
            where.append(camera)
    colours, who, where = np.array(colours), np.array(who), np.array(where)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    elsewhere = where[:, None] != where[None]
    same = who[:, None] == who[None]
    assert distance[elsewhere & same].mean() < 0.6 * distance[elsewhere & ~same].mean()


def test_same_seed_same_bytes(tmp_path, scene):
    assert contents(make(tmp_path / "again")) == contents(scene)


@pytest.mark.slow
def test_another_seed_other_people(tmp_path, scene):
    other = contents(make(tmp_path / "other", seed=12))
    assert all(other[name] != content for name, content in contents(scene).items())


def test_number_of_processes_changes_nothing(tmp_path, scene, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    render(tmp_path / "two", **SMALL)
    assert contents(tmp_path / "two") == contents(scene)


def test_pixels_are_the_committed_ones(scene):
    """When this fails on purpose, raise RENDERER_VERSION and commit the new hash."""
    if PIL.__version__ != "13.0.0":
        pytest.skip(f"the hash is that of Pillow 13.0.0; this is {PIL.__version__}")
    digest = hashlib.sha256()
    for archive in ("bbox_train.zip", "bbox_test.zip", "masks_train.zip", "masks_test.zip"):
        for image in images(scene, archive):
            digest.update(image.tobytes())
    assert digest.hexdigest() == "19f9cdc2ae37733120298417235d626893a09af1205bd9fb17a45dcac829b2c7"


def test_progress_counts_frames(tmp_path):
    calls = []
    folder = make(tmp_path / "scene", progress=lambda done, total: calls.append((done, total)))
    total = len(names(folder, "train")) + len(names(folder, "test"))
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_an_error_leaves_nothing(tmp_path):
    def fail(done, total):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        make(tmp_path / "scene", progress=fail)
    assert list(tmp_path.iterdir()) == []


SCRIPT = f"""
import os
import signal
from pathlib import Path

os.cpu_count = lambda: 2
from cmmanet.datasets.rendered.synthetic import render

if __name__ == "__main__":
    # A shell's background job, and what it starts, would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = {SMALL | {"train_identities": 2000}}
    render(Path("out/scene"), **settings, progress=lambda *_: print("frame", flush=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_an_interrupt_leaves_nothing(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    source = Path(cmmanet.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == b"frame\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.count(b"Traceback") == 1, errors.decode()
    assert b"KeyboardInterrupt" in errors
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_folder_is_left_alone(tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        render(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "scene").mkdir()
    assert list(contents(make(tmp_path / "scene"))) == FILES


def test_without_junk_or_distractors(tmp_path):
    folder = make(tmp_path / "scene", junk=0, distractors=0)
    assert (table(folder, "test")[:, 2] > 0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_identities", 0),
        ("test_identities", 0),
        ("distractors", -1),
        ("junk", -1),
        ("cameras", 1),
        ("cameras", 10),
        ("tracklets_per_camera", 0),
        ("frames_min", 0),
        ("frames_max", 1),
        ("frames_max", 1000),
        ("occlusion", -0.1),
        ("occlusion", 1.1),
        ("occlusion", float("nan")),
        ("height", 8),
        ("width", 8),
        ("width", 129),
        ("seed", -1),
    ],
)
def test_refuses_what_it_cannot_render(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be from .* to .*, not {value}"):
        render(tmp_path / "scene", **(SMALL | {name: value}))
    assert list(tmp_path.iterdir()) == []
