"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import Progress

# Seconds between two lines where there is no terminal.
LINE_EVERY = 10.0


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
