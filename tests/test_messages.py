import pytest

from cmmanet.messages import hide_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://alice:s3cret@host:5000/a", "http://alice:***@host:5000/a"),
        ("cannot reach 'mysql+pymysql://alice:s3/c@ret@h/db' now", None),
        ("mssql://:s3cret@host", "mssql://:***@host"),
        ("alice:s3cret@host", "alice:***@host"),
        ("https://s3cret@host/a", "https://***@host/a"),
        ("postgresql://alice@host/db", "postgresql://alice@host/db"),
        ("postgresql:///db?user=alice&password=s3cret&x=1", None),
        ("https://h/f?sv=1&sig=s3cret", "https://h/f?sv=1&sig=***"),
        ("https://h/f?X-Amz-Signature=s3cret&a=b", "https://h/f?X-Amz-Signature=***&a=b"),
        ("http://a:s3cret@h, then http://b:s3cret@i", "http://a:***@h, then http://b:***@i"),
        ("http://host:8080/a: 404 Not Found", "http://host:8080/a: 404 Not Found"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("runs/a@b: not there", "runs/a@b: not there"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_shown(text: str, shown: str | None) -> None:
    hidden = hide_passwords(text)
    assert "s3" not in hidden and "ret" not in hidden
    if shown is not None:
        assert hidden == shown
