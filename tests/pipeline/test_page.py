"""Stage page: from the files of other stages to the page and the tables' other forms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from reporting import made_up
from reporting.page_parts import Page, make_shown

from cmmanet.params import ReportPlan
from cmmanet.reporting.figures.entry import Figure
from cmmanet.reporting.page.content import DatasetContent
from cmmanet.reporting.report import build_report
from pipeline import page
from pipeline.parts import workspace
from pipeline.tables import read_inputs

pytestmark = pytest.mark.slow

ARMS = ["baseline", "cmmanet-random_interval"]


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory where everything before the page was run."""
    monkeypatch.chdir(tmp_path)
    report = {
        "datasets": ["synthetic"], "arms": ARMS, "sampler": "random_interval",
        "headline": ARMS[-1], "distance": "cosine", "test_frames": "dense",
    }  # fmt: skip
    workspace.write_json(workspace.plan_file("report.json"), report)
    for arm in ARMS:
        result = made_up.result("synthetic", arm, [1 / 3]).model_dump(mode="json")
        workspace.write_json(workspace.result_file("synthetic", arm), result)
    results = made_up.results("synthetic", 1, ARMS)
    compared = made_up.comparisons(ReportPlan.model_validate(report), results)["synthetic"]
    workspace.write_json(workspace.comparison_file("synthetic"), compared.model_dump(mode="json"))
    claims = {"measures": {}, "claims": [], "collapsed": []}
    workspace.write_json(workspace.claims_file("synthetic"), claims)
    _write(make_shown("synthetic", ARMS))
    return tmp_path


def _write(shown: DatasetContent) -> None:
    figures = workspace.figure_folder("synthetic")
    figure = Figure(file="cmc.png", title="CMC curves", paper=None, caption="Six.", alt="rising")
    left_out = figure.model_copy(update={"file": None, "title": "Both MAMs"})
    listed = [figure.model_dump(), left_out.model_dump()]
    workspace.write_json(figures / "figures.json", listed)
    for name, png in shown.pictures.items():
        workspace.write_bytes(figures / name, png)
    curves = workspace.curve_folder("synthetic")
    curves.mkdir(parents=True)
    pd.DataFrame(shown.cmc).to_csv(curves / "cmc.csv", index=False)
    pd.DataFrame(shown.training).to_csv(curves / "training.csv", index=False)
    workspace.write_json(workspace.retrieval_file("synthetic"), shown.retrievals)


def test_page_and_forms(reported: Path) -> None:
    page.main()
    shown = Page((reported / "reports/index.html").read_text())
    assert len(shown.all("figure")) == 1
    assert "Not run." not in shown.all("main")[0].text
    names = {path.name for path in (reported / "reports/tables").iterdir()}
    tables = build_report(read_inputs(workspace.read_plan(ReportPlan, "report.json"))).tables
    forms = {f"{table.name}.{ending}" for table in tables for ending in ("csv", "tex")}
    assert names == {"measured.csv", *forms}
    measured = pd.read_csv(reported / "reports/tables/measured.csv")
    first = measured.query("scoring == 'cosine.dense' and metric == 'rank1'")
    assert set(first["value"]) == {1 / 3} and set(measured["trial"]) == {"mean", "0"}
    for link in shown.all("a"):
        target = link["href"]
        if not target.startswith(("#", "https:", "../docs/", "ambiguity")):
            assert (reported / "reports" / target).exists(), target


def test_again_is_the_same_and_nothing_old_is_left(reported: Path) -> None:
    page.main()
    before = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    Path("reports/tables/of-an-older-page.csv").write_text("old")
    page.main()
    after = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    assert before == after


def test_what_was_not_run_is_no_error(reported: Path) -> None:
    workspace.retrieval_file("synthetic").unlink()
    (workspace.curve_folder("synthetic") / "cmc.csv").unlink()
    page.main()
    assert (reported / "reports/index.html").read_text().count("<p>Not run.</p>") == 2


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("comparisons/synthetic.json", "run `dvc repro compare@synthetic`"),
        ("claims/synthetic.json", "run the stage claims synthetic"),
        ("reports/figures/synthetic/figures.json", "run `dvc repro figures@synthetic`"),
        ("results/synthetic/baseline.json", "run `dvc repro evaluate@synthetic-baseline`"),
        ("plan/report.json", "run `python -m pipeline.plan`"),
    ],
)
def test_a_missing_input_is_named(reported: Path, gone: str, message: str) -> None:
    (reported / gone).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        page.main()
    assert not (reported / "reports/index.html").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("results/synthetic/baseline.json", {"version": 0}, "evaluate@synthetic-baseline"),
        ("comparisons/synthetic.json", {"people": None}, "compare@synthetic"),
        ("comparisons/synthetic.json", {"intervals": {"x": {}}}, "compare@synthetic"),
        ("claims/synthetic.json", {"measures": ...}, "lacks measures.*claims@synthetic"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    reported: Path, file: str, change: dict[str, object], message: str
) -> None:
    content = workspace.read_json(reported / file, "") | change
    workspace.write_json(reported / file, {k: v for k, v in content.items() if v is not ...})
    with pytest.raises(ValueError, match=f"{file}.*{message}") as caught:
        page.main()
    assert "\n" not in str(caught.value)
    assert not (reported / "reports/index.html").exists()
