"""A user's own crops, ranked by a trained network: no stage, it needs a run's folder alone."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from PIL import Image
from tabulate import tabulate
from torch import Tensor

from cmmanet.evaluation.nearest import nearest
from cmmanet.frames.decode import read_frames
from cmmanet.params import Distance
from cmmanet.reporting.pictures import Labelled, retrieval_strip
from pipeline.parts import workspace
from pipeline.parts.command import run
from pipeline.parts.crops import Crops, describe_endings, read_crops
from pipeline.parts.trained_network import TrainedRun, load_trained

JSON, PICTURE = "search.json", "search.png"

# Of the printed table: lines, answers in a line, characters of a name.
LINES, BEST, NAME = 40, 3, 28
# Of the picture.
PICTURE_QUERIES, PICTURE_ANSWERS = 20, 10
_FRAME_SIZE = (192, 96)

_MEANING = {
    "cosine": "1 - cos, from 0 to 2",
    "euclidean": "between the features as the network gives them",
}

QueryFolder = Annotated[Path, typer.Argument(metavar="QUERY_DIR", help="crops to look for")]
GalleryFolder = Annotated[Path, typer.Argument(metavar="GALLERY_DIR", help="crops to look among")]
RunFolder = Annotated[
    Path,
    typer.Option("--run", metavar="RUN", help="a trial's folder, runs/DATASET/ARM/trial-NN"),
]
Top = Annotated[int, typer.Option(min=1, help="answers to each query")]
DistanceName = Annotated[Distance, typer.Option(help="between the features of two tracklets")]
OutputFolder = Annotated[Path, typer.Option(help=f"folder for {JSON} and {PICTURE}")]


class Answer(NamedTuple):
    """A tracklet of the gallery, by its row."""

    row: int
    distance: float


def main(
    query_folder: QueryFolder,
    gallery_folder: GalleryFolder,
    run_folder: RunFolder,
    top: Top = 10,
    distance: DistanceName = "cosine",
    output: OutputFolder = Path("search"),
) -> None:
    """Rank the crops in GALLERY_DIR by how near they are to each of those in QUERY_DIR.

    An image (.jpg, .jpeg or .png) directly in a folder is a tracklet of one
    frame; a subfolder with images is one tracklet, and its feature the mean over
    its frames. Nothing is an answer to itself.

    A crop should show one person, upright and whole, who fills it, about twice as
    high as wide: whatever its shape, it is resized to the network's input.
    """
    folder = _find_run(run_folder)
    queries = read_crops(query_folder)
    gallery = read_crops(gallery_folder)
    _prepare_output(output, [queries, gallery])
    trained = load_trained(folder)
    found, used = _search(trained, folder, queries, gallery, top, distance)
    record = {
        "run": folder.as_posix(),
        "dataset": trained.plan.dataset,
        "arm": trained.plan.arm,
        "weights": trained.fingerprint,
        "distance": distance,
        "distance_is": _MEANING[distance],
        "top": top,
        "environment": used,
        "query": _summary(queries),
        "gallery": _summary(gallery),
        "queries": _ranked(queries, gallery, found),
    }
    workspace.write_json(output / JSON, record)
    picture = io.BytesIO()
    _picture(queries, gallery, found).save(picture, "png")
    workspace.write_bytes(output / PICTURE, picture.getvalue())
    print(_page(record, queries, gallery, found, output))


def _find_run(folder: Path) -> Path:
    """The folder itself, or of an arm the only trial."""
    files = ("run.json", workspace.WEIGHTS)
    if all((folder / name).is_file() for name in files):
        return folder
    trials = _trials(folder, "trial-*")
    if len(trials) == 1:
        return trials[0]
    others = [path.as_posix() for path in trials or _trials(Path("runs"), "*/*/trial-*")]
    advice = f"name one, such as {_some(others)}" if others else "train one with `dvc repro`"
    raise ValueError(f"{folder}: no trained run, a folder with {' and '.join(files)}; {advice}")


def _trials(folder: Path, pattern: str) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"{pattern}/{workspace.WEIGHTS}"))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _prepare_output(output: Path, crops: Sequence[Crops]) -> None:
    """Refuse, before any work, a folder that cannot be written or that is searched itself."""
    for searched in crops:
        if output.resolve().is_relative_to(searched.folder.resolve()):
            raise ValueError(
                f"{output}: lies in {searched.folder}, where its picture would be taken for a "
                "crop; name another folder with --output"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise OSError(
            f"{output}: cannot be written ({error.strerror}); name another folder with --output"
        ) from None


def _search(
    trained: TrainedRun,
    folder: Path,
    queries: Crops,
    gallery: Crops,
    top: int,
    distance: Distance,
) -> tuple[list[list[Answer]], dict[str, Any]]:
    """The nearest `top` of the gallery for each query, and where they were embedded."""
    features, used = _features(trained, gallery)
    # A folder searched for itself is embedded once.
    asked = features if queries.files == gallery.files else _features(trained, queries)[0]
    own = _own(queries, gallery)
    try:
        # What is left out below is among the nearest.
        distances, found = nearest(asked, features, top=top + max(map(len, own)), distance=distance)
    except ValueError as error:
        raise ValueError(f"{folder}: this network ranks nothing: {error}") from None
    ranked = [
        [Answer(*pair) for pair in zip(rows, values, strict=True) if pair[0] not in own[query]]
        for query, (rows, values) in enumerate(zip(found.tolist(), distances.tolist(), strict=True))
    ]
    return [answers[:top] for answers in ranked], used


def _features(trained: TrainedRun, crops: Crops) -> tuple[Tensor, dict[str, Any]]:
    rows = range(len(crops.tracklets))
    embeddings, used = trained.embed(crops.store, crops.tracklets, rows, str(crops.folder))
    return embeddings.features["dense"], used


def _own(queries: Crops, gallery: Crops) -> list[set[int]]:
    """For each query, the rows of the gallery with a file of its own."""
    owner = {file: row for row, files in enumerate(gallery.files) for file in files}
    return [{owner[file] for file in files if file in owner} for files in queries.files]


def _summary(crops: Crops) -> dict[str, Any]:
    return {
        "folder": crops.folder.as_posix(),
        "tracklets": len(crops.tracklets),
        "frames": len(crops.store),
        "left_out": crops.left_out,
    }


def _ranked(
    queries: Crops, gallery: Crops, found: Sequence[Sequence[Answer]]
) -> list[dict[str, Any]]:
    return [
        {
            "path": queries.path(query),
            "frames": queries.frames(query),
            "answers": [
                {
                    "rank": rank,
                    "path": gallery.path(answer.row),
                    "distance": answer.distance,
                    "frames": gallery.frames(answer.row),
                }
                for rank, answer in enumerate(answers, start=1)
            ],
        }
        for query, answers in enumerate(found)
    ]


def _picture(queries: Crops, gallery: Crops, found: Sequence[Sequence[Answer]]) -> Image.Image:
    """The first queries and answers, by the middle frames of their tracklets."""
    return retrieval_strip(
        [
            (
                _labelled(queries, query, f"query {query + 1}"),
                [
                    _labelled(gallery, answer.row, f"{rank}:  {answer.distance:.4f}")
                    for rank, answer in enumerate(answers[:PICTURE_ANSWERS], start=1)
                ],
            )
            for query, answers in enumerate(found[:PICTURE_QUERIES])
        ]
    )


def _labelled(crops: Crops, row: int, above: str) -> Labelled:
    pixels = read_frames(crops.store, [crops.middle(row)], *_FRAME_SIZE)[0]
    return Labelled(pixels, above, crops.name[row])


def _page(
    record: dict[str, Any],
    queries: Crops,
    gallery: Crops,
    found: Sequence[Sequence[Answer]],
    output: Path,
) -> str:
    """What is printed: one query's answers in full, of several the best few of each."""
    lines = [
        f"{record['dataset']} {record['arm']} ({record['run']})",
        f"{record['distance']} distance ({record['distance_is']})",
        *(_told(record[part]) for part in ("query", "gallery")),
        "",
        _one(gallery, found[0]) if len(found) == 1 else _several(queries, gallery, found),
        "",
    ]
    if len(found) > LINES:
        lines.append(f"the first {LINES} of {len(found):,} queries; all are in the file")
    lines.append(f"every answer: {output / JSON}")
    lines.append(
        f"picture, at most {PICTURE_QUERIES} queries and {PICTURE_ANSWERS} answers to each: "
        f"{output / PICTURE}"
    )
    return "\n".join(lines)


