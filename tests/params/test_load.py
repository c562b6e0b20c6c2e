from pathlib import Path

import pytest
from conftest import REPOSITORY

from cmmanet.params import ParamsError, load_params


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; bring it back by: git checkout "),
        (b"# all of it\n", "empty; bring it back by: git checkout "),
        (b"- 1", "expected keys and values, found [1]"),
        (b"seed", "expected keys and values, found 'seed'"),
        (b"a: 1\nb:\n\tc: 1\n", "line 3: a tab, which YAML does not allow there; write spaces "),
        (b"a: 1\nb:\t1\n", "line 2: a tab, which YAML does not allow there; write spaces "),
        (
            b"seed 0\nsampler: x\n",
            "line 2: not valid YAML: mapping values are not allowed here",
        ),
        (
            b"a: 1\nseed 0\n\nb: 1\n",
            "line 4: not valid YAML: while scanning a simple key from line 2: could not find "
            "expected ':'",
        ),
        (b"a: [", "line 1: not valid YAML: while parsing a flow node: expected the node content"),
        (b"a: 1\nb: \xe9\n", "line 2: not UTF-8; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "line 1: not UTF-8; save the file as UTF-8"),
        (b"\x00", "not valid YAML: unacceptable character #x0000"),
    ],
)
def test_files_that_are_no_parameters_are_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(ParamsError) as raised:
        load_params(file)
    assert str(raised.value).startswith(f"{file}: {message}")
    assert "\n" not in str(raised.value)


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    content = (REPOSITORY / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(content, encoding="utf-8-sig")
    assert load_params(tmp_path / "params.yaml") == load_params(REPOSITORY / "params.yaml")


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run from the repository's root"):
        load_params(tmp_path / "params.yaml")
