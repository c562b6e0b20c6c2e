"""Renders the synthetic dataset: pedestrians in front of surveillance cameras, in MARS's layout.

Each identity, camera and tracklet has a seeded generator of its own, so the result depends neither
on the number of processes nor on their order. An identity looks the same in every camera;
viewpoint, light, colour cast, background, sharpness and noise belong to the camera; gait phase, box
jitter and occluders to the tracklet.
"""

import math
import os
import signal
import tempfile
import threading
import zipfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, get_context, parent_process, resource_tracker
from pathlib import Path

import numpy as np
from scipy.io import savemat

from cmmanet.datasets.rendered.appearance import Appearance, sample_appearance
from cmmanet.datasets.rendered.cameras import Stream, encode, generator, photograph, sample_camera
from cmmanet.datasets.rendered.canvas import Canvas
from cmmanet.datasets.rendered.occluders import Occluder, sample_occluder
from cmmanet.datasets.rendered.pedestrians import View, draw_pedestrian, draw_shadow

RENDERER_VERSION: int = 1
"""To be raised whenever the same parameters give other pixels."""

JUNK, DISTRACTOR = -1, 0  # MARS's pids for boxes to ignore and for strangers


@dataclass(frozen=True)
class _Settings:
    """Settings that all tracklets share."""

    seed: int
    occlusion: float
    height: int
    width: int


@dataclass(frozen=True)
class _Tracklet:
    split: str
    pid: int
    camera: int
    number: int
    """Counted from 1 per pid."""
    frames: int

    @property
    def folder(self) -> str:
        return "00-1" if self.pid == JUNK else f"{self.pid:04d}"

    def name(self, frame: int) -> str:
        """Base name of a frame, counted from 1, without its suffix."""
        return f"{self.folder}C{self.camera}T{self.number:04d}F{frame:03d}"


@dataclass(frozen=True)
class _Staging:
    """The pedestrians of a tracklet, and the place of the detector's box around the first one."""

    pedestrians: list[Appearance]
    occluder: Occluder | None = None
    size: float = 1.0
    right: float = 0.0
    down: float = 0.0


def _stage(tracklet: _Tracklet, settings: _Settings, rng: np.random.Generator) -> _Staging:
    if tracklet.pid > DISTRACTOR:
        look = sample_appearance(generator(settings.seed, Stream.IDENTITY, tracklet.pid))
        # A generator of its own: all else is the same whatever the occlusion.
        passing = generator(settings.seed, Stream.OCCLUDER, tracklet.pid, tracklet.number)
        return _Staging([look], sample_occluder(passing, tracklet.frames, settings.occlusion))
    stranger, chance = sample_appearance(rng), rng.random()
    if tracklet.pid == DISTRACTOR:
        if chance < 0.2:
            return _Staging([])
        if chance < 0.5:  # a part of a body
            size = rng.uniform(1.6, 2.6)
            down = rng.uniform(-0.4, 1.0) * (size - 1) * 0.9
            return _Staging([stranger], size=size, right=rng.uniform(-0.3, 0.3), down=down)
        return _Staging([stranger])
    if chance < 0.6:  # half a person
        right = (1 if rng.integers(2) else -1) * rng.uniform(0.3, 0.54)
        return _Staging([stranger], right=right, down=rng.uniform(-0.45, 0.45))
    return _Staging([stranger, sample_appearance(rng)], right=-0.25)


