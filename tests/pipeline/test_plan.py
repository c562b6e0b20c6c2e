from pathlib import Path

import pytest
from conftest import REPOSITORY

from pipeline import plan
from pipeline.parts import workspace


@pytest.mark.parametrize("shallow", [True, False])
def test_experiment_that_dvc_would_lose_is_refused(
    shallow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, copy = tmp_path / "clone", tmp_path / "copy"
    (clone / ".git").mkdir(parents=True)
    if shallow:
        (clone / ".git" / "shallow").touch()
    for folder in (clone, copy):
        folder.mkdir(exist_ok=True)
        (folder / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    monkeypatch.setenv("DVC_ROOT", str(clone))
    monkeypatch.setenv("DVC_EXP_NAME", "mine")
    monkeypatch.chdir(clone)
    plan.main()  # in the clone itself DVC keeps it
    monkeypatch.chdir(copy)
    if shallow:
        with pytest.raises(ValueError, match="git fetch --unshallow"):
            plan.main()
    else:
        plan.main()
    assert workspace.plan_file("report.json").exists() != shallow
    monkeypatch.delenv("DVC_EXP_NAME")
    plan.main()
