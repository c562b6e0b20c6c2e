"""Stage retrievals: what every arm answers to the same queries, for people to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from PIL import Image

from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.retrieval import answers, spread, worst_first
from cmmanet.frames.archive import FrameStore, hash_file
from cmmanet.frames.decode import read_frames
from cmmanet.params import ReportPlan
from pipeline.parts import workspace
from pipeline.parts.command import DatasetName, run
from pipeline.parts.embeddings import Stored, read_embeddings, source_of
from pipeline.parts.frame_names import first_frames
from pipeline.parts.indexed_data import Dataset, open_dataset
from pipeline.parts.query_tables import read_queries

TRIAL = 0
TOP = 10
EVENLY, ENDS = 40, 3
_SIZE = (128, 64)  # height and width of a tracklet's picture
_QUALITY = 80


def main(dataset: DatasetName) -> None:
    """Write retrievals/DATASET.json: the first answers of the report's arms to some queries."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    scoring = Scoring(plan.distance, plan.test_frames)
    opened = open_dataset(dataset)
    tables = {arm: _queries(dataset, arm, scoring) for arm in plan.arms}
    asked = _asked(tables[plan.headline])
    found: dict[int, dict[str, Any]] = {row: {} for row in asked}
    for arm in plan.arms:
        for row, answer in _answered(opened, dataset, arm, scoring, asked).items():
            scored = {
                "ap": float(tables[arm]["ap_trapezoid"][row]),
                "first_right_rank": int(tables[arm]["first_right_rank"][row]),
            }
            found[row][arm] = scored | answer
    store, names = opened.open_frames(), first_frames(opened)
    shown = {row for of in found.values() for answer in of.values() for row in answer["rows"]}
    content = {
        "dataset": dataset,
        "scoring": str(scoring),
        "trial": TRIAL,
        "rule": _rule(plan.headline, len(asked), len(tables[plan.headline])),
        "top": TOP,
        "arms": list(plan.arms),
        "queries": [
            {
                "row": row,
                "pid": int(opened.tracklets.pid[row]),
                "camera": int(opened.tracklets.camera[row]),
                "frames": int(opened.tracklets.length[row]),
                "name": names[row],
                "answers": of,
            }
            for row, of in found.items()
        ],
        "tracklets": {str(row): _tracklet(opened, store, row) for row in sorted({*found, *shown})},
    }
    workspace.write_json(workspace.retrieval_file(dataset), content)
    print(f"{dataset}: {len(asked)} queries, {len(plan.arms)} arms ({scoring}), trial {TRIAL}")


def _queries(dataset: str, arm: str, scoring: Scoring) -> pd.DataFrame:
    """The queries of the trial by their row of the tracklet table."""
    queries = read_queries(dataset, arm, scoring)
    return queries[queries["trial"] == TRIAL].set_index("query")


def _asked(queries: pd.DataFrame) -> list[int]:
    """Rows of the queries to show, from the worst to the best."""
    order = worst_first(queries)
    chosen = spread(len(order), evenly=EVENLY, ends=ENDS)
    return [int(queries.index[order[place]]) for place in chosen]


def _rule(headline: str, asked: int, queries: int) -> str:
    return (
        f"{asked} of the {queries:,} queries of trial {TRIAL}, ordered by the average precision of "
        f"{headline} (at the same one, the later first right answer comes first, then the earlier "
        f"row): {EVENLY} evenly spaced from the worst to the best, and the {ENDS} worst and "
        f"{ENDS} best."
    )


def _answered(
    opened: Dataset, dataset: str, arm: str, scoring: Scoring, asked: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """The first answers of an arm to each query asked, as rows of the tracklet table."""
    stored = _embedded(opened, dataset, arm)
    split = opened.trials["splits"][opened.trials["trials"][TRIAL]]
    place = {row: position for position, row in enumerate(stored.rows)}
    features = stored.features[scoring.test_frames]
    gallery = features[[place[row] for row in split["gallery"]]]
    tracklets = opened.tracklets
    ids = torch.from_numpy(tracklets.pid[split["gallery"]])
    cameras = torch.from_numpy(tracklets.camera[split["gallery"]])
    found = {}
    for row in asked:
        answer = answers(
            features[place[row]],
            gallery,
            query_id=int(tracklets.pid[row]),
            gallery_ids=ids,
            query_camera=int(tracklets.camera[row]),
            gallery_cameras=cameras,
            top=TOP,
            distance=scoring.distance,
        )
        rows = [split["gallery"][position] for position in answer.rows]
        found[row] = {**answer._asdict(), "rows": rows}
    return found


def _embedded(opened: Dataset, dataset: str, arm: str) -> Stored:
    name = workspace.trial_name(TRIAL)
    weights = workspace.run_folder(dataset, arm) / name / workspace.WEIGHTS
    path = workspace.embedding_folder(dataset, arm) / f"{name}.safetensors"
    source = source_of(hash_file(weights), opened.folder)
    return read_embeddings(path, source, f"embed {dataset} {arm}")


def _tracklet(opened: Dataset, store: FrameStore, row: int) -> dict[str, Any]:
    tracklets = opened.tracklets
    return {
        "pid": int(tracklets.pid[row]),
        "camera": int(tracklets.camera[row]),
        "frames": int(tracklets.length[row]),
        "image": _picture(store, int(tracklets.first[row] + tracklets.length[row] // 2)),
    }


def _picture(store: FrameStore, frame: int) -> str:
    """A frame as a data URL."""
    buffer = io.BytesIO()
    pixels = read_frames(store, [frame], *_SIZE)[0]
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


if __name__ == "__main__":
    run(main)
