"""What a person sees of work that goes on for long."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.parts import watch
from pipeline.parts.watch import counting


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


def console(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    """Replaces standard error."""
    written = io.StringIO()

    def make(**_: object) -> Console:
        return Console(file=written, force_terminal=terminal, width=200 if terminal else 40)

    monkeypatch.setattr(watch, "Console", make)
    return written


def count(clock: Clock, *steps: tuple[float, int]) -> None:
    with counting("mars arm [x] trial-00: embedding, frames", 12_000) as told:
        for seconds, done in steps:
            clock.now += seconds
            told(done)


def test_lines_tell_the_time_left_where_there_is_no_terminal(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = console(monkeypatch, terminal=False)
    count(clock, (4, 400), (5, 900), (2, 1_100), (9, 1_500), (20, 4_000), (50, 12_000))
    title = "mars arm [x] trial-00: embedding, frames"
    # After 11 s, 40 s and 90 s; none within ten seconds of the last. 109 s = 11 / 1,100 x 10,900.
    assert written.getvalue().splitlines() == [
        f"{title}  1,100/12,000  0:01:49 left",
        f"{title}  4,000/12,000  0:01:20 left",
        f"{title}  12,000/12,000  0:00:00 left",
    ]


def test_quick_work_says_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    written = console(monkeypatch, terminal=False)
    count(clock, (1, 128), (1, 12_000))
    assert written.getvalue() == ""


def test_a_terminal_shows_a_bar_and_no_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    written = console(monkeypatch, terminal=True)
    count(clock, (20, 400), (20, 6_000), (20, 12_000))
    assert " left" not in written.getvalue()
    assert "embedding, frames" in written.getvalue()
