"""The MLflow runs of an arm: its own, and one nested run per trial.

They are found again by their tags, so an interrupted or repeated command goes on in the same ones.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cmmanet.frames.archive import hash_file
from cmmanet.frames.index import FRAMES
from pipeline.parts import workspace
from pipeline.parts.tracking import NO_RUN, TrackedRun, Tracker
from pipeline.training.run import Run


class Log:
    """Takes what is known of one run; without a tracker, nothing."""

    def __init__(self, tracker: Tracker | None, run_id: str) -> None:
        self.run_id = run_id
        self._tracker = tracker

    def epoch(self, means: Mapping[str, float]) -> None:
        """Log the means of an epoch."""
        if self._tracker is not None:
            self._tracker.metrics(self.run_id, means, step=int(means["iterations"]))

    def files(self, folder: Path) -> None:
        """Keep copies of the files that people look at."""
        if self._tracker is not None:
            for path in (*folder.glob(workspace.HISTORY), *folder.glob("*.png")):
                self._tracker.artifact(self.run_id, path)


class MlflowRuns:
    """The MLflow runs of an arm's trials; `keys` are those of the store, by trial.

    Nothing is logged outside `arm`.
    """

    def __init__(self, runs: Sequence[Run], keys: Mapping[int, str]) -> None:
        self._runs = runs
        self._keys = keys
        self._tracker: Tracker | None = None
        self._arm_run = NO_RUN
        # Also while the store does not answer.
        self._known: dict[int, str] = {}

    @contextmanager
    def arm(self) -> Iterator[str]:
        """Give the id of the arm's run, which ends with the block."""
        self._tracker = Tracker()
        described = self._describe(None)
        mine = {name: described.tags[name] for name in ("dataset", "arm")}
        self._tracker.end_abandoned({**mine, "folder": described.place["folder"]})
        with self._tracker.run(described) as self._arm_run:
            yield self._arm_run

    @contextmanager
    def run(self, run: Run) -> Iterator[Log]:
        """Log a run that is trained within the block."""
        if self._tracker is None:
            yield Log(None, NO_RUN)
            return
        with self._tracker.run(self._describe(run)) as run_id:
            self._known[run.number] = run_id or self._known.get(run.number, NO_RUN)
            yield Log(self._tracker, run_id)

    def stored(self, run: Run, folder: Path) -> str:
        """Return the id of a stored run; one that MLflow does not have is logged from its files."""
        if self._tracker is None:
            return NO_RUN
        run_id = self._tracker.finished(self._describe(run))
        if run_id == NO_RUN:
            with self.run(run) as log, (folder / workspace.HISTORY).open(newline="") as file:
                for row in csv.DictReader(file):
                    log.epoch({name: float(value) for name, value in row.items()})
                log.files(folder)
            run_id = self._known[run.number]
        return run_id

    def _describe(self, run: Run | None) -> TrackedRun:
        """What MLflow is told of a run, or of the arm itself."""
        any_run = run or self._runs[0]
        plan, data = any_run.plan, any_run.data
        config = plan.model_dump(mode="json")
        name = f"{plan.dataset} {plan.arm}"
        folder = workspace.run_folder(plan.dataset, plan.arm)
        return TrackedRun(
            name=name if run is None else run.title,
            tags={
                "dataset": plan.dataset,
                "arm": plan.arm,
                "trial": "all" if run is None else str(run.number),
                # The first trial's depends on all that the arm's do but splits and seeds.
                "fingerprint": self._keys[any_run.number],
            },
            params=config
            if run is None
            else {**config, "trial": run.number, "trial_seed": run.seed},
            dataset={
                "name": plan.dataset,
                "digest": hash_file(data.folder / "training.json")[:16],
                "source": (data.folder / FRAMES).as_posix(),
            },
            place={
                "folder": str(folder.resolve()),
            },
            parent=NO_RUN if run is None else self._arm_run,
        )
