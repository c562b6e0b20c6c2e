"""The transcription of Tables I–V against the paper's text, where that is at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cmmanet.reporting.published import HEADLINE, Row, load_published

DATASETS = {"iLIDS-VID": "ilids-vid", "MARS": "mars"}
METRICS = {
    "rank-1": "rank1",
    "rank-5": "rank5",
    "rank-10": "rank10",
    "rank-20": "rank20",
    "R1": "rank1",
    "R5": "rank5",
    "R10": "rank10",
    "mAP": "map",
}


@pytest.fixture(scope="module")
def paper_text(shared: Path) -> str:
    return (shared / "paper.txt").read_text(encoding="utf-8")


def row(table: str, method: str) -> Row:
    return next(row for row in load_published().tables[table].rows if row.method == method)


def paper_tables(paper_text: str) -> dict[str, tuple[list[tuple[str, str]], list[list[str]]]]:
    """Each table's (dataset, metric) columns and its rows as text; they are tab-separated."""
    blocks: list[list[list[str]]] = []
    for line in paper_text.splitlines():
        if line.startswith(("Methods\t", "Sampling Strategies\t")):
            blocks.append([])
        if "\t" in line:
            blocks[-1].append(line.split("\t"))
    tables = {}
    for number, block in zip(("I", "II", "III", "IV", "V"), blocks, strict=True):
        (_, *datasets), (_, *metrics), *rows = block
        columns = []
        current = ""
        for dataset, metric in zip(datasets, metrics, strict=False):
            current = dataset or current
            columns.append((DATASETS[current], METRICS[metric]))
        tables[number] = (columns, rows)
    return tables


@pytest.mark.parametrize("number", ["I", "II", "III", "IV", "V"])
def test_every_row_is_the_papers(number: str, paper_text: str) -> None:
    columns, rows = paper_tables(paper_text)[number]
    table = load_published().tables[number]
    assert [(column.dataset, column.metric) for column in table.columns] == columns
    expected = [
        (
            name.replace("$", "").replace("{con}", "con"),
            [None if value == "-" else float(value) for value in values],
        )
        for name, *values in rows
    ]
    ours = [
        (
            row.method
            + "*" * row.optical_flow
            + (f" [{row.reference.number}]" if row.reference else ""),
            list(row.values),
        )
        for row in table.rows
    ]
    assert ours == expected


def test_captions_are_the_papers(paper_text: str) -> None:
    def letters(text: str) -> str:
        return re.sub(r"[^a-z]", "", text.lower())

    text = letters(paper_text)
    for table in load_published().tables.values():
        assert letters(table.title + table.legend) in text, table.number


def test_short_references_agree_with_the_reference_list(paper_text: str) -> None:
    entries = dict(re.findall(r"^- \[(\d+)\] (.+)$", paper_text, flags=re.MULTILINE))
    for table in load_published().tables.values():
        for entry in table.rows:
            if entry.reference is not None:
                surname = entry.reference.short.split(" et al.")[0]
                listed = entries[str(entry.reference.number)]
                assert re.match(rf"(\S+ )+?{surname},", listed), entry.reference
                assert entry.reference.short[-4:] in listed, entry.reference


def test_spot_values() -> None:
    assert row("I", "CMMAN(ours)").values == (89.3, 98.7, 100.0, 100.0)
    assert row("I", "SCAN").values == (86.6, 94.8, None, 97.1)
    assert row("II", "CMMAN(ours)").values == (88.7, 96.2, 97.4, 83.2)
    assert row("III", "Restricted Sampling").values == (86.7, 98.3, 88.2, 96.1)
    assert row("IV", "Baseline").values == (85.8, 94.7, 79.4)
    assert row("V", "Baseline + Multi-MAM").values == (87.3, 98.0, 99.3)


def test_rows_fill_their_columns_and_lengths_are_the_papers() -> None:
    tables = load_published().tables
    assert {number: len(table.rows) for number, table in tables.items()} == {
        "I": 16,
        "II": 14,
        "III": 2,
        "IV": 5,
        "V": 5,
    }
    for table in tables.values():
        assert {len(row.values) for row in table.rows} == {len(table.columns)}


def test_optical_flow_marks() -> None:
    tables = load_published().tables
    assert [row.method for row in tables["I"].rows if row.optical_flow] == [
        "CNN+RNN",
        "ASTPN",
        "Snippet+OF",
        "SCAN+OF",
    ]
    assert [row.method for row in tables["II"].rows if row.optical_flow] == [
        "Snippet+OF",
        "SCAN+OF",
    ]


def test_arms_and_steps_name_each_other() -> None:
    paper = load_published()
    assert set(paper.tables["I"].arms) == set(paper.tables["II"].arms) == {HEADLINE}
    for number in ("III", "IV", "V"):
        table = paper.tables[number]
        assert len(table.arms) == len(table.rows)
        assert {arm for step in table.steps for arm in step} == set(table.arms)
    assert paper.tables_on("mars") == ("II", "III", "IV")
    assert paper.tables_on("synthetic") == ()


def test_ilids_note_counts_what_the_tables_say() -> None:
    paper = load_published()
    values = {
        value
        for number in ("III", "V")
        for row in paper.tables[number].rows
        for column, value in zip(paper.tables[number].columns, row.values, strict=True)
        if column.dataset == "ilids-vid"
    }
    cells = 4 + 15 - 2  # Table III's second row repeats the last of Table V
    multiples = {value for value in values if value in {round(n / 1.5, 1) for n in range(151)}}
    assert values - multiples == {98.3}
    assert f"{cells - 1} of the {cells} values" in paper.notes["ilids-vid"]


def test_slips_follow_from_the_tables() -> None:
    slips = " ".join(load_published().slips)
    ours, sta, scan = row("II", "CMMAN(ours)"), row("II", "STA"), row("II", "SCAN+OF")
    assert f"{ours.values[3]} − {sta.values[3]} = {ours.values[3] - sta.values[3]:.1f}" in slips
    assert f"{ours.values[0]} − {scan.values[0]} = {ours.values[0] - scan.values[0]:.1f}" in slips


def test_settings_are_the_papers(paper_text: str) -> None:
    stated = {
        setting.keys: setting.values or setting.product for setting in load_published().settings
    }
    details = paper_text[paper_text.index("B. Implementation Details") :]

    def found(pattern: str, text: str = details) -> tuple[str, ...]:
        match = re.search(pattern, text)
        assert match is not None, pattern
        return match.groups()

    assert stated == {
        ("image.height", "image.width"): tuple(map(int, found(r"resizing them to (\d+)×(\d+)"))),
        ("clip.frames",): (int(*found(r"\$N = (\d+)\$ frames")),),
        ("batch.identities", "batch.clips"): int(*found(r"batch size is set to (\d+)")),
        ("model.backbone",): (found(r"(ResNet-50)")[0].lower().replace("-", ""),),
        ("model.weights",): (found(r"pre-trained on (ImageNet)")[0].lower(),),
        # 256 × 128 is 8 × 4 only where the last stage halves the map like those before it.
        ("model.last_stride",): (256 // 16 // int(*found(r"2048 \\times (\d+)", paper_text)),),
        ("model.hidden",): (int(*found(r"\$D_1 = (\d+)\$", paper_text)),),
        ("optimiser.lr",): (float(*found(r"initialized to ([\d.]+\d)")),),
        ("optimiser.weight_decay",): (float(*found(r"weight decay of ([\d.]+\d)")),),
    }
    for setting in load_published().settings:
        assert re.match(r"Sec\. (III-B|IV-B)", setting.stated)
