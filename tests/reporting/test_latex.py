"""LaTeX that compiles, whatever the text."""

import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmmanet.reporting.document import table
from cmmanet.reporting.latex import escape, latex_table

# What TeX reads as itself, and the whole of what may stand for anything else.
PLAIN = set(string.ascii_letters + string.digits + " -.,:;!?'()*+/=@[]")
COMMAND = re.compile(
    r"\\(?:[{}$&#%_]|text[a-z]+(?:\{\}|(?=\{U\+))|(?:ldots|dag|S)\{\}"
    r"|[`'^~=.\"urHvc]\{(?:[A-Za-z]|\\[ij])\})"
    r"|\$(?:[<>|-]|\\[a-zA-Z]+|\^[23]|\^\\circ|\\frac\{1\}\{2\})\$|\{U\+[0-9A-F]{4,6}\}"
    r"|---?|\{`{1,2}\}|\{'{1,2}\}|\{\}|~"
)
EVERYTHING = "".join(map(chr, range(32, 0x250))) + "–—…‘’“”−±×·→≤≥≠≈∞√½°²³µαβγδελμστΔΣ✓✗†é 行😀"


@given(st.text())
def test_only_known_signs_come_out(text: str) -> None:
    left = COMMAND.sub("", escape(text))
    assert set(left) <= PLAIN


@given(st.text(string.printable))
def test_every_brace_and_dollar_has_its_other(text: str) -> None:
    bare = re.sub(r"\\[{}$]", "", escape(text))
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[%#&_]", bare)


def test_signs_of_the_pages() -> None:
    assert escape("52.8 ± 0.9, −0.4 → 5 %") == r"52.8 $\pm$ 0.9, $-$0.4 $\rightarrow$ 5 \%"
    assert escape("a--b ''c'' – ~") == r"a-{}-b '{}'c'{}' -- \textasciitilde{}"
    assert escape("Müller, Łódź, 行") == r"M\"{u}ller, \texttt{U+0141}\'{o}d\'{z}, \texttt{U+884C}"


TABLE = table(
    "A: 50 % & more",
    ["`a_b`", "x"],
    [["[5] *c*", "−1"], [r"\*d **e_f**", "2"]],
    texts=1,
    name="a",
)


def test_a_table_stands_by_itself() -> None:
    lines = latex_table(TABLE).splitlines()
    assert "booktabs" in lines[0]
    assert lines[2:] == [
        r"\begin{table}", r"  \centering", r"  \caption{A: 50 \% \& more}", r"  \label{tab:a}",
        r"  \begin{tabular}{lr}", r"    \toprule", r"    \texttt{a\_b} & x \\", r"    \midrule",
        # A bracket or an asterisk behind \\ would be its option.
        r"    {}[5] \emph{c} & $-$1 \\", r"    {}*d \textbf{e\_f} & 2 \\",
        r"    \bottomrule", r"  \end{tabular}", r"\end{table}",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_pdflatex_takes_every_sign(tmp_path: Path) -> None:
    words = "\n\n".join(escape(EVERYTHING[at : at + 20]) for at in range(0, len(EVERYTHING), 20))
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,textcomp}\\usepackage[T1]{fontenc}"
        f"\\begin{{document}}\n{latex_table(TABLE)}\n{words}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "page.log").read_text(errors="replace")
