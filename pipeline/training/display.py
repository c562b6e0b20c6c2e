"""What is shown and tracked of a run: none of it changes what is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmmanet.clips.batches import Epoch, short_tracklets
from cmmanet.clips.dataset import ClipDataset
from cmmanet.reporting.pictures import contact_sheet
from cmmanet.training.diagnosis import diagnose
from cmmanet.training.logbook import Listener, Look
from pipeline.parts.watch import LINE_EVERY
from pipeline.training.run import Run

# Clips of the first batch in the picture beside the weights.
SHOWN_CLIPS = 16


def print_data(run: Run, clips: ClipDataset, first: Epoch) -> None:
    """Print what a run trains on; `first` is its first epoch."""
    short = short_tracklets(clips.length, run.plan.clip.frames)
    print(
        f"{run.title}: {len(clips):,} tracklets of {len(clips.identities):,} identities, "
        f"{short:,} of them shorter than a clip; {len(first.batches):,} iterations an epoch, with "
        f"{first.repeated_clips:,} clips of a tracklet that is in its batch already",
        flush=True,
    )


def draw_clips(clips: ClipDataset, first: Epoch) -> Image.Image:
    """Draw the first clips that a run trains on."""
    shown = clips.__getitems__(first.batches[0][:SHOWN_CLIPS])
    return contact_sheet(shown.clips, columns=4)


class Watch:
    """Shows one run; `say` prints a line for itself, above the bar if there is one."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self._title = run.title
        self._total = run.plan.schedule.iterations
        self._last = ""
        self._begun, self._begun_at = 0, time.monotonic()
        self._progress = progress
        self._task = progress.add_task(run.title, total=self._total, state="")
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
        pace = (time.monotonic() - self._begun_at) / (look.iteration - self._begun)
        remaining = timedelta(seconds=round(pace * (self._total - look.iteration)))
        self._last = f"{self._title}  {look.iteration}/{self._total}  {state}  {remaining} left"
        due = time.monotonic() - self._said_at >= LINE_EVERY
        if due and look.iteration < self._total and not self._progress.console.is_terminal:
            self.say(self._last)
            self._said_at = time.monotonic()

    def finish(self) -> None:
        """Show the last iteration: call it when the run is stored."""
        if not self._progress.console.is_terminal:
            self.say(self._last)

    def say(self, line: str) -> None:
        """Print a line, unwrapped: what is not a terminal has no width."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def watching(run: Run) -> Iterator[Watch]:
    """Watch a run."""
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
        yield Watch(run, progress)


def listen(
    run: Run, watch: Watch, begin: Callable[[int], str], log: Callable[[dict[str, float]], None]
) -> Listener:
    """Show and log a run.

    Args:
        run: that is trained.
        watch: that shows it; each warning is shown once.
        begin: called with the number of iterations done; returns what to say of another machine.
        log: called with the means of each epoch, also those before an interruption.
    """
    shown: set[str] = set()
    identities = len(set(run.data.tracklets.pid[run.rows].tolist()))

    def began(iteration: int, history: list[dict[str, float]]) -> None:
        watch.begin(iteration)
        moved = begin(iteration)
        if iteration:
            total = run.plan.schedule.iterations
            watch.say(f"{run.title} goes on after iteration {iteration} of {total}{moved}")
        for past in history:
            shown.update(diagnose(run.plan, past, identities))
            log(past)

    def epoch(means: dict[str, float]) -> None:
        log(means)
        for sign, text in diagnose(run.plan, means, identities).items():
            if sign not in shown:
                shown.add(sign)
                watch.say(f"warning: {run.title}, iteration {means['iterations']:.0f}: {text}")

    return Listener(begin=began, look=watch.look, epoch=epoch, say=watch.say)


def _losses(record: Mapping[str, float]) -> str:
    terms = [
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in record.items()
        if name.startswith("loss_")
    ]
    return f"loss {record['loss']:.3f} ({', '.join(terms)})  accuracy {record['accuracy']:.0%}"
