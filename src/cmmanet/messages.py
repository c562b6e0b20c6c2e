"""Texts of messages."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where there is none.

    >>> first_line(OSError("no room left"))
    'no room left'
    >>> first_line(OSError())
    'OSError'
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
