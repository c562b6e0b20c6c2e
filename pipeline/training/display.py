"""What is shown and tracked of a run: none of it changes what is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmmanet.clips.batches import Epoch, short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.params import ArmPlan
from cmmanet.reporting.pictures import contact_sheet
from cmmanet.training.diagnosis import diagnose
from cmmanet.training.logbook import Listener, Look
from pipeline.parts.tracking import Tracker
from pipeline.parts.watch import LINE_EVERY

# Clips of the first batch in the picture beside the weights.
SHOWN_CLIPS = 16


def print_data(title: str, plan: ArmPlan, clips: ClipDataset, first: Epoch) -> None:
    """Print what a run trains on; `first` is its first epoch."""
    short = short_tracklets(clips.length, plan.clip.frames)
    print(
        f"{title}: {len(clips):,} tracklets of {len(clips.identities):,} identities, {short:,} of "
        f"them shorter than a clip; {len(first.batches):,} iterations an epoch, with "
        f"{first.repeated_clips:,} clips of a tracklet that is in its batch already",
        flush=True,
    )


def draw_clips(path: Path, clips: ClipDataset, first: Epoch) -> None:
    """Write a picture of the first clips that a run trains on."""
    shown = clips.__getitems__(first.batches[0][:SHOWN_CLIPS])
    contact_sheet(shown.clips, columns=4).save(path)


class Watch:
    """Shows one trial; `say` prints a line for itself, above the bar if there is one."""

    def __init__(self, title: str, plan: ArmPlan, progress: Progress) -> None:
        self._title = title
        self._total = plan.schedule.iterations
        self._begun, self._begun_at = 0, time.monotonic()
        self._progress = progress
        self._task = progress.add_task(title, total=self._total, state="")
        self._said_at = time.monotonic()

    def begin(self, iteration: int) -> None:
        """Start the bar where the training starts."""
        self._progress.reset(self._task, completed=iteration, total=self._total)
        self._begun, self._begun_at = iteration, time.monotonic()

    def look(self, look: Look) -> None:
        """Show how the training stands."""
        self._progress.update(self._task, completed=look.iteration)
        if look.record is None:
            return
        state = f"{_losses(look.record)}  {look.frames_per_second:,.0f} frames/s"
        self._progress.update(self._task, state=state)
        due = time.monotonic() - self._said_at >= LINE_EVERY
        if not self._progress.console.is_terminal and (due or look.iteration == self._total):
            pace = (time.monotonic() - self._begun_at) / (look.iteration - self._begun)
            remaining = timedelta(seconds=round(pace * (self._total - look.iteration)))
            self.say(f"{self._title}  {look.iteration}/{self._total}  {state}  {remaining} left")
            self._said_at = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line, unwrapped: what is not a terminal has no width."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def watching(title: str, plan: ArmPlan) -> Iterator[Watch]:
    """Watch a trial."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        yield Watch(title, plan, progress)


def listen(plan: ArmPlan, title: str, watch: Watch, mlflow_run: str, tracker: Tracker) -> Listener:
    """Show and track a run; each warning is shown once."""
    shown: set[str] = set()

    def begin(iteration: int, history: list[dict[str, float]]) -> None:
        watch.begin(iteration)
        if iteration:
            watch.say(f"{title} goes on after iteration {iteration} of {plan.schedule.iterations}")
        for past in history:
            shown.update(diagnose(plan, past))
            # What the store has of it already it does not take again.
            tracker.metrics(mlflow_run, past, step=int(past["iterations"]))

    def epoch(means: dict[str, float]) -> None:
        tracker.metrics(mlflow_run, means, step=int(means["iterations"]))
        for sign, text in diagnose(plan, means).items():
            if sign not in shown:
                shown.add(sign)
                watch.say(f"warning: {title}, iteration {means['iterations']:.0f}: {text}")

    return Listener(begin=begin, look=watch.look, epoch=epoch, say=watch.say)


def _losses(record: Mapping[str, float]) -> str:
    terms = [
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in record.items()
        if name.startswith("loss_")
    ]
    return f"loss {record['loss']:.3f} ({', '.join(terms)})  accuracy {record['accuracy']:.0%}"
