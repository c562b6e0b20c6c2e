from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from training.small import plan_of

from cmmanet.model.network import CMMANet
from cmmanet.params import Distance
from cmmanet.training import device
from cmmanet.training.build import build_network
from pipeline import search
from pipeline.parts.command import run
from pipeline.search import PICTURE_ANSWERS, PICTURE_QUERIES

pytestmark = pytest.mark.slow

PEOPLE = 3


def write_run(folder: Path, network: CMMANet) -> Path:
    folder.mkdir(parents=True)
    record = {"config": plan_of().model_dump(mode="json"), "identities": PEOPLE}
    (folder / "run.json").write_text(json.dumps(record))
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def network() -> CMMANet:
    """The small network, untrained: it tells pictures apart all the same."""
    return build_network(plan_of(), PEOPLE, 0, Path()).eval()


@pytest.fixture(scope="module")
def run_folder(network: CMMANet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("shared") / "arm" / "trial-00", network)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a repository: there is no plan, no params.yaml and no DVC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "default_workers", lambda: 0)


def write_crop(path: Path, seed: int, size: tuple[int, int] = (32, 64)) -> Path:
    """A coarse pattern, of `size` in pixels, width first."""
    pattern = np.random.default_rng(seed).integers(0, 256, (4, 2, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pattern).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def feature(network: CMMANet, *images: Path) -> list[float]:
    """The mean over images, each of which goes through the network alone."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    found = []
    for path in images:
        image = Image.open(path).convert("RGB").resize((32, 64), Image.Resampling.BILINEAR)
        pixels = (np.asarray(image) / 255 - mean) / std
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
            found.append(network.frame_features(batch)[0])
    return torch.stack(found).double().mean(0).tolist()


def between(query: list[float], answer: list[float], distance: str) -> float:
    if distance == "euclidean":
        return math.dist(query, answer)
    product = sum(a * b for a, b in zip(query, answer, strict=True))
    return 1 - product / (math.hypot(*query) * math.hypot(*answer))


def searched(folder: str = "search") -> dict[str, Any]:
    return json.loads(Path(folder, "search.json").read_text())


def answers_of(query: dict[str, Any]) -> list[str]:
    return [answer["path"] for answer in query["answers"]]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_answers_are_as_near_as_each_frame_embedded_alone_says(
    distance: Distance, network: CMMANet, run_folder: Path
) -> None:
    queries = {
        "q/one.jpg": [write_crop(Path("q/one.jpg"), 1)],
        "q/walk": [write_crop(Path(f"q/walk/{n}.png"), 10 + n) for n in range(3)],
    }
    gallery = {
        "g/CAPITAL.JPG": [write_crop(Path("g/CAPITAL.JPG"), 20, (50, 70))],
        "g/a.jpeg": [write_crop(Path("g/a.jpeg"), 21, (16, 90))],
        "g/b.png": [write_crop(Path("g/b.png"), 22)],
        "g/walk": [write_crop(Path(f"g/walk/{n}.jpg"), 30 + n, (40, 80)) for n in range(4)],
        "g/walk/deeper": [write_crop(Path("g/walk/deeper/0.png"), 40)],
    }
    search.main(Path("q"), Path("g"), run_folder, distance=distance)
    found = searched()["queries"]
    assert [query["path"] for query in found] == sorted(queries)
    features = {path: feature(network, *images) for path, images in gallery.items()}
    for query in found:
        images = queries[query["path"]]
        assert query["frames"] == len(images)
        asked = feature(network, *images)
        expected = sorted((between(asked, values, distance), p) for p, values in features.items())
        assert answers_of(query) == [path for _, path in expected]
        assert [answer["distance"] for answer in query["answers"]] == pytest.approx(
            [value for value, _ in expected], rel=1e-3
        )
        assert [answer["rank"] for answer in query["answers"]] == [1, 2, 3, 4, 5]
        for answer in query["answers"]:
            assert answer["frames"] == len(gallery[answer["path"]])


def test_the_record_says_what_was_done(run_folder: Path) -> None:
    write_crop(Path("q/a.png"), 0)
    write_crop(Path("g/a.png"), 1)
    write_crop(Path("g/walk/b.png"), 2)
    Path("g/walk/notes.txt").write_text("x")
    Path("g/empty").mkdir()
    Path("g/link.png").symlink_to(Path("g/a.png").resolve())
    Path("g/linked").symlink_to(Path("q").resolve())
    # Left by a Mac, a notebook and a NAS: no answers, and no end of the search.
    Path("g/walk/._b.png").write_bytes(b"\0\5\26\7")
    write_crop(Path("g/.ipynb_checkpoints/a.png"), 0)
    write_crop(Path("g/walk/@eaDir/b.png"), 0)
    search.main(Path("q"), Path("g"), run_folder, top=1, output=Path("deep/out"))
    record = searched("deep/out")
    weights = (run_folder / "weights.safetensors").read_bytes()
    assert record["run"] == run_folder.as_posix()
    assert (record["dataset"], record["arm"]) == ("synthetic", "cmmanet-random_interval")
    assert record["weights"] == hashlib.sha256(weights).hexdigest()
    assert (record["distance"], record["top"]) == ("cosine", 1)
    assert "1 - cos" in record["distance_is"]
    assert record["environment"]["precision"] == "fp32"
    assert record["query"] == {"folder": "q", "tracklets": 1, "frames": 1, "left_out": 0}
    assert record["gallery"] == {"folder": "g", "tracklets": 2, "frames": 2, "left_out": 6}
    assert [len(query["answers"]) for query in record["queries"]] == [1]
    assert sorted(path.name for path in Path("deep/out").iterdir()) == ["search.json", "search.png"]


def test_nothing_is_its_own_answer(run_folder: Path) -> None:
    for n in range(4):
        write_crop(Path(f"g/{n}.png"), n)
        write_crop(Path(f"g/walk/{n}.png"), 10 + n)
    everything = {"g/0.png", "g/1.png", "g/2.png", "g/3.png", "g/walk"}

    search.main(Path("g"), Path("../") / Path.cwd().name / "g", run_folder, top=3)
    assert [len(query["answers"]) for query in searched()["queries"]] == [3] * 5
    search.main(Path("g"), Path("g"), run_folder)
    for query in searched()["queries"]:
        assert set(answers_of(query)) == everything - {query["path"]}

    # A frame of a tracklet, and a tracklet of such frames, overlap as well.
    search.main(Path("g/walk"), Path("g"), run_folder)
    for query in searched()["queries"]:
        assert set(answers_of(query)) == everything - {"g/walk"}
    search.main(Path("g"), Path("g/walk"), run_folder, top=2)
    by_path = {query["path"]: answers_of(query) for query in searched()["queries"]}
    assert by_path.pop("g/walk") == []
    assert [len(answers) for answers in by_path.values()] == [2] * 4

    # The same picture in another file is an answer, and the nearest.
    write_crop(Path("q/copy.png"), 2)
    search.main(Path("q"), Path("g"), run_folder)
    nearest = searched()["queries"][0]["answers"][0]
    assert nearest["path"] == "g/2.png" and nearest["distance"] == pytest.approx(0, abs=1e-6)


def test_table_and_picture_stay_readable(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(45):
        write_crop(Path(f"many/{n:02d} {'long ' * 9}{n}.png"), n)
    write_crop(Path("one/a.png"), 100)
    search.main(Path("many"), Path("many"), run_folder, top=12)
    told = capsys.readouterr().out.splitlines()
    assert len(told) < 55 and max(map(len, told)) < 160
    assert sum(line.startswith(tuple("0123456789")) for line in told) == search.LINES
    assert "the first 40 of 45 queries; all are in the file" in told
    many = Image.open("search/search.png").size
    search.main(Path("one"), Path("many"), run_folder, top=12)
    told = capsys.readouterr().out.splitlines()
    answers = [line.split(maxsplit=3) for line in told if line[:1].isdigit()]
    assert [(rank, path) for rank, _, _, path in answers] == [
        (str(answer["rank"]), answer["path"]) for answer in searched()["queries"][0]["answers"]
    ]
    width, height = Image.open("search/search.png").size
    assert many == (width, PICTURE_QUERIES * height)
    search.main(Path("one"), Path("many"), run_folder, top=1)
    narrow, _ = Image.open("search/search.png").size
    assert (width - narrow) % (PICTURE_ANSWERS - 1) == 0 < width - narrow


def test_an_arm_with_one_trial_needs_no_more(run_folder: Path) -> None:
    write_crop(Path("q/a.png"), 0)
    search.main(Path("q"), Path("q"), run_folder.parent)
    assert searched()["run"] == run_folder.as_posix()
    assert answers_of(searched()["queries"][0]) == []


def test_what_runs_there_are_is_told(run_folder: Path) -> None:
    def trial(name: str) -> None:
        Path(name).mkdir(parents=True)
        for file in run_folder.iterdir():
            (Path(name) / file.name).symlink_to(file)

    write_crop(Path("q/a.png"), 0)
    with pytest.raises(ValueError, match=r"^arm: no trained run, .*; train one with"):
        search.main(Path("q"), Path("q"), Path("arm"))
    trial("runs/mars/a/trial-00")
    with pytest.raises(ValueError, match=r"such as runs/mars/a/trial-00$"):
        search.main(Path("q"), Path("q"), Path("arm"))
    for n in range(8):
        trial(f"arm/trial-{n:02d}")
    with pytest.raises(ValueError, match=r"such as arm/trial-00, .*, arm/trial-05 and 2 more$"):
        search.main(Path("q"), Path("q"), Path("arm"))


@pytest.mark.parametrize(("value", "complaint"), [(math.nan, "NaN or infinite"), (0.0, "zero")])
def test_a_network_that_gives_no_features_is_told(
    value: float, complaint: str, tmp_path: Path
) -> None:
    broken = build_network(plan_of(), PEOPLE, 0, Path())
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(value)
    folder = write_run(tmp_path / "broken", broken)
    write_crop(Path("q/a.png"), 0)
    with pytest.raises(ValueError, match=rf"broken: this network ranks nothing: .*{complaint}"):
        search.main(Path("q"), Path("q"), folder)
    assert list(Path("search").iterdir()) == []


def no_folder() -> None:
    pass


def a_file() -> None:
    Path("q").write_text("x")


def no_image() -> None:
    Path("q").mkdir()
    Path("q/notes.txt").write_text("x")


def links() -> None:
    Path("q").mkdir()
    Path("q/a.png").symlink_to(write_crop(Path("elsewhere/a.png"), 1).resolve())


def cut_short() -> None:
    whole = write_crop(Path("q/walk/b.jpg"), 1).read_bytes()
    Path("q/walk/b.jpg").write_bytes(whole[: len(whole) // 2])


def no_picture_inside() -> None:
    Path("q").mkdir()
    Path("q/b.png").write_text("not one")


def good() -> None:
    write_crop(Path("q/a.png"), 1)


@pytest.mark.parametrize(
    ("prepare", "options", "status", "message"),
    [
        (no_folder, [], 1, "q: no such folder"),
        (a_file, [], 1, "q: no such folder"),
        (no_image, [], 1, "q: holds no .jpg, .jpeg or .png image"),
        (links, [], 1, "q: 1 files are links, which are not followed"),
        (cut_short, [], 1, "q/walk/b.jpg in "),
        (no_picture_inside, [], 1, "b.png in "),
        (good, ["--output", "q/out"], 1, "q/out: lies in q"),
        (good, ["--output", "g/a.png"], 1, "g/a.png: lies in g"),
        (good, ["--output", "file/out"], 1, "file/out: cannot be written (Not a directory)"),
        (good, ["--run", "gone"], 1, "gone: no trained run"),
        (good, ["--run", "old"], 1, "old/run.json: written by an incompatible version"),
        (good, ["--run", "cut"], 1, "cut/weights.safetensors: not the weights of cmmanet"),
        (good, ["--top", "0"], 2, "Invalid value for '--top'"),
        (good, ["--distance", "manhattan"], 2, "Invalid value for '--distance'"),
    ],
)
def test_bad_input_is_one_clear_line(
    prepare: Callable[[], None],
    options: list[str],
    status: int,
    message: str,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(device, "default_workers", lambda: 1)  # as its errors take another way
    prepare()
    write_crop(Path("g/a.png"), 0)
    Path("file").touch()
    for name in ("old", "cut"):
        Path(name).mkdir()
        Path(name, "run.json").write_text((run_folder / "run.json").read_text())
        Path(name, "weights.safetensors").touch()
    Path("old/run.json").write_text('{"config": {}}')
    monkeypatch.setattr(
        "sys.argv", ["search", "q", "g", "--run", str(run_folder), "--output", "out", *options]
    )
    with pytest.raises(SystemExit) as ended:
        run(search.main)
    told = capsys.readouterr()
    assert ended.value.code == status
    assert told.err.startswith("error: ") and told.err.count("\n") == 1
    assert message in told.err and not told.out
    assert not list(Path().glob("*/search.*"))
