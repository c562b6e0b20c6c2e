"""The code that a stage depends on: a digest of each module that it imports, directly or not.

A digest is of a module's tokens without comments, docstrings and layout, and without the text of
messages: what is raised, printed, or given to a listener's `say`. It is the same on every Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Modules that change no number, each with the reason. They are left out of every stage's code, and
# so is what only they import: a warning that is shown during training is no part of training, but
# it is part of the stage that computes it for the results.
NEUTRAL = {
    "cmmanet.messages": "texts of messages",
    "cmmanet.params": "its values reach a stage through plan/, which the stage depends on",
    "pipeline": "import path, and environment variables of MLflow",
    "pipeline.parts.command": "how a stage starts and fails",
    "pipeline.parts.provenance": "records which code computed a number",
    "pipeline.parts.tracking": "copies numbers to MLflow",
    "pipeline.parts.tracking_store": "connects to MLflow",
    "pipeline.parts.watch": "shows progress",
    "pipeline.parts.workspace": "names of files, locks, and writing whole files",
    "pipeline.training.display": "shows a run",
    "pipeline.training.mlflow_runs": "copies a run to MLflow",
}

_DIGITS = 16
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
_STRING = re.compile(r"[a-zA-Z]*['\"]")
_MESSAGE = re.compile(r"raise |(\w+ \. )*(print|say) \(")
# Python 3.12 splits f-strings into tokens, Python 3.14 t-strings as well.
_OPEN, _CLOSE = (
    tuple(getattr(tokenize, f"{kind}STRING_{end}", -1) for kind in "FT") for end in ("START", "END")
)


def code_of(module: str, root: Path = ROOT) -> dict[str, str]:
    """Return the digest of each module of the repository `root` that `module` depends on.

    Imports inside functions count, and those under `if TYPE_CHECKING:` do not. Data files beside
    a module, such as templates, are digested too, under their path.
    """
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name, root)
        if path is None or name in digests or name in NEUTRAL:
            continue
        digests[name], imported = _read(path, name, path.stat().st_mtime_ns)
        waiting += imported
        for data in path.parent.iterdir():
            if data.is_file() and data.suffix not in (".py", ".typed") and data.name[0] != ".":
                digests[data.relative_to(root).as_posix()] = _digest(data.read_bytes())
    return dict(sorted(digests.items()))


def stage_modules(root: Path = ROOT) -> dict[str, str]:
    """Return the module of each stage, by the stage's name."""
    packages = {"pipeline": root / "pipeline", "pipeline.studies": root / "pipeline" / "studies"}
    return {
        path.stem: f"{package}.{path.stem}"
        for package, folder in packages.items()
        for path in sorted(folder.glob("[a-z]*.py"))
    }


def _source(module: str, root: Path) -> Path | None:
    """Return a module's file; None for one of another project, or for what is not a module."""
    top = {"cmmanet": root / "src", "pipeline": root}.get(module.partition(".")[0])
    if top is None:
        return None
    path = top / module.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@cache
def _read(path: Path, module: str, _changed: int) -> tuple[str, frozenset[str]]:
    """Return a module's digest, and what it may import: modules, and names in them."""
    with tokenize.open(path) as file:
        source = file.read()
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    names = set(_imports(ast.parse(source), package))
    parents = {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}
    return _digest("\n".join(_statements(source)).encode()), frozenset(names | parents)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        name = "." * node.level + (node.module or "")
        base = importlib.util.resolve_name(name, package) if node.level else name
        yield from (f"{base}.{alias.name}" for alias in node.names)
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children = iter(node.orelse)
    for child in children:
        yield from _imports(child, package)


def _statements(source: str) -> Iterator[str]:
    """Yield the tokens of each statement, without docstrings and the text of messages."""
    statement: list[str] = []
    for kind, text in _tokens(source):
        if kind in (tokenize.INDENT, tokenize.DEDENT):
            yield tokenize.tok_name[kind]
        elif kind != tokenize.NEWLINE:
            statement.append(text)
        else:
            code = [text for text in statement if not _STRING.match(text)]
            if code:  # else it is a docstring
                is_message = _MESSAGE.match(" ".join(statement))
                yield "\0".join(code if is_message else statement)
            statement = []


def _tokens(source: str) -> Iterator[tuple[int, str]]:
    """Yield the kind and text of each token; an f-string is one, as on Python 3.11."""
    lines = source.split("\n")
    opened: list[tuple[int, int]] = []
    for kind, text, start, end, _ in tokenize.generate_tokens(io.StringIO(source).readline):
        if kind in _OPEN:
            opened.append(start)
        elif kind in _CLOSE:
            (first, left), (last, right) = opened.pop(), end
            if not opened:
                whole = [*lines[first - 1 : last - 1], lines[last - 1][:right]]
                yield tokenize.STRING, "\n".join(whole)[left:]
        elif not opened and kind not in _LAYOUT:
            yield kind, text


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
