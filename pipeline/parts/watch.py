"""What a person sees of a training: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmmanet.params import ArmPlan
from cmmanet.training.logbook import Look

# Seconds between two lines where there is no terminal.
LINE_EVERY = 10.0


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


@contextmanager
def counting(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give what to tell how many of `total` are done; shows it, with the time left."""
    console = Console(stderr=True)
    begun = said = time.monotonic()

    def told(done: int) -> None:
        nonlocal said
        progress.update(task, completed=done)
        now = time.monotonic()
        if not console.is_terminal and now - said >= LINE_EVERY:
            left = timedelta(seconds=round((now - begun) / done * (total - done)))
            line = f"{title}  {done:,}/{total:,}  {left} left"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            said = now

    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield told


def _losses(record: Mapping[str, float]) -> str:
    terms = [
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in record.items()
        if name.startswith("loss_")
    ]
    return f"loss {record['loss']:.3f} ({', '.join(terms)})  accuracy {record['accuracy']:.0%}"