def _render_tracklet(tracklet: _Tracklet, settings: _Settings) -> list[tuple[bytes, bytes]]:
    """Render a tracklet's frames, each a JPEG image and a PNG label map."""
    height, width = settings.height, settings.width
    camera = sample_camera(settings.seed, tracklet.camera, height, width)
    rng = generator(settings.seed, Stream.TRACKLET, tracklet.pid + 1, tracklet.number)
    staging = _stage(tracklet, settings, rng)
    occluder = staging.occluder

    yaw = camera.yaw + rng.uniform(-0.22, 0.22) + (math.pi if rng.random() < 0.2 else 0.0)
    phase, wobble = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi)
    room = camera.backdrop.shape[1] - width
    place, drop = rng.uniform(0, room), camera.backdrop.shape[0] - height
    frames = []
    for frame in range(tracklet.frames):
        # The detector's box: a slow drift and a little noise.
        sway = [math.sin(wobble + 0.37 * frame), math.sin(2 * wobble + 0.53 * frame)]
        jitter_x = width * (0.05 * sway[0] + rng.uniform(-0.02, 0.02))
        jitter_y = height * (0.015 * sway[1] + rng.uniform(-0.01, 0.01))
        zoom = 1 + 0.035 * sway[0] * sway[1] + rng.uniform(-0.015, 0.015)
        # A walker's place moves through the scene; it turns round at the scene's ends.
        walked = (place + height / 58 * frame * math.sin(yaw) - jitter_x) % (2 * room)
        left = round(room - abs(room - walked))
        top = min(drop, max(0, round(drop / 2 - jitter_y)))
        canvas = Canvas(height, width)
        view = View(
            feet=(
                width * (0.5 + staging.right) + jitter_x,
                height * (0.945 + staging.down) + jitter_y,
            ),
            height=0.89 * height * staging.size * zoom,
            yaw=yaw,
            pitch=camera.pitch,
            phase=phase,
            light=camera.light,
        )
        # A second person walks half a crop to the right of the first.
        views = [
            replace(
                view,
                feet=(view.feet[0] + i * width / 2, view.feet[1]),
                yaw=yaw + i / 2,
                phase=phase + 2 * i + look.cadence * frame,
            )
            for i, look in enumerate(staging.pedestrians)
        ]
        for seen in views:
            draw_shadow(canvas, seen)
        for look, seen in zip(staging.pedestrians, views, strict=True):
            draw_pedestrian(canvas, look, seen)
        if occluder and 0 <= frame - occluder.start < occluder.frames:
            occluder.draw(canvas, frame - occluder.start, views[0])
        picture, labels = canvas.compose(camera.backdrop[top : top + height, left : left + width])
        frames.append((photograph(picture, camera, rng), encode(labels, "PNG")))
    return frames


def _itineraries(
    settings: _Settings, split: str, pids: Sequence[int], cameras: int, most: int, frames: range
) -> list[_Tracklet]:
    """Draw which cameras see each identity, how often and for how long; at least two see it."""
    tracklets = []
    for pid in pids:
        rng = generator(settings.seed, Stream.ITINERARY, pid + 1)
        seen = sorted(int(c) for c in rng.permutation(cameras)[: rng.integers(2, cameras + 1)])
        by = [camera + 1 for camera in seen for _ in range(int(rng.integers(1, most + 1)))]
        for number, camera in enumerate(by, start=1):
            tracklets.append(_Tracklet(split, pid, camera, number, _length(rng, frames)))
    return tracklets


def _strays(
    settings: _Settings, pid: int, count: int, cameras: int, frames: range
) -> list[_Tracklet]:
    """Draw the junk or the distractors, numbered in the order of their cameras."""
    rng = generator(settings.seed, Stream.ITINERARY, pid + 1)
    by = sorted(int(camera) for camera in rng.integers(1, cameras + 1, count))
    return [
        _Tracklet("test", pid, camera, number, _length(rng, frames))
        for number, camera in enumerate(by, start=1)
    ]


def _length(rng: np.random.Generator, frames: range) -> int:
    """Draw a tracklet's length; most are short, as in MARS."""
    return frames[int(len(frames) * rng.random() ** 2)]


def _queries(tracklets: Sequence[_Tracklet]) -> list[int]:
    """Pick the first tracklet of each identity in each camera, as 1-based rows.

    Every identity is in at least two cameras, so each of these has a true match.
    """
    first: dict[tuple[int, int], int] = {}
    for row, tracklet in enumerate(tracklets, start=1):
        if tracklet.pid > DISTRACTOR:
            first.setdefault((tracklet.pid, tracklet.camera), row)
    return list(first.values())


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _render_all(
    tracklets: Sequence[_Tracklet], settings: _Settings
) -> Generator[list[tuple[bytes, bytes]], None, None]:
    """Render tracklets in order, on up to eight processes."""
    work = partial(_render_tracklet, settings=settings)
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1:
        yield from map(work, tracklets)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
    try:
        # Workers start with SIGINT blocked: one that has only just started would answer a Ctrl-C
        # with its own traceback. Multiprocessing's tracker would unblock it if it started inside.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            results = pool.map(work, tracklets, chunksize=4)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Store a member under a fixed date: the archive's bytes depend on its content only."""
    member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16
    archive.writestr(member, content, zipfile.ZIP_STORED)


def _write_matrix(path: Path, name: str, values: Sequence[Sequence[int]]) -> None:
    """Write an int32 matrix as MATLAB would, but without the date in its header."""
    savemat(path, {name: np.array(values, np.int32)})
    header = b"MATLAB 5.0 MAT-file, written by cmmanet".ljust(116)
    path.write_bytes(header + path.read_bytes()[len(header) :])


