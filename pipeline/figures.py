"""Stage figures: the paper's figures and the curves of a dataset, as PNG files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cmmanet.datasets.tracklets import Tracklets
from cmmanet.frames.archive import FrameStore
from cmmanet.frames.decode import read_frames
from cmmanet.params import ReportPlan
from cmmanet.reporting.figures.entry import Entry
from cmmanet.reporting.figures.lines import RANKS, cmc, training
from cmmanet.reporting.figures.sheet import encode, png
from cmmanet.reporting.pictures import Labelled, retrieval_strip
from pipeline.parts import workspace
from pipeline.parts.attention_figures import attention_figures
from pipeline.parts.command import DatasetName, run
from pipeline.parts.indexed_data import open_dataset
from pipeline.parts.tracking import Tracker

CMC = "cmc.png"
# Of the retrieval strip: queries at each end, height and width of a frame, scale of its text.
ENDS = 3
_SIZE = (152, 76)
_SCALE = 1.4


def main(dataset: DatasetName) -> None:
    """Write reports/figures/DATASET: PNG files, and figures.json that says what they show."""
    plan = workspace.read_plan(ReportPlan, "report.json")
    opened = open_dataset(dataset)
    entries = [
        *attention_figures(dataset, plan, opened),
        _cmc(dataset),
        _training(dataset),
        _strip(dataset, plan.headline, opened.open_frames(), opened.tracklets),
    ]
    tracker = Tracker(required=False)
    folder = workspace.figure_folder(dataset)
    with workspace.whole_folder(folder) as partial:
        for entry in entries:
            if entry.content is not None:
                workspace.write_bytes(partial / entry.file, entry.content)
        listed = [entry.listed().model_dump() for entry in entries]
        workspace.write_json(partial / "figures.json", listed)
    runs = {arm: _mlflow_run(dataset, arm) for arm in plan.arms}
    drawn = [entry.file for entry in entries if entry.content is not None]
    for file in drawn:
        for arm in plan.arms if file == CMC else [plan.headline]:
            tracker.artifact(runs[arm], folder / file)
    print(f"{dataset}: {len(drawn)} figures in {folder}, {len(entries) - len(drawn)} not drawn")


def _cmc(dataset: str) -> Entry:
    compared = workspace.read_json(workspace.comparison_file(dataset), f"compare {dataset}")
    curves = _curves(dataset, "cmc.csv")
    intervals = compared["intervals"]
    caption = (
        f"CMC of every arm on {dataset}, ranks 1 to {RANKS}, {compared['scoring']}, mean over "
        f"{compared['trials']} trials."
    )
    if any("rank1" in of for of in intervals.values()):
        caption += " Upright lines left of the curves: 95 % intervals of rank-1 over people."
    first = curves[curves["rank"] == 1].set_index("arm")["cmc"]
    told = ", ".join(f"{arm} {value:.1%}" for arm, value in first.items())
    alt = f"Line chart of {len(first)} cumulative matching curves. Rank-1: {told}."
    return Entry(CMC, "CMC curves", None, caption, alt, png(cmc(curves, intervals)))


def _training(dataset: str) -> Entry:
    histories = _curves(dataset, "training.csv")
    caption = (
        f"Training of every arm on {dataset}: the loss, its terms before they are weighted, and "
        "the accuracy on training clips, each a mean over an epoch. Thin lines: trials; thick "
        "lines: their mean."
    )
    last = histories.groupby(["arm", "trial"], sort=False)["loss"].last().groupby("arm", sort=False)
    told = ", ".join(f"{arm} {value:.2f}" for arm, value in last.mean().items())
    alt = f"Line charts of losses and accuracy over iterations. Last loss: {told}."
    return Entry("training.png", "Training curves", None, caption, alt, png(training(histories)))


def _curves(dataset: str, name: str) -> pd.DataFrame:
    path = workspace.curve_folder(dataset) / name
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: not there; run the stage curves {dataset} first"
        ) from None


def _strip(dataset: str, headline: str, store: FrameStore, tracklets: Tracklets) -> Entry:
    found = workspace.read_json(workspace.retrieval_file(dataset), f"retrievals {dataset}")
    queries = found["queries"]
    # Of a few queries, some would be among the best and the worst.
    ends = min(ENDS, len(queries) // 2)
    shown = [*queries[::-1][:ends], *queries[:ends][::-1]]

    def labelled(row: int, above: str, right: bool | None = None) -> Labelled:
        middle = int(tracklets.first[row] + tracklets.length[row] // 2)
        below = f"{tracklets.pid[row]} c{tracklets.camera[row]}"
        return Labelled(read_frames(store, [middle], *_SIZE)[0], above, below, right)

    rows = []
    for query in shown:
        answer = query["answers"][headline]
        ranked = enumerate(zip(answer["rows"], answer["right"], strict=True), start=1)
        rows.append(
            (
                labelled(query["row"], f"AP {answer['ap']:.2f}"),
                [labelled(row, str(rank), right) for rank, (row, right) in ranked],
            )
        )
    caption = (
        f"The {ends} best and, below, the {ends} worst queries of {headline} by average precision "
        f"(trial {found['trial']}, {found['scoring']}; the worst last), each left of its first "
        f"{found['top']} answers. At the same average precision the query whose first right answer "
        "comes later is the worse one, then the one of the earlier row; at the same distance a "
        "wrong answer comes before a right one. Solid blue frame and tick: right; dashed orange "
        "frame and cross: wrong. Above: the query's average precision, an answer's rank; below: "
        "pid and camera (pid 0: a distractor). Queries, from the top: "
        f"{', '.join(query['name'] for query in shown)}."
    )
    told = "; ".join(_told(query, headline) for query in shown)
    alt = f"Rows of frames: queries and their first answers. {told}."
    content = encode(retrieval_strip(rows, _SCALE))
    return Entry("retrievals.png", "Best and worst answers", None, caption, alt, content)


def _told(query: dict[str, Any], arm: str) -> str:
    right = query["answers"][arm]["right"]
    return f"pid {query['pid']}, camera {query['camera']}: {sum(right)} of {len(right)} right"


def _mlflow_run(dataset: str, arm: str) -> str:
    path = workspace.run_folder(dataset, arm) / workspace.trial_name(0) / "run.json"
    return str(workspace.read_json(path, f"train {dataset} {arm}")["mlflow_arm_run"])


if __name__ == "__main__":
    run(main)
