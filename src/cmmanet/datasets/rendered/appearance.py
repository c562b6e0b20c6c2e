"""The appearance of a synthetic pedestrian: body, hair, clothes, bag and gait."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmmanet.datasets.rendered.canvas import Colour

# A small wardrobe: common colours are repeated, so many identities share their clothes' colours.
_BLACK, _NAVY, _GREY, _WHITE = (34, 34, 38), (38, 48, 82), (118, 118, 122), (216, 214, 208)
_TOPS: tuple[Colour, ...] = (
    *(_BLACK, _BLACK, _NAVY, _GREY, _WHITE, _WHITE),
    *((74, 76, 82), (168, 42, 46), (112, 30, 44), (86, 92, 58), (150, 178, 208), (44, 92, 160)),
    *((184, 160, 124), (108, 76, 54), (52, 110, 74), (206, 166, 60), (196, 130, 150)),
)
_BOTTOMS: tuple[Colour, ...] = (
    *(_BLACK, _BLACK, _NAVY, _GREY, (62, 82, 122), (62, 82, 122), (112, 136, 170)),
    *((160, 142, 108), (96, 74, 58), (196, 192, 184), (78, 82, 64)),
)
_SHOES: tuple[Colour, ...] = (_BLACK, _BLACK, _WHITE, _GREY, (110, 74, 46), (150, 44, 44))
_BAGS: tuple[Colour, ...] = (_BLACK, _NAVY, _GREY, (120, 80, 48), (150, 46, 44), (70, 96, 70))
_HAIR: tuple[Colour, ...] = (
    *((28, 24, 24), (28, 24, 24), (60, 42, 32), (98, 70, 46), (168, 136, 88), (142, 140, 138)),
)
_SKIN: tuple[Colour, ...] = ((226, 186, 160), (208, 164, 134), (174, 126, 96), (112, 78, 60))


@dataclass(frozen=True)
class Appearance:
    """All that is the same in every camera; lengths are shares of the body height."""

    build: float
    """Width of the body, 1 for the average person."""
    leg_length: float
    skin: Colour
    hair: Colour
    hair_style: str
    headgear: Colour
    top: Colour
    second: Colour
    """The second colour of a pattern, or of the shirt under an open jacket."""
    pattern: str
    sleeves: str
    hem: float
    """Height at which the top ends."""
    bottom: Colour
    bottom_style: str
    shoes: Colour
    bag: str
    bag_colour: Colour
    bag_side: int
    stride: float
    """Largest swing of a thigh, in radians."""
    arm_swing: float
    cadence: float
    """Gait phase per frame, in radians."""


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _dye(rng: np.random.Generator, palette: Sequence[Colour]) -> Colour:
    """Draw a colour of the palette, slightly changed: no two garments match exactly."""
    colour = palette[int(rng.integers(len(palette)))]
    light = int(rng.integers(-8, 9))
    r, g, b = (min(255, max(0, c + light + int(rng.integers(-5, 6)))) for c in colour)
    return r, g, b


def sample_appearance(rng: np.random.Generator) -> Appearance:
    """Draw an appearance: body, hair, clothes, bag and gait."""
    return Appearance(
        build=rng.uniform(0.86, 1.2),
        leg_length=rng.uniform(0.455, 0.495),
        skin=_dye(rng, _SKIN),
        hair=_dye(rng, _HAIR),
        hair_style=_pick(rng, ("short",) * 4 + ("long",) * 3 + ("bun", "bald", "cap", "hood")),
        headgear=_dye(rng, _TOPS),
        top=_dye(rng, _TOPS),
        second=_dye(rng, _TOPS),
        pattern=_pick(rng, ("plain",) * 4 + ("jacket",) * 2 + ("stripes", "yoke", "logo")),
        sleeves=_pick(rng, ("long", "long", "long", "short", "short", "none")),
        hem=(0.47, 0.47, 0.45, 0.49, 0.36)[int(rng.integers(5))],
        bottom=_dye(rng, _BOTTOMS),
        bottom_style=_pick(rng, ("trousers",) * 5 + ("wide", "shorts", "shorts", "skirt")),
        shoes=_dye(rng, _SHOES),
        bag=_pick(rng, ("none",) * 3 + ("backpack", "backpack", "shoulder bag", "handbag")),
        bag_colour=_dye(rng, _BAGS),
        bag_side=1 if rng.integers(2) else -1,
        stride=rng.uniform(0.32, 0.48),
        arm_swing=rng.uniform(0.15, 0.55),
        cadence=rng.uniform(0.42, 0.62),
    )
