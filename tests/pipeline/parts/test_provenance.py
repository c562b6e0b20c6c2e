import subprocess
from pathlib import Path

import pytest

from pipeline.parts import provenance

HERE = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *HERE, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """Make a repository that ignores all but one file; return its commit."""
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("*\n!src\n!src/*\n")
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("a = 1\n")
    git(folder, "add", "-f", ".")
    git(folder, "commit", "-qm", "one")
    return git(folder, "rev-parse", "HEAD")


def place(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setattr(provenance, "__file__", str(project / "pipeline/parts/provenance.py"))


def read() -> tuple[str | None, bool | None]:
    used = provenance.code()
    return used["commit"], used["dirty"]


def test_commit_and_changes_are_those_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "it's %20?"
    commit = repository(project)
    place(monkeypatch, project)
    assert read() == (commit, False)
    # As in a git hook of another repository.
    repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no index"))
    assert read() == (commit, False)
    (project / "src" / "a.py").write_text("a = 2\n")
    assert read() == (commit, True)


@pytest.mark.parametrize("tracked", [False, True])
def test_a_repository_around_the_project_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    home = tmp_path / "home"
    repository(home)
    project = home / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "b.py").touch()
    if tracked:
        git(home, "add", "-f", "project")
        git(home, "commit", "-qm", "two")
    place(monkeypatch, project)
    assert read() == (None, None)


@pytest.mark.parametrize("kind", ["worktree", "submodule"])
def test_a_git_file_counts_as_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    commit = repository(tmp_path / "origin")
    if kind == "worktree":
        git(tmp_path / "origin", "worktree", "add", "-q", str(tmp_path / "copy"))
    else:
        repository(tmp_path / "around")
        git(tmp_path / "around", "submodule", "add", "-f", str(tmp_path / "origin"), "copy")
    place(monkeypatch, tmp_path / ("copy" if kind == "worktree" else "around/copy"))
    assert read() == (commit, False)


def test_without_git_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "project")
    place(monkeypatch, tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read() == (None, None)
