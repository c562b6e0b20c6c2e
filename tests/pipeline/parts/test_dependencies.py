"""The code that each stage depends on, as `plan` writes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY

from cmmanet.params import load_params, plans
from pipeline.parts import dependencies
from pipeline.parts.dependencies import NEUTRAL, code_of, stage_modules


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, to edit."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    return folder


def stages_changed(copy: Path, file: str, before: str, after: str) -> set[str]:
    """The stages whose code is changed by an edit, which is undone."""
    path = copy / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    try:
        return {
            stage
            for stage, module in stage_modules().items()
            if code_of(module) != code_of(module, copy)
        }
    finally:
        path.write_text(text)


ATTENTION, DECODE = "src/cmmanet/model/attention.py", "src/cmmanet/frames/decode.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        (ATTENTION, '"""', '"""In other words: '),
        (ATTENTION, "\n\n\n", "\n\n\n# A comment.\n\n\n"),
        (DECODE, 'f"claims {width} x', 'f"is said to have {height * width:,} pixels, {width} x'),
        ("pipeline/embed.py", 'print(f"{title}: ', 'print(f"{title} ({target}): '),
        ("src/cmmanet/training/loop.py", '"warning: batch norm', '"take care: batch norm'),
        ("pipeline/parts/watch.py", "LINE_EVERY = 10.0", "LINE_EVERY = 20.0"),
        ("src/cmmanet/params/recipe.py", "le=1024", "le=512"),
    ],
)
def test_what_changes_no_number_changes_no_stage(
    copy: Path, file: str, before: str, after: str
) -> None:
    assert stages_changed(copy, file, before, after) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "before", "after", "some", "others"),
    [
        (
            "src/cmmanet/training/diagnosis.py",
            "COLLAPSED = 0.02",
            "COLLAPSED = 0.03",
            {"evaluate", "claims"},
            {"train", "embed", "attention", "index", "cross", "occlusion"},
        ),
        (
            "src/cmmanet/losses.py",
            "smoothing: float = 0.0",
            "smoothing: float = 0.1",
            {"train"},
            {"embed", "evaluate", "index", "tables"},
        ),
        (ATTENTION, "nn.", "torch.nn.", {"train", "embed", "attention"}, {"evaluate", "tables"}),
        (DECODE, "4096 * 4096", "4096 * 4095", {"train", "embed"}, {"evaluate", "split"}),
        (
            "src/cmmanet/reporting/page/page.css",
            "{",
            "{ ",
            {"page"},
            {"tables", "train", "evaluate"},
        ),
        ("src/cmmanet/reporting/published.yaml", "\n", "\n\n", {"compare"}, {"train", "embed"}),
        ("pipeline/embed.py", "sorted(set(", "list(set(", {"embed"}, {"train", "evaluate"}),
    ],
)
def test_what_changes_a_number_changes_the_stages_that_import_it(
    copy: Path, file: str, before: str, after: str, some: set[str], others: set[str]
) -> None:
    changed = stages_changed(copy, file, before, after)
    assert some <= changed and not others & changed


SNIPPET = (
    '''"""A docstring."""
from __future__ import annotations
from typing import TYPE_CHECKING
import cmmanet.losses  # a comment
if TYPE_CHECKING:
    from cmmanet.params import ArmPlan

class Nested:
    """Of a class."""

    size: int = 0x1F
    """Of a field."""

    @property
    def text(self) -> str:
        """Of a function."""
        from pipeline.parts import workspace
        plain, raw = "é'", rb'\\x00\\
'
        if not plain:
            raise ValueError(f"{plain!r:>{self.size}} is too "
                             "long")
        print(f"{plain}")
        return rf"{raw!r:>{10 + self.size}}{{}} {f'{plain}' + 'ü'} \\d" f"""
    {[a for a in (1, 2.5e3, 1_000j)]}
      {'''
    + "'''a\nb'''"
    + '''}"""  # noqa
    async def wait(self, *a: ArmPlan): return (yield a[...:-1] @ ~self, lambda x, /, y=1: x != y)
'''
)


def snippet(folder: Path, text: str) -> str:
    """The digest of a text as a module."""
    (folder / "pipeline").mkdir(exist_ok=True)
    (folder / "pipeline" / "snippet.py").write_text(text, encoding="utf-8")
    return code_of("pipeline.snippet", folder)["pipeline.snippet"]


def test_digest_is_the_same_on_every_python(tmp_path: Path) -> None:
    # Computed on 3.11; 3.12 was the first to split f-strings into tokens.
    golden = "a370f1086be8e39d"
    assert snippet(tmp_path, SNIPPET) == golden
    same = SNIPPET.replace("A docstring.", "Another one.").replace("long", "wide")
    same = same.replace("  # noqa", "").replace('    """Of a field."""\n', "\n")
    assert same != SNIPPET and snippet(tmp_path, same) == golden
    for before, after in (("é", "e"), ("{raw!r", "{raw!s"), ("0x1F", "31"), ("'ü'", "'u'")):
        assert before in SNIPPET and snippet(tmp_path, SNIPPET.replace(before, after)) != golden


def test_closure_is_what_runs(tmp_path: Path) -> None:
    (tmp_path / "src/cmmanet/params").mkdir(parents=True)
    snippet(tmp_path, SNIPPET)
    for name in ("__init__.py", "losses.py", "clips.py", "params/__init__.py", "data.yaml"):
        (tmp_path / "src/cmmanet" / name).write_text("from . import clips\n")
    (tmp_path / "pipeline/parts").mkdir()
    (tmp_path / "pipeline/parts/workspace.py").write_text("import cmmanet.train\n")
    found = set(code_of("pipeline.snippet", tmp_path))
    modules = {"pipeline.snippet", "cmmanet", "cmmanet.losses", "cmmanet.clips"}
    assert found == {*modules, "src/cmmanet/data.yaml"}


def test_neutral_modules_exist_and_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "NEUTRAL", {})
    imported = {name for module in stage_modules().values() for name in code_of(module)}
    assert imported >= set(NEUTRAL)
    assert all(len(reason) > 10 for reason in NEUTRAL.values())


def test_a_plan_is_what_its_file_says() -> None:
    # So no change of cmmanet.params can change what a stage reads from the same file.
    for name, plan in plans(load_params(REPOSITORY / "params.yaml")).items():
        written = plan.model_dump_json()
        read = type(plan).model_validate_json(written)
        assert read == plan and read.model_dump_json() == written, name
