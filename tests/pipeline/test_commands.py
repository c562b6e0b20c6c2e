"""The stages' command lines, in this process: starting one takes seconds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from pipeline.parts.command import run
from pipeline.parts.dependencies import stage_modules

pytestmark = pytest.mark.slow


def start(stage: str, *arguments: str) -> None:
    """Run a stage as its command does; it always exits."""
    module = importlib.import_module(stage_modules()[stage])
    sys.argv = [f"pipeline.{stage}", *arguments]
    run(module.main)
    sys.exit(0)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.mark.parametrize("stage", stage_modules())
def test_every_stage_explains_itself(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        start(stage, "--help")
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and "Usage" in printed and len(printed) > 200


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "synthetic", "nobody"), "name a dataset and an arm"),
        (("train", "synthetic"), "Missing argument"),
        (("index", "mars"), "run the stage fetch mars first"),
        (("fetch", "duke"), "name a dataset and an arm that params.yaml lists"),
    ],
)
def test_wrong_arguments_get_one_line(
    command: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        start(*command)
    printed = capsys.readouterr().err
    assert ended.value.code in (1, 2) and message in printed
    assert printed.startswith("error: ") and len(printed.splitlines()) == 1
