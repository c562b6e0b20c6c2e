"""Copies a file from a mirror: a folder, or a web server, where a download is resumed."""

from __future__ import annotations

import base64
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from cmmanet.messages import hide_passwords

OnBytes = Callable[[int, int | None], None]

_CHUNK = 2**20
_TIMEOUT = 60  # seconds without a byte

_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


class MirrorError(OSError):
    """A file that a mirror does not have, or that does not arrive whole."""


def get_file(mirror: str, name: str, target: Path, *, on_bytes: OnBytes) -> None:
    """Copy or download `mirror`/`name` to `target`, which appears when it is whole.

    `mirror` is a path, or a file:, http: or https: address; its user:password@ is sent as basic
    authentication to that server alone, and shown nowhere. An interrupted download stays next
    to the target as `.part` and is resumed the next time, if the server still has the same
    file. `on_bytes` is called with the number of bytes so far and, if known, in total.

    Raises:
        MirrorError: if the file does not exist, the connection fails, or it ends early.
        ValueError: for another kind of address.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        scheme, _ = urlsplit(mirror).scheme, urlsplit(mirror).port
    except ValueError:
        raise ValueError(
            f"mirror {hide_passwords(mirror)}: not an address; in a password, write / as %2F and "
            "@ as %40"
        ) from None
    if scheme in ("http", "https"):
        _download(f"{mirror.rstrip('/')}/{quote(name)}", target, on_bytes)
    elif scheme in ("", "file"):
        folder = url2pathname(urlsplit(mirror).path) if scheme else mirror
        _copy(Path(folder).expanduser() / name, target, on_bytes)
    else:
        raise ValueError(
            f"mirror {hide_passwords(mirror)}: expected a path or a file:, http: or https: address"
        )


def _copy(source: Path, target: Path, on_bytes: OnBytes) -> None:
    part = target.with_name(f"{target.name}.part")
    try:
        total = source.stat().st_size
        with source.open("rb") as reader, part.open("wb") as writer:
            _pour(reader, writer, 0, total, on_bytes)
        with suppress(OSError):  # not every file system has modes and times
            shutil.copystat(source, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MirrorError(f"{source}: not copied to {target}: {error.strerror or error}") from None
    part.replace(target)


def _download(address: str, target: Path, on_bytes: OnBytes) -> None:
    part = target.with_name(f"{target.name}.part")
    # The version of the file that the first bytes are from: another one must not be appended.
    stamp = target.with_name(f"{target.name}.part.version")
    have = part.stat().st_size if part.is_file() and stamp.is_file() else 0
    request = _request(address)
    shown = hide_passwords(address)
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", stamp.read_text())
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            _receive(response, part, stamp, have, on_bytes)
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE and have:
            part.unlink()
            return _download(address, target, on_bytes)
        raise MirrorError(f"{shown}: {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise MirrorError(
            f"{shown}: broke off ({hide_passwords(str(reason))}); run the same command again to "
            "resume"
        ) from None
    stamp.unlink(missing_ok=True)
    part.replace(target)
    return None


def _request(address: str) -> urllib.request.Request:
    parts = urlsplit(address)
    user, separator, host = parts.netloc.rpartition("@")
    bare = parts._replace(netloc=host).geturl()
    request = urllib.request.Request(bare)  # noqa: S310 (only http and https get here)
    if separator:
        login = base64.b64encode(unquote(user).encode()).decode()
        # Not to a server that this one redirects to.
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return request


def _receive(response: HTTPResponse, part: Path, stamp: Path, have: int, on_bytes: OnBytes) -> None:
    resumed = response.status == _PARTIAL_CONTENT
    if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise ConnectionError("the server sent another part than requested")
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    # A weak ETag does not promise equal bytes.
    if version and not version.startswith("W/"):
        stamp.write_text(version)
    else:
        stamp.unlink(missing_ok=True)
    length = response.headers.get("Content-Length")
    start = have if resumed else 0
    total = start + int(length) if length else None
    with part.open("ab" if resumed else "wb") as writer:
        done = _pour(response, writer, start, total, on_bytes)
    if total is not None and done != total:
        raise ConnectionError(f"received {done:,} of {total:,} bytes")
    if (size := part.stat().st_size) != done:
        part.unlink()
        raise ConnectionError(f"another process wrote to {part}: {size:,} bytes, not {done:,}")


def _pour(
    reader: IO[bytes] | HTTPResponse,
    writer: IO[bytes],
    done: int,
    total: int | None,
    on_bytes: OnBytes,
) -> int:
    while chunk := reader.read(_CHUNK):
        writer.write(chunk)
        done += len(chunk)
        on_bytes(done, total)
    return done
