"""The page as Chromium shows it, without a network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from reporting import made_up
from reporting.page_parts import Page, make_shown

from cmmanet.reporting.page.render import render_page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
# One of the user's own, whose name has signs that Vega reads in field names.
ARMS = ["baseline", "multi_mam", "own.arm[2]'s"]


@pytest.fixture(scope="module")
def html():
    results = made_up.results("synthetic", 2, ARMS[:2])
    report = made_up.report(["synthetic"], ARMS[:2])
    document = made_up.document(report.model_copy(update={"headline": "multi_mam"}), results)
    return render_page(
        document, ARMS, "multi_mam", list(results.values()), [make_shown("synthetic", ARMS)]
    )


def shown(html: str, folder: Path) -> tuple[Page, str]:
    """The page after its programs have run, and what the browser complained of."""
    (folder / "index.html").write_text(html, encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
        "--disable-background-networking", "--no-first-run", f"--user-data-dir={folder / 'user'}",
        "--enable-logging=stderr", "--virtual-time-budget=8000", "--window-size=1280,900",
        "--dump-dom", (folder / "index.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return Page(done.stdout), "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


def test_charts_are_drawn_and_the_browser_answers(html: str, tmp_path: Path) -> None:
    page, complaints = shown(html, tmp_path)
    assert not complaints
    (root,) = page.all("html")
    assert root.attributes.get("data-failed") is None and root["data-charts"] == "drawn"
    drawn = [svg.parent for svg in page.all("svg") if svg.attributes.get("class") == "marks"]
    assert [plot["role"] for plot in drawn if plot] == ["graphics-document"] * 2
    assert [plot["aria-label"] for plot in drawn if plot] == [
        "CMC curves, a line for each arm", "Training curves, a line for each arm",
    ]  # fmt: skip
    marks = [
        each for each in page.all("path")
        if each.attributes.get("aria-roledescription") == "point"
    ]  # fmt: skip
    # 20 ranks, and the mean of two trials at 4 places.
    assert len(marks) == len(ARMS) * (20 + 4)
    (told,) = (each for each in page.all("p") if each.attributes.get("role") == "status")
    assert told.text == (
        "Query 1 of 3, 0001C1T0001F001.jpg, by multi_mam: AP 1.0\N{NO-BREAK SPACE}%, first true "
        "match at rank 1, 10 of the first 10 right."
    )
    answers = [each for each in page.all("li") if each.attributes.get("class") == "right"]
    assert len(answers) == 10 and answers[0].text.startswith("1. ✓ right")
    assert len(page.all("img")) == 11


def test_the_policy_stops_other_programs_and_every_request(html: str, tmp_path: Path) -> None:
    foreign = (
        "<script>document.title = 'taken over'</script>"
        '<img src="http://127.0.0.1:9/x.png" onerror="document.title = 1">'
        "<link rel=stylesheet href='http://127.0.0.1:9/x.css'></main>"
    )
    page, complaints = shown(html.replace("</main>", foreign), tmp_path)
    assert page.all("title")[0].text.startswith("CMMANet")
    for kind in ("inline script", "the image 'http", "the stylesheet 'http"):
        assert kind in complaints
