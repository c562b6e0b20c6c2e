"""The house keeps its order: what each room may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

SOURCE = REPOSITORY / "src" / "cmmanet"

# Data goes from left to right, and a room imports only from those to its left.
ROOMS = (
    "geometry", "datasets", "params", "frames", "clips", "model", "losses", "training",
    "evaluation", "reporting",
)  # fmt: skip


def imports_of(file: Path, *, names: bool = False) -> set[str]:
    """Modules imported at run time; with `names`, what is imported from them as well."""
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
            if names:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_its_left(room: str) -> None:
    files = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").is_file() else []
    files += sorted((SOURCE / room).rglob("*.py"))
    assert files
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for file in files:
        for module in imports_of(file):
            if module.startswith("cmmanet."):
                assert module.split(".")[1] in allowed, f"{file} imports {module}"


def test_every_room_is_in_the_order() -> None:
    rooms = {path.stem for path in SOURCE.iterdir() if not path.name.startswith(("_", "py."))}
    assert rooms == set(ROOMS)


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


# What stages import and need not depend on: it changes no number of theirs.
EXEMPT = {
    "params": "its values reach a stage through plan/",
    "geometry.py": "refuses sizes, in plan; where cells lie, below",
    "datasets/tracklets.py": "the form of a table that is a dependency itself",
    "reporting/colours.py": "of figures, which depend on it themselves",
    "reporting/pictures.py": "a picture for people",
    "pipeline/parts/command.py": "how a stage starts and fails",
    "pipeline/parts/identity.py": "whether an interrupted training is this one",
    "pipeline/parts/provenance.py": "says which code computed a number",
    "pipeline/parts/resume.py": "goes on to the same bits",
    "pipeline/parts/tracking.py": "copies numbers to MLflow",
    "pipeline/parts/watch.py": "shows a training to people",
    "pipeline/parts/workspace.py": "where things lie",
}
# What comes along with an import and is not used.
UNUSED = {
    "split": {"frames"},  # the tracklet table is read, and no frame
    "embed": {"losses.py"},  # nothing is trained
    "evaluate": {"frames"},
    "compare": {"frames"},
    "claims": {"frames", "reporting"},
    "figures": {"losses.py"},
    "ambiguity": {"frames"},
    "cross": {"losses.py"},
    "occlusion": {"losses.py"},
}
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


def modules_behind(file: Path) -> set[Path]:
    """The project's files that a file imports, and those that they do, and so on."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        for module in imports_of(waiting.pop(), names=True):
            top = {"cmmanet": SOURCE.parent, "pipeline": REPOSITORY}.get(module.split(".")[0])
            name = (top or REPOSITORY) / module.replace(".", "/")
            for path in (name.with_suffix(".py"), name / "__init__.py"):
                if not top or not path.is_file() or path in found:
                    continue
                if path.stem == "__init__" and not imports_of(path):
                    continue  # it only says what its folder is for
                found.add(path)
                waiting.append(path)
    return found


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"fetch", "occluded"}))  # always run
def test_stages_depend_on_the_code_that_they_import(stage: str) -> None:
    entry = STAGES[stage]
    code = entry["cmd"].split()[2].replace(".", "/") + ".py"
    assert code in entry["deps"]
    for module in modules_behind(REPOSITORY / code):
        room = SOURCE if module.is_relative_to(SOURCE) else REPOSITORY
        name = module.relative_to(room).as_posix()
        parts = module.relative_to(REPOSITORY).as_posix().split("/")
        covered = {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        if EXEMPT.keys() & {name, name.split("/")[0]}:
            continue
        if name.split("/")[0] not in UNUSED.get(stage, set()):
            assert covered & set(entry["deps"]), f"{stage} imports {name}"


@pytest.mark.parametrize("stage", ["attention", "figures"])
def test_what_is_seen_in_cells_depends_on_where_they_lie(stage: str) -> None:
    assert "src/cmmanet/geometry.py" in STAGES[stage]["deps"]


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
