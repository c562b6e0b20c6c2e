"""How every stage starts, and how it fails: one clear line and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cmmanet.datasets.catalogue import DATASETS
from cmmanet.messages import hide_passwords

DatasetName = Annotated[str, typer.Argument(metavar="DATASET", help=", ".join(DATASETS))]
ArmName = Annotated[str, typer.Argument(metavar="ARM", help="an arm of params.yaml")]
Level = Annotated[
    float, typer.Argument(metavar="LEVEL", help="a share of `occlusion` in params.yaml")
]

INTERRUPTED = 130

# Errors of torch and of process pools, by name: not imported for their classes alone.
_EXHAUSTED = ("OutOfMemoryError", "BrokenProcessPool")


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command.

    What a person can mend (bad parameters, files, a full disk) is told in one line and
    ends with status 1; with CMMANET_DEBUG=1 the traceback is shown as well. A bug, being
    any other exception, keeps its traceback.
    """
    # A scheduler's or launcher's SIGTERM ends a stage as tidily as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        # Typer turns Ctrl-C into an exit status of its own.
        if app(standalone_mode=False) == INTERRUPTED:
            _fail("interrupted; run the same command again", INTERRUPTED)
    except (ValueError, OSError) as error:
        if os.environ.get("CMMANET_DEBUG") == "1":
            raise
        _fail(_message(error), 1)
    except Exception as error:
        if exhausted(error):
            _fail(f"{_message(error)}: out of memory? Lower the batch, or --workers", 1)
        # click's own complaints about the command line; not imported for their class alone.
        show = getattr(error, "format_message", None)
        if show is None:
            raise
        _fail(show(), 2)


def exhausted(error: Exception) -> bool:
    """Whether this looks like memory that ran out, here or in a process that served this one."""
    return type(error).__name__ in _EXHAUSTED or "DataLoader worker" in str(error)


def _message(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if text.startswith("Caught ") and "DataLoader" in text:
        # torch hands a worker's error on with its traceback, the message in the last line.
        text = text.splitlines()[-1].partition(": ")[2]
    return text


def _fail(message: str, status: int) -> None:
    print(f"error: {hide_passwords(message)}", file=sys.stderr)
    sys.exit(status)
