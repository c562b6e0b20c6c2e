"""What the paper says of its attention, each sentence with the measure that it is about."""

from typing import Literal, NamedTuple

Kind = Literal["loss", "scales", "architecture", "first", "parts"]


class Claim(NamedTuple):
    """A sentence of the paper, and the measure that it lets one expect to move.

    Attributes:
        kind: `loss`: with the concentration loss over without it; `scales`: behind the first of
            two MAMs over behind the second; `architecture`: each of two MAMs over uniform
            attention in the same frames; `first`: the first of two over uniform attention;
            `parts`: each of two MAMs over its own mean map, which no part of a person moves.
        sign: of the difference that the claim expects.
        words: of the claim, ours.
        quote: the paper's words.
        place: where they stand.
    """

    kind: Kind
    measure: str
    sign: int
    words: str
    quote: str
    place: str


CLAIMS = (
    Claim(
        "loss",
        "entropy",
        -1,
        "attention is more concentrated",
        "the attention scores of each attention model will be more concentrated",
        "Sec. I",
    ),
    Claim(
        "loss",
        "own_stripe",
        +1,
        "each submodule keeps to its stripe (what the loss itself asks for)",
        "the k-th attention module will be more concentrated on the salient parts in k-th stripe",
        "Sec. III-C",
    ),
    Claim(
        "loss",
        "purity",
        +1,
        "each submodule keeps to one body part",
        "each submodule can strongly focus on a specific meaningful part",
        "abstract",
    ),
    Claim(
        "loss",
        "coverage",
        +1,
        "submodules keep to different body parts",
        "different attention models will focus on different regions of the images",
        "Sec. I, Fig. 1a",
    ),
    Claim(
        "loss",
        "overlap",
        -1,
        "submodules do not overlap",
        "to automatically discover a set of non-overlapping salient regions",
        "Sec. V",
    ),
    Claim(
        "loss",
        "astray",
        -1,
        "fewer highest responses on nobody",
        "some of the submodules will have highest responses on meaningless regions [without it]",
        "Sec. III-C, Fig. 1a",
    ),
    Claim(
        "parts",
        "purity",
        +1,
        "attention finds parts of the person, wherever they are",
        "multiple attention submodules in each CMAM are capable of automatically identifying "
        "different discriminative parts of the person",
        "Sec. V",
    ),
    Claim(
        "architecture",
        "occluder",
        -1,
        "two MAMs look away from what occludes",
        "make the attention more robust to the occlusions, we propose a multi-grained "
        "multi-attention architecture",
        "Sec. III-B",
    ),
    Claim(
        "scales",
        "field",
        -1,
        "the first MAM has smaller attentive fields",
        "the first CMAM has smaller attentive fields compared to the second CMAM",
        "Sec. I, Fig. 1b",
    ),
    Claim(
        "first",
        "weight_change",
        -1,
        "the largest weight falls under occlusion",
        "when the occlusions appear […] the corresponding submodule will adaptively assign a lower "
        "weight to the salient region",
        "Sec. IV-C, Fig. 3",
    ),
)
