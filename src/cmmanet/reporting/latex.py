"""Tables as LaTeX source, in plain ASCII."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from cmmanet.reporting.document import Table, plain, spans

# What a character is in LaTeX, where it is not itself.
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", "|": "$|$", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}",
    "\u00a0": "~", "–": "--", "—": "---", "…": r"\ldots{}", "‘": "{`}", "’": "{'}", "“": "{``}",
    "”": "{''}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "→": r"$\rightarrow$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$",
    "√": r"$\surd$", "½": r"$\frac{1}{2}$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$",
    "µ": r"$\mu$", "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$",
    "ε": r"$\epsilon$", "λ": r"$\lambda$", "μ": r"$\mu$", "σ": r"$\sigma$", "τ": r"$\tau$",
    "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "✓": r"$\surd$", "✗": r"$\times$",
    "†": r"\dag{}", "§": r"\S{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_MARKS = {
    "em_open": r"\emph{", "em_close": "}", "strong_open": r"\textbf{", "strong_close": "}",
    "softbreak": " ", "hardbreak": " ",
}  # fmt: skip


def escape(text: str) -> str:
    r"""Escape text for LaTeX; a character that it lacks is printed as its number.

    >>> escape("50 % ± 3_a"), escape("é")
    ('50 \\% $\\pm$ 3\\_a', "\\'{e}")
    """
    # Two of a kind would be drawn as one sign: -- as a dash.
    return re.sub(
        r"([-',])(?=\1)|.",
        lambda found: f"{found[1]}{{}}" if found[1] else _sign(found[0]),
        text,
        flags=re.DOTALL,
    )


def latex_table(table: Table) -> str:
    """Return a floating table in the style of booktabs."""
    header, *body = (_row(row) for row in (table.header, *table.rows))
    lines = (
        "% Written by the stage tables. Needs \\usepackage{booktabs,textcomp}",
        "% and, for its quotation marks, \\usepackage[T1]{fontenc}.",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escape(plain(table.caption))}}}",
        f"  \\label{{tab:{table.name}}}",
        f"  \\begin{{tabular}}{{{table.alignment}}}",
        "    \\toprule",
        header,
        "    \\midrule",
        *body,
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
    )
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    text = " & ".join("".join(_span(*span) for span in spans(cell)) for cell in cells)
    # A row that starts with one of these would be read as an option of the line break before it.
    return f"    {'{}' if text.startswith(('[', '*')) else ''}{text} \\\\"


def _span(kind: str, text: str) -> str:
    if kind == "code_inline":
        return f"\\texttt{{{escape(text)}}}"
    return _MARKS.get(kind) or escape(text)


def _sign(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if character.isascii():
        return character if character.isprintable() else " "
    base, *accents = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        # On a dotless i and j accents sit right.
        dotless = {"i": r"\i", "j": r"\j"}.get(base, base)
        return f"\\{_ACCENTS[accents[0]]}{{{dotless}}}"
    return f"\\texttt{{U+{ord(character):04X}}}"
