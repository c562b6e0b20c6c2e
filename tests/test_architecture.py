"""What each package may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from pipeline.parts.dependencies import stage_modules

SOURCE = REPOSITORY / "src" / "cmmanet"

# Data goes from left to right, and a package imports only from those to its left.
PACKAGES = (
    "messages", "geometry", "datasets", "params", "frames", "clips", "model", "losses", "training",
    "evaluation", "reporting",
)  # fmt: skip


def imports_of(file: Path) -> set[str]:
    """Modules imported at run time."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_from_its_left(package: str) -> None:
    files = [SOURCE / f"{package}.py"] if (SOURCE / f"{package}.py").is_file() else []
    files += sorted((SOURCE / package).rglob("*.py"))
    assert files
    allowed = set(PACKAGES[: PACKAGES.index(package) + 1])
    for file in files:
        for module in imports_of(file):
            if module.startswith("cmmanet."):
                assert module.split(".")[1] in allowed, f"{file} imports {module}"


def test_every_package_is_in_the_order() -> None:
    packages = {path.stem for path in SOURCE.iterdir() if not path.name.startswith(("_", "py."))}
    assert packages == set(PACKAGES)


@pytest.mark.slow
def test_the_library_knows_nothing_of_dvc_and_mlflow() -> None:
    for file in SOURCE.rglob("*.py"):
        tops = {module.split(".")[0] for module in imports_of(file)}
        assert not tops & {"dvc", "mlflow", "pipeline", "typer"}, file


def test_training_runs_where_only_torch_is() -> None:
    # The GPU machines' image has neither pydantic nor DVC nor MLflow.
    code = (
        "import sys\n"
        "for name in ('pydantic', 'dvc', 'mlflow', 'yaml', 'typer'): sys.modules[name] = None\n"
        "import cmmanet.model, cmmanet.losses, cmmanet.training.loop, cmmanet.training.step\n"
        "import cmmanet.evaluation.ranking, cmmanet.evaluation.embedding, cmmanet.frames.index\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCE.parent)})


STUDIES = {
    study: yaml.safe_load((REPOSITORY / "studies" / study / "dvc.yaml").read_text())["stages"]
    for study in ("ambiguity", "cross", "occlusion")
}
STAGES = {
    **yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"],
    **STUDIES["cross"],
    **STUDIES["occlusion"],
    "ambiguity": STUDIES["ambiguity"]["ambiguity"],
}


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"plan"}))
def test_stages_depend_on_their_computed_code_and_on_data(stage: str) -> None:
    module = STAGES[stage]["cmd"].split()[2]
    (name,) = (name for name, of in stage_modules().items() if of == module)
    code = [
        dep for dep in STAGES[stage]["deps"] if dep.startswith(("plan/code", "pipeline", "src"))
    ]
    assert code == [f"plan/code/{name}.json"]


def test_plan_depends_on_all_code() -> None:
    assert STAGES["plan"]["deps"] == ["params.yaml", "pipeline", "src/cmmanet"]


def test_readings_are_made_as_arms_are() -> None:
    for stage in ("train", "embed", "evaluate"):
        arm, reading = STAGES[stage], STUDIES["ambiguity"][stage]
        as_arm = yaml.safe_dump(reading["deps"]).replace("readings/", "")
        assert (
            yaml.safe_load(as_arm.replace("reading-${item.reading}", "${item.arm}")) == arm["deps"]
        )
        assert reading["cmd"] == arm["cmd"].replace("${item.arm}", "reading-${item.reading}")


def test_a_page_waits_for_every_crossed_result() -> None:
    (result,) = STAGES["cross"]["outs"]
    (path,) = result
    assert path.split("/")[0] in STAGES["cross_table"]["deps"]


def test_the_report_is_made_without_the_studies() -> None:
    root = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    needed = {dep for stage in root.values() for dep in stage["deps"]}
    for study in STUDIES.values():
        for stage in study.values():
            for out in stage["outs"]:
                path = out if isinstance(out, str) else next(iter(out))
                parts = path.split("/")
                folders = {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
                assert not folders & needed, f"`dvc repro` would run the study that makes {path}"


def test_every_level_of_occlusion_reaches_its_page() -> None:
    (queries, result) = STAGES["occlusion"]["outs"]
    for path in (queries, result):
        assert "/".join(path.split("/")[:2]) in STAGES["occlusion_table"]["deps"]
    assert STAGES["occluded"]["outs"][0] in STAGES["occlusion"]["deps"]


def test_archives_are_no_part_of_what_stages_depend_on() -> None:
    archive = "data/raw/mars/bbox_train.zip"
    command = [sys.executable, "-m", "dvc", "check-ignore", archive, "data/mars/index.json"]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert told.stdout.split() == [archive], told.stderr
