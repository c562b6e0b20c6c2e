"""Texts of messages."""

import re

# A password, or a user's name without one, which is a token on the web; it may contain
# unescaped "/" and "@".
_USER = re.compile(r"(//)([\w.%+-]*):[^\s\"]*@|(\b)([\w.%+-]*):(?!//)[^\s'\"]*@")
_TOKEN = re.compile(r"(https?://)[^\s/:@?]+@")
_QUERY = re.compile(
    r"([?&][\w.-]*(?:pass|pwd|token|secret|sig|key|credential)[\w.-]*=)[^&\s'\"]*", re.IGNORECASE
)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where there is none.

    >>> first_line(OSError("no room left"))
    'no room left'
    >>> first_line(OSError())
    'OSError'
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def hide_passwords(text: str) -> str:
    """Return a text with the passwords and tokens of its addresses replaced.

    >>> hide_passwords("postgresql://alice:s3cret@host/db?sslpassword=s3cret")
    'postgresql://alice:***@host/db?sslpassword=***'
    >>> hide_passwords("https://token@host/")
    'https://***@host/'
    """
    return _QUERY.sub(r"\1***", _TOKEN.sub(r"\1***@", _USER.sub(r"\1\2\3\4:***@", text)))