def _told(summary: dict[str, Any]) -> str:
    left_out = summary["left_out"]
    rest = f"; {_count(left_out, 'file')} left out (hidden, links, or not {describe_endings()})"
    return (
        f"{summary['folder']}: {_count(summary['tracklets'], 'tracklet')}, "
        f"{_count(summary['frames'], 'frame')}{rest if left_out else ''}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _one(gallery: Crops, answers: Sequence[Answer]) -> str:
    return _table(
        ["rank", "distance", "frames", "answer"],
        [
            [str(rank), f"{found:.4f}", str(gallery.frames(row)), gallery.path(row)]
            for rank, (row, found) in enumerate(answers, start=1)
        ],
    )


def _several(queries: Crops, gallery: Crops, found: Sequence[Sequence[Answer]]) -> str:
    best = min(BEST, max(map(len, found)))
    header = [name for place in range(best) for name in (str(place + 1), "distance")]
    rows = []
    for query, answers in enumerate(found[:LINES]):
        cells = [str(query + 1), _short(queries.name[query])]
        for answer in answers[:best]:
            cells += [_short(gallery.name[answer.row]), f"{answer.distance:.4f}"]
        rows.append(cells)
    return _table(["", "query", *header], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, header, tablefmt="simple", disable_numparse=True)


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


if __name__ == "__main__":
    run(main)