def _write_table(info: Path, split: str, tracklets: Sequence[_Tracklet]) -> None:
    """Write the list of frame names and the table of tracklets that refers to it."""
    names = [f"{t.name(f)}.jpg" for t in tracklets for f in range(1, t.frames + 1)]
    (info / f"{split}_name.txt").write_bytes("".join(f"{n}\r\n" for n in names).encode())
    rows, last = [], 0
    for t in tracklets:
        rows.append((last + 1, last + t.frames, t.pid, t.camera))
        last += t.frames
    _write_matrix(info / f"tracks_{split}_info.mat", f"track_{split}_info", rows)


def _write_archives(
    folder: Path,
    split: str,
    tracklets: Sequence[_Tracklet],
    settings: _Settings,
    rendered: Callable[[int], None],
) -> None:
    """Write the images and label maps of one split; report new frames to `rendered`."""
    root = f"bbox_{split}"
    with (
        zipfile.ZipFile(folder / f"{root}.zip", "w") as pictures,
        zipfile.ZipFile(folder / f"masks_{split}.zip", "w") as masks,
        closing(_render_all(tracklets, settings)) as results,
    ):
        for tracklet, frames in zip(tracklets, results, strict=True):
            for number, (picture, labels) in enumerate(frames, start=1):
                member = f"{root}/{tracklet.folder}/{tracklet.name(number)}"
                _add(pictures, f"{member}.jpg", picture)
                _add(masks, f"{member}.png", labels)
            rendered(len(frames))


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")


def render(
    folder: Path,
    *,
    train_identities: int,
    test_identities: int,
    distractors: int,
    junk: int,
    cameras: int,
    tracklets_per_camera: int,
    frames_min: int,
    frames_max: int,
    occlusion: float,
    height: int,
    width: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a dataset in MARS's layout, with body-part label maps next to it.

    `folder` receives `bbox_{train,test}.zip` and `info/` as MARS has them, and
    `masks_{train,test}.zip`: for each frame an 8-bit PNG [height, width] of `Part` values, under
    the frame's name. Either all of it appears or nothing. Training identities have odd numbers,
    test identities even ones.

    Args:
        folder: Missing or empty.
        train_identities: Identities to train on.
        test_identities: Other identities, to test on.
        distractors: Tracklets of pid 0 in the test table: strangers, body parts, background.
        junk: Tracklets of pid -1 in the test table: badly placed boxes.
        cameras: Number of cameras, 2 to 9; each identity is seen by at least two.
        tracklets_per_camera: Largest number of an identity's tracklets in a camera.
        frames_min: Shortest tracklet.
        frames_max: Longest tracklet.
        occlusion: Expected share of identities' frames with an occluder.
        height: Of the crops, in pixels.
        width: Of the crops, in pixels.
        seed: Seed of all generators.
        progress: Called with the number of frames rendered and of all frames.

    Raises:
        ValueError: A number is outside its range.
        FileExistsError: `folder` is not empty.
    """
    for name, value, low, high in (
        ("train_identities", train_identities, 1, 4999),
        ("test_identities", test_identities, 1, 4999),
        ("distractors", distractors, 0, 9999),
        ("junk", junk, 0, 9999),
        ("cameras", cameras, 2, 9),
        ("tracklets_per_camera", tracklets_per_camera, 1, 1000),
        ("frames_min", frames_min, 1, 999),
        ("frames_max", frames_max, frames_min, 999),
        ("occlusion", occlusion, 0, 1),
        ("height", height, 32, 1024),
        ("width", width, 16, 2 * height),
        ("seed", seed, 0, 2**63 - 1),
    ):
        _check(name, value, low, high)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; remove it to render again")

    settings = _Settings(seed, occlusion, height, width)
    frames = range(frames_min, frames_max + 1)
    walks = partial(
        _itineraries, settings, cameras=cameras, most=tracklets_per_camera, frames=frames
    )
    splits = {
        "train": walks("train", range(1, 2 * train_identities, 2)),
        "test": [
            *_strays(settings, JUNK, junk, cameras, frames),
            *_strays(settings, DISTRACTOR, distractors, cameras, frames),
            *walks("test", range(2, 2 * test_identities + 1, 2)),
        ],
    }
    total = sum(tracklet.frames for tracklets in splits.values() for tracklet in tracklets)
    done = 0

    def rendered(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        whole = Path(temporary) / folder.name
        (whole / "info").mkdir(parents=True)
        for split, tracklets in splits.items():
            _write_table(whole / "info", split, tracklets)
            _write_archives(whole, split, tracklets, settings, rendered)
        _write_matrix(whole / "info" / "query_IDX.mat", "query_IDX", [_queries(splits["test"])])
        whole.replace(folder)
