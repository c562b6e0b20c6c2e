"""Occluders that pass between a camera and a pedestrian: pedestrians and street furniture."""

import math
from dataclasses import dataclass, replace

import numpy as np

from cmmanet.datasets.rendered.appearance import Appearance, sample_appearance
from cmmanet.datasets.rendered.canvas import Canvas, Colour, Part
from cmmanet.datasets.rendered.pedestrians import View, draw_pedestrian

_KINDS = ("person", "person", "pole", "bin", "bench", "car")


@dataclass(frozen=True)
class Occluder:
    """An occluder that is visible in frames `start` to `start + frames` - 1."""

    kind: str
    start: int
    frames: int
    direction: int
    colour: Colour
    look: Appearance

    def draw(self, canvas: Canvas, frame: int, person: View) -> None:
        """Draw it in one of its frames, on its way from one side of the pedestrian to the other."""
        half = {"person": 0.1, "pole": 0.045, "bin": 0.13, "bench": 0.25, "car": 0.42}[self.kind]
        half, h = half * person.height, person.height
        way = (2 * frame + 1) / self.frames - 1  # from -1 to 1
        x = person.feet[0] + self.direction * way * (half + 0.03 * h)
        ground = person.feet[1] + 0.05 * h
        if self.kind == "person":
            forward = self.direction * math.sin(person.yaw) > 0
            yaw = person.yaw if forward else person.yaw + math.pi
            view = replace(person, feet=(x, ground), height=1.05 * h, yaw=yaw)
            view = replace(view, phase=person.phase * 1.1 + 1, label=Part.OCCLUDER)
            draw_pedestrian(canvas, self.look, view)
            return
        r, g, b = self.colour
        base, dark, light = (
            canvas.ink((r * k // 100, g * k // 100, b * k // 100), Part.OCCLUDER)
            for k in (100, 65, 125)
        )
        if self.kind == "pole":
            canvas.box(x - half, 0, x + half, canvas.height, base)
            canvas.box(x, 0, x + half, canvas.height, dark)
        elif self.kind == "bin":
            canvas.box(x - half, ground - 0.4 * h, x + half, canvas.height, base)
            canvas.box(x + half / 3, ground - 0.4 * h, x + half, canvas.height, dark)
            canvas.ellipse(x, ground - 0.4 * h, half, 0.03 * h, light)
        elif self.kind == "bench":
            for i in range(3):
                y = ground - (0.36 - 0.07 * i) * h
                canvas.box(x - half, y, x + half, y + 0.05 * h, base)
            canvas.box(x - half, ground - 0.15 * h, x + half, ground - 0.08 * h, light)
            for foot in (x - 0.85 * half, x + 0.75 * half):
                canvas.box(foot, ground - 0.1 * h, foot + 0.1 * half, ground + 0.1 * h, dark)
        else:
            canvas.box(x - half, ground - 0.36 * h, x + half, ground, base)
            roof = ((-0.7, 0.36), (-0.5, 0.52), (0.4, 0.52), (0.65, 0.36))
            canvas.polygon([(x + u * half, ground - v * h) for u, v in roof], dark)
            canvas.box(x - half, ground - 0.34 * h, x + half, ground - 0.32 * h, light)
            for wheel in (-0.6, 0.6):
                canvas.ellipse(x + wheel * half, ground, 0.09 * h, 0.09 * h, dark)


def sample_occluder(rng: np.random.Generator, frames: int, occlusion: float) -> Occluder | None:
    """Draw a run of occluded frames whose expected length is `occlusion` of the tracklet."""
    if occlusion <= 0.5:
        share = rng.uniform(0.25, 0.75) if rng.random() < 2 * occlusion else 0.0
    else:
        share = rng.uniform(2 * occlusion - 1, 1.0)
    run = math.floor(share * frames + rng.random())  # rounds without bias
    if run == 0:
        return None
    r, g, b = (int(c) for c in rng.integers(45, 170) + rng.integers(-20, 21, 3))
    return Occluder(
        kind=_KINDS[int(rng.integers(len(_KINDS)))],
        start=int(rng.integers(frames - run + 1)),
        frames=run,
        direction=1 if rng.integers(2) else -1,
        colour=(r, g, b),
        look=sample_appearance(rng),
    )
