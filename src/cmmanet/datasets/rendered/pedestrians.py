"""Draws walking pedestrians for the synthetic dataset.

A pedestrian is a small 3-D skeleton (lateral x, forward y, up z, in body heights), posed by the
phase of a gait cycle, turned to the camera's viewpoint and projected. Everything is drawn once into
an index image, which gives both the colours and the body-part labels.

Geometry uses `math` rather than numpy, whose vectorised sine differs between CPUs.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from cmmanet.datasets.rendered.appearance import Appearance
from cmmanet.datasets.rendered.canvas import Canvas, Colour, Part, Point

Joint = tuple[float, float, float]


def _shade(colour: Colour, percent: int) -> Colour:
    r, g, b = (min(255, max(0, channel * percent // 100)) for channel in colour)
    return r, g, b


@dataclass(frozen=True)
class View:
    """The pose and viewpoint of a pedestrian in one frame."""

    feet: Point
    """Position of the feet, (x, y) in pixels of the crop."""
    height: float
    """Body height in pixels."""
    yaw: float
    """Radians: 0 from the front, π from behind, π/2 walking to the right."""
    pitch: float
    """Downward angle of the camera, in radians."""
    phase: float
    """Phase of the gait cycle, in radians."""
    light: int
    """Side of the light, -1 left or 1 right."""
    label: Part | None = None
    """Label of every pixel, in place of its body part."""


_CAP = [(math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)) for i in range(7)]  # half a circle

# The trunk's half width and half depth at some heights, for the average build.
_TRUNK = (
    (0.845, 0.050, 0.045),
    (0.825, 0.098, 0.058),
    (0.790, 0.116, 0.066),
    (0.700, 0.112, 0.076),
    (0.590, 0.097, 0.070),
    (0.500, 0.107, 0.076),
    (0.300, 0.122, 0.096),
)
_HIP, _SHOULDER = 0.5, 0.8


class _Walker:
    """Draws one pedestrian in one frame: projects the posed skeleton, draws far parts first."""

    def __init__(self, canvas: Canvas, look: Appearance, view: View) -> None:
        self.canvas, self.look, self.label = canvas, look, view.label
        self.feet, self.height = view.feet, view.height
        self.light, self.phase = view.light, view.phase
        self.cos, self.sin = math.cos(view.yaw), math.sin(view.yaw)
        self.pitch = math.sin(view.pitch)
        self.legs = {side: self._leg(side) for side in (-1, 1)}
        # The lower foot stands on the ground, which makes the body bob as it walks.
        self.lift = 0.018 - min(min(toe[2], heel[2]) for _, _, _, heel, toe in self.legs.values())

    def _leg(self, side: int) -> tuple[Joint, Joint, Joint, Joint, Joint]:
        """Hip, knee, ankle, heel and toe; the knee bends while the leg swings forward."""
        look, phase = self.look, self.phase + (math.pi if side < 0 else 0.0)
        thigh = look.stride * math.sin(phase) + 0.05
        shin = thigh - 0.1 - 0.85 * max(0.0, math.cos(phase)) ** 1.5
        length, x = look.leg_length, side * 0.052 * look.build
        hip = (x, 0.0, _HIP)
        knee = (x, length / 2 * math.sin(thigh), _HIP - length / 2 * math.cos(thigh))
        ankle = (x, knee[1] + length / 2 * math.sin(shin), knee[2] - length / 2 * math.cos(shin))
        slope = 0.8 * shin
        along, down = math.cos(slope), math.sin(slope)
        heel = (x, ankle[1] - 0.018 * along + 0.018 * down, ankle[2] - 0.018 * along - 0.018 * down)
        toe = (x * 1.25, heel[1] + 0.1 * along, heel[2] + 0.1 * down)
        return hip, knee, ankle, heel, toe

    def _project(self, joint: Joint) -> Point:
        x, y, z = joint
        across, nearer = x * self.cos + y * self.sin, y * self.cos - x * self.sin
        return (
            self.feet[0] + across * self.height,
            self.feet[1] - (z + self.lift - nearer * self.pitch) * self.height,
        )

    def _depth(self, x: float, y: float) -> float:
        return y * self.cos - x * self.sin

    def _inks(self, colour: Colour, part: Part) -> tuple[int, int, int]:
        """Return the colour plain, in shade and in light."""
        part = self.label or part
        base = self.canvas.ink(colour, part)
        dark = self.canvas.ink(_shade(colour, 72), part)
        return base, dark, self.canvas.ink(_shade(colour, 114), part)

    def _limb(
        self, a: Joint, b: Joint, radius_a: float, radius_b: float, inks: tuple[int, int, int]
    ) -> None:
        """A tapered limb with round ends and one side in shade."""
        (ax, ay), (bx, by) = self._project(a), self._project(b)
        ra, rb = radius_a * self.height, radius_b * self.height
        length = math.hypot(bx - ax, by - ay) or 1.0
        ux, uy = (bx - ax) / length, (by - ay) / length
        # Along the normal (-uy, ux), then round each end.
        outline = [(ax - ra * (c * -uy + s * ux), ay - ra * (c * ux + s * uy)) for c, s in _CAP]
        outline += [(bx + rb * (c * -uy + s * ux), by + rb * (c * ux + s * uy)) for c, s in _CAP]
        self.canvas.polygon(outline, inks[0])
        nx, ny = (-uy, ux) if (-uy > 0) == (self.light < 0) else (uy, -ux)
        self.canvas.polygon(
            [
                *((ax + nx * ra, ay + ny * ra), (bx + nx * rb, by + ny * rb)),
                *(
                    (bx + nx * rb * 0.3, by + ny * rb * 0.3),
                    (ax + nx * ra * 0.3, ay + ny * ra * 0.3),
                ),
            ],
            inks[1],
        )

    def _trunk_at(self, z: float) -> tuple[float, float]:
        """Half width and half depth at a height."""
        build = self.look.build
        for (z1, w1, t1), (z0, w0, t0) in pairwise(_TRUNK):
            if z >= z0:
                share = min(1.0, (z - z0) / (z1 - z0))
                return build * (w0 + share * (w1 - w0)), build * (t0 + share * (t1 - t0))
        return build * _TRUNK[-1][1], build * _TRUNK[-1][2]

    def _band(self, top: float, bottom: float, left: float, right: float, ink: int) -> None:
        """A piece of the trunk's visible side; left and right from -1 to 1 across it."""
        levels = [top, *(z for z, _, _ in _TRUNK if bottom < z < top), bottom]
        edges: tuple[list[Point], list[Point]] = ([], [])
        for z in levels:
            width, depth = self._trunk_at(z)
            half = math.hypot(width * self.cos, depth * self.sin) * self.height
            x, y = self._project((0.0, 0.04 * (z - _HIP), z))
            edges[0].append((x + left * half, y))
            edges[1].append((x + right * half, y))
        self.canvas.polygon([*edges[0], *reversed(edges[1])], ink)

    def _cloth(
        self, top: float, bottom: float, left: float, right: float, inks: tuple[int, int, int]
    ) -> None:
        """A band in three tones, from the light's side to the shaded one."""
        self._band(top, bottom, left, right, inks[0])
        for start, end, ink in ((0.42, 1.0, inks[1]), (-0.85, -0.5, inks[2])):
            low, high = (start, end) if self.light < 0 else (-end, -start)
            if max(low, left) < min(high, right):
                self._band(top, bottom, max(low, left), min(high, right), ink)

    def _patch(
        self, top: float, bottom: float, start: float, end: float, inks: tuple[int, int, int]
    ) -> None:
        """A piece of cloth between two angles round the body, 0 in front, where it is seen."""
        width, depth = self._trunk_at((top + bottom) / 2)
        half = math.hypot(width * self.cos, depth * self.sin)
        across, seen = [], []
        for angle in (start, end):
            x, y = width * math.sin(angle), depth * math.cos(angle)
            across.append((x * self.cos + y * self.sin) / half)
            seen.append(self._depth(x, y) > 0)
        if any(seen):
            left, right = across[0] if seen[0] else -1.0, across[1] if seen[1] else 1.0
            self._cloth(top, bottom, left, right, inks)

    def draw(self) -> None:
        """Draw all parts, far ones first."""
        bag, behind = self.look.bag, self.cos < 0
        near = -1 if self.sin > 0 else 1
        if bag == "backpack" and not behind:
            self._backpack()
        if self.look.hair_style == "long" and not behind:
            self._long_hair()
        sideways = abs(self.sin) > 0.35
        if sideways:
            self._arm(-near)
        for side in sorted(
            (-1, 1), key=lambda s: self._depth(self.legs[s][2][0], self.legs[s][2][1])
        ):
            self._draw_leg(side)
        self._torso()
        self._head()
        if bag == "backpack" and behind:
            self._backpack()
        if self.look.hair_style == "long" and behind:
            self._long_hair()
        if not sideways:
            self._arm(-near)
        self._arm(near)

    def _draw_leg(self, side: int) -> None:
        look, (hip, knee, ankle, heel, toe) = self.look, self.legs[side]
        # The far leg is in the other's shade, which keeps crossing legs apart.
        far = self._depth(ankle[0], ankle[1]) < self._depth(*self.legs[-side][2][:2])
        percent = 82 if far else 100
        cloth = self._inks(_shade(look.bottom, percent), Part.LEGS)
        skin = self._inks(_shade(look.skin, percent), Part.LEGS)
        shoe = self._inks(_shade(look.shoes, percent), Part.FEET)
        b = look.build
        self._limb(heel, toe, 0.024, 0.018, shoe)
        bare = look.bottom_style in ("shorts", "skirt")
        cuff = {"wide": 0.046, "trousers": 0.031}.get(look.bottom_style, 0.024)
        self._limb(knee, ankle, (0.036 if bare else 0.042) * b, cuff * b, skin if bare else cloth)
        self._limb(hip, knee, 0.066 * b, 0.046 * b, skin if look.bottom_style == "skirt" else cloth)

    def _torso(self) -> None:
        look = self.look
        if look.bottom_style == "skirt":
            self._cloth(0.52, 0.3, -1.0, 1.0, self._inks(look.bottom, Part.LEGS))
        elif look.hem > 0.4:
            self._cloth(0.52, 0.46, -0.95, 0.95, self._inks(look.bottom, Part.LEGS))
        main, second = self._inks(look.top, Part.TORSO), self._inks(look.second, Part.TORSO)
        self._cloth(0.845, look.hem, -1.0, 1.0, main)
        if look.pattern == "stripes":
            for i in range(5):
                self._cloth(0.78 - i * 0.064, 0.75 - i * 0.064, -1.0, 1.0, second)
        elif look.pattern == "yoke":
            self._cloth(0.845, 0.7, -1.0, 1.0, second)
        elif look.pattern == "jacket":
            self._patch(0.84, look.hem + 0.02, -0.5, 0.5, second)
        elif look.pattern == "logo":
            self._patch(0.75, 0.65, -0.55, 0.55, second)
            self._patch(0.77, 0.67, math.pi - 0.6, math.pi + 0.6, second)
        if look.bag == "backpack":
            strap = self._inks(_shade(look.bag_colour, 85), Part.BAG)
            self._patch(0.83, 0.64, -0.75, -0.5, strap)
            self._patch(0.83, 0.64, 0.5, 0.75, strap)
        elif look.bag == "shoulder bag":
            belt = self.canvas.ink(_shade(look.bag_colour, 85), self.label or Part.BAG)
            face = 0.06 if self.cos > 0 else -0.06
            side = look.bag_side * look.build
            ends = ((-0.05 * side, face, 0.83), (0.1 * side, face, 0.53))
            (ax, ay), (bx, by) = self._project(ends[0]), self._project(ends[1])
            wide = 0.02 * self.height
            self.canvas.polygon([(ax, ay), (ax + wide, ay), (bx + wide, by), (bx, by)], belt)

    def _arm(self, side: int) -> None:
        look, b = self.look, self.look.build
        swing = -look.arm_swing * math.sin(self.phase + (math.pi if side < 0 else 0.0))
        bend = swing + 0.22 + 0.3 * max(0.0, swing)
        shoulder = (side * 0.108 * b, 0.0, _SHOULDER)
        elbow = (side * 0.132 * b, 0.165 * math.sin(swing), _SHOULDER - 0.165 * math.cos(swing))
        wrist = (
            side * 0.13 * b,
            elbow[1] + 0.15 * math.sin(bend),
            elbow[2] - 0.15 * math.cos(bend),
        )
        skin = self._inks(look.skin, Part.ARMS)
        sleeve = self._inks(
            _shade(look.second if look.pattern == "yoke" else look.top, 90), Part.ARMS
        )
        if look.bag == "handbag" and side == look.bag_side:
            self._side_bag(wrist, 0.05, 0.1)
        elif look.bag == "shoulder bag" and side == look.bag_side:
            self._side_bag((side * 0.12 * b, -0.01, 0.55), 0.066, 0.12)
        hand = (wrist[0], wrist[1] + 0.01, wrist[2] - 0.02)
        self._limb(wrist, hand, 0.02, 0.019, skin)
        self._limb(elbow, wrist, 0.03 * b, 0.023 * b, sleeve if look.sleeves == "long" else skin)
        self._limb(
            shoulder, elbow, 0.038 * b, 0.031 * b, skin if look.sleeves == "none" else sleeve
        )

    def _side_bag(self, top: Joint, half_width: float, tall: float) -> None:
        """A bag hanging from a point beside the body, flat against it."""
        x, y = self._project(top)
        half = self.height * math.hypot(0.03 * self.cos, half_width * self.sin)
        base, dark, light = self._inks(self.look.bag_colour, Part.BAG)
        y, bottom = y + 0.02 * self.height, y + (0.02 + tall) * self.height
        self.canvas.polygon(
            [(x - 0.8 * half, y), (x + 0.8 * half, y), (x + half, bottom), (x - half, bottom)], base
        )
        self.canvas.box(x - half, (y + bottom) / 2, x + half, bottom, dark)
        self.canvas.box(x - 0.8 * half, y, x + 0.8 * half, y + 0.012 * self.height, light)

    def _backpack(self) -> None:
        b, h = self.look.build, self.height
        x, top = self._project((0.0, -0.105 * b, 0.81))
        bottom = top + 0.24 * h
        half = h * b * math.hypot(0.082 * self.cos, 0.052 * self.sin)
        base, dark, light = self._inks(self.look.bag_colour, Part.BAG)
        self.canvas.ellipse(x, top + 0.03 * h, half * 0.9, 0.035 * h, base)
        self.canvas.box(x - half, top + 0.03 * h, x + half, bottom, base)
        shaded = (x + half * 0.3, x + half) if self.light < 0 else (x - half, x - half * 0.3)
        self.canvas.box(shaded[0], top + 0.03 * h, shaded[1], bottom, dark)
        self.canvas.box(x - half * 0.7, bottom - 0.1 * h, x + half * 0.7, bottom - 0.085 * h, light)

    def _long_hair(self) -> None:
        base, dark, _ = self._inks(self.look.hair, Part.HEAD)
        x, y = self._project((0.0, -0.03, 0.95))
        h = self.height
        self.canvas.polygon(
            [
                *((x - 0.045 * h, y), (x + 0.045 * h, y), (x + 0.056 * h, y + 0.15 * h)),
                *((x + 0.03 * h, y + 0.17 * h), (x - 0.03 * h, y + 0.17 * h)),
                (x - 0.056 * h, y + 0.15 * h),
            ],
            base,
        )
        self.canvas.box(x + 0.01 * h, y + 0.02 * h, x + 0.03 * h, y + 0.16 * h, dark)

    def _head(self) -> None:
        look, h, style = self.look, self.height, self.look.hair_style
        skin = self._inks(look.skin, Part.HEAD)
        covering = {"bald": look.skin, "hood": look.top}.get(style, look.hair)
        hair = self._inks(covering, Part.HEAD)
        self._limb((0.0, 0.0, 0.84), (0.0, 0.012, 0.88), 0.034, 0.03, skin)
        x, y = self._project((0.0, 0.02, 0.925))
        wide = h * math.hypot(0.05 * self.cos, 0.058 * self.sin)
        if style == "hood":
            self.canvas.ellipse(x, y + 0.012 * h, wide * 1.25, 0.082 * h, hair[0])
        self.canvas.ellipse(x, y, wide, 0.069 * h, hair[0])
        away = self.light * -0.4 * wide
        self.canvas.ellipse(x + away, y, wide * 0.55, 0.06 * h, hair[1])
        if self.cos > -0.45:
            turned = 0.5 + 0.5 * self.cos  # 1 from the front, 0.5 from the side
            face_x, half = x + self.sin * 0.03 * h, h * (0.023 + 0.023 * turned)
            self.canvas.ellipse(face_x, y + 0.016 * h, half, 0.05 * h, skin[0])
            self.canvas.ellipse(
                face_x - self.light * half * 0.6, y + 0.016 * h, half * 0.4, 0.038 * h, skin[1]
            )
            eye = self.canvas.ink(_shade(look.skin, 35), self.label or Part.HEAD)
            for side in (-1, 1):
                eye_x = face_x + (side * 0.018 * self.cos + 0.012 * self.sin) * h
                self.canvas.ellipse(eye_x, y + 0.006 * h, 0.007 * h, 0.005 * h, eye)
        if style == "bun":
            bun_x, bun_y = self._project((0.0, -0.05, 0.965))
            self.canvas.ellipse(bun_x, bun_y, 0.028 * h, 0.028 * h, hair[0])
        elif style == "cap":
            cap = self._inks(look.headgear, Part.HEAD)
            self.canvas.ellipse(x, y - 0.03 * h, wide * 1.05, 0.042 * h, cap[0])
            if self.cos > -0.45:
                brim = x + self.sin * 0.07 * h
                self.canvas.ellipse(brim, y - 0.012 * h, 0.042 * h, 0.013 * h, cap[1])


def draw_shadow(canvas: Canvas, view: View) -> None:
    """Darken the ground under a pedestrian; to be called before any pedestrian is drawn."""
    (x, y), h = view.feet, view.height
    shadow = canvas.ink((0, 0, 0), Part.BACKGROUND, alpha=90)
    canvas.ellipse(x - view.light * 0.05 * h, y - 0.005 * h, 0.16 * h, 0.025 * h, shadow)


def draw_pedestrian(canvas: Canvas, look: Appearance, view: View) -> None:
    """Draw one walking pedestrian."""
    _Walker(canvas, look, view).draw()
