"""Decoders of JPEG and PNG at 128×256, for the choice that `cmmanet.frames.decode` makes.

Two shared cores of an x86-64 server, one thread, microseconds a picture, median of 9 rounds
with real crops scaled to 128×256 (`python benchmarks/decoders.py` prints the same for
generated ones; Pillow 13.0.0, torchvision 0.29.2, simplejpeg 1.9.0):

| pictures | simplejpeg | torchvision | Pillow |
|---|---|---|---|
| JPEG, quality 95, 9.7 kB | 123 | 147 | 314 |
| JPEG, quality 75, 4.7 kB | 93 | 116 | 282 |
| PNG, 39 kB | - | 721 | 824 |

Pillow's figure for JPEG differs between runs: 177 to 301 µs at quality 75 for the generated
pictures here, where simplejpeg takes 108 and torchvision 135.

All give the same pixels, and all refuse every proper prefix of a JPEG. Where the end marker
stands after the cut, torchvision and Pillow fill in grey and say nothing at more than half of
the places; simplejpeg refuses. With one bit flipped, Pillow decodes 97 % and simplejpeg 81 %: a
zip's checksum is what finds those. So simplejpeg for JPEG; for PNG torchvision's eighth does not
outweigh that its decoders are deprecated.
"""

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from benchmarks._pictures import encode, picture
from benchmarks._report import Bar, report

PICTURES = 300
ROUNDS = 9


def by_pillow(data: bytes) -> np.ndarray:
    """Decode as RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def by_torchvision(data: bytes) -> np.ndarray:
    """Decode as RGB [3, H, W]; torchvision wants bytes that it may write to."""
    pixels = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    return pixels.permute(1, 2, 0).numpy()


def by_simplejpeg(data: bytes) -> np.ndarray:
    """Decode as RGB, the header first, as the size must be known before."""
    simplejpeg.decode_jpeg_header(data)
    return simplejpeg.decode_jpeg(data)


DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "simplejpeg": by_simplejpeg,
    "torchvision": by_torchvision,
    "Pillow": by_pillow,
}


def refused(decoder: Callable[[bytes], np.ndarray], data: bytes, ending: bytes) -> float:
    """Give the share of a picture's proper prefixes, each with `ending`, that raise an error."""
    silent = 0
    for length in range(len(data) - len(ending)):
        try:
            decoder(data[:length] + ending)
        except (ValueError, OSError, SyntaxError, RuntimeError):
            continue
        silent += 1
    return 1 - silent / (len(data) - len(ending))


def main() -> None:
    """Time the decoders side by side, on the same bytes."""
    torch.set_num_threads(1)
    pixels = [picture(seed) for seed in range(PICTURES)]
    microseconds: dict[tuple[str, str], float] = {}
    for kind, options in (("JPEG", {"quality": 95}), ("JPEG", {"quality": 75}), ("PNG", {})):
        encoded = [encode(image, kind, **options) for image in pixels]
        decoders = {
            name: decoder
            for name, decoder in DECODERS.items()
            if kind == "JPEG" or name != "simplejpeg"
        }
        for name, decoder in decoders.items():
            np.testing.assert_array_equal(decoder(encoded[0]), by_pillow(encoded[0]), name)
        times: dict[str, list[float]] = {name: [] for name in decoders}
        for _ in range(ROUNDS):
            for name, decoder in decoders.items():
                start = time.perf_counter()
                for data in encoded:
                    decoder(data)
                times[name].append((time.perf_counter() - start) / len(encoded) * 1e6)
        label = " ".join([kind, *(f"{key} {value}" for key, value in options.items())])
        size = statistics.mean(map(len, encoded))
        for name, rounds in times.items():
            microseconds[label, name] = statistics.median(rounds)
            print(f"{label:16} {size:7,.0f} bytes  {name:12} {statistics.median(rounds):6.0f} µs")
    short = encode(pixels[0].crop((0, 0, 48, 96)), "JPEG", quality=75)
    shares: dict[str, float] = {}
    # Not torchvision, whose libjpeg prints a line for each.
    for name, decoder in (("simplejpeg", by_simplejpeg), ("Pillow", by_pillow)):
        marked = refused(decoder, short, b"\xff\xd9")
        shares[name] = min(refused(decoder, short, b""), marked)
        print(f"{name:12} refuses {marked:4.0%} of cut JPEGs whose end marker is there")
    jpeg = {name: value for (label, name), value in microseconds.items() if label.endswith("75")}
    report(
        "decoders",
        torch.device("cpu"),
        [
            Bar("JPEG: simplejpeg × faster than Pillow", 1.5, jpeg["Pillow"] / jpeg["simplejpeg"]),
            Bar(
                "JPEG: simplejpeg × faster than torchvision",
                1,
                jpeg["torchvision"] / jpeg["simplejpeg"],
            ),
            Bar("cut JPEGs that simplejpeg refuses, share", 1, shares["simplejpeg"]),
        ],
    )


if __name__ == "__main__":
    main()
