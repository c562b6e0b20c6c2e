"""Tables as CSV."""

import csv
import io

from cmmanet.reporting.forms import csv_table, measured_csv
from cmmanet.reporting.parsed import parser, tables_in


def test_a_table_as_csv() -> None:
    page = '# T\n\n## A\n\n| `a_b` | x |\n|:--|--:|\n| one, "two" | −1 ± 2 |\n'
    (table,) = tables_in(parser().parse(page))
    assert csv_table(table) == 'a_b,x\n"one, ""two""",−1 ± 2\n'


def test_measured_numbers_keep_all_their_digits(made_up) -> None:
    result = made_up.result("synthetic", "baseline", [0.1 + 0.2, 1 / 3], reranked=True)
    result["trials"][1]["metrics"]["cosine.dense"]["map"] = None
    rows = list(csv.DictReader(io.StringIO(measured_csv([result]))))
    assert len(rows) == len({tuple(row.values())[:5] for row in rows})
    found = {(row["trial"], row["scoring"], row["metric"]): row["value"] for row in rows}
    for trial in result["trials"]:
        for scoring, metrics in trial["metrics"].items():
            for metric in ("rank1", "rank5", "rank10", "rank20", "map", "map_step"):
                value = found.pop((str(trial["trial"]), scoring, metric))
                assert (float(value) if value else None) == metrics[metric]
    for name in ("mean", "std"):
        for scoring, metrics in result[name].items():
            for metric, number in metrics.items():
                assert float(found.pop((name, scoring, metric))) == number
    assert not found


def test_one_trial_has_no_spread(made_up) -> None:
    result = made_up.result("synthetic", "baseline", [0.5])
    text = measured_csv([result])
    assert ",std," not in text and ",mean," in text
