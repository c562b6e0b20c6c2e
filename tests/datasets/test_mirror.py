import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cmmanet.datasets.mirror import MirrorError, get_file

CONTENT = np.random.default_rng(0).bytes(3_000_000)


def ignore(_: int, __: int | None) -> None:
    """No progress is shown."""


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `break_after` bytes it drops the connection."""

    break_after: int | None = None
    version = '"one"'
    ranges = True
    slip = 0
    asked: list[str | None]
    authorization: str | None = None
    moved_to: str | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        self.server.authorization = self.headers["Authorization"]
        if self.server.moved_to is not None:
            self.send_response(302)
            self.send_header("Location", self.server.moved_to + self.path)
            self.end_headers()
            return
        if self.path != "/mirror/a%20b/file.zip":
            self.send_error(404)
            return
        start = 0
        fresh = self.headers["If-Range"] in (None, self.server.version)
        if asked and self.server.ranges and fresh:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            sent = start + self.server.slip
            self.send_header("Content-Range", f"bytes {sent}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("ETag", self.server.version)
        self.end_headers()
        end = self.server.break_after or len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def other_server() -> Iterator[Server]:
    yield from serve()


def serve() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(server: Server, target: Path) -> None:
    mirror = f"http://127.0.0.1:{server.server_port}/mirror"
    get_file(mirror, "a b/file.zip", target, on_bytes=ignore)


def test_download_appears_whole_and_tells_its_progress(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    mirror = f"http://127.0.0.1:{server.server_port}/mirror/"
    target = tmp_path / "new" / "file.zip"
    get_file(mirror, "a b/file.zip", target, on_bytes=lambda *bytes_: calls.append(bytes_))
    assert target.read_bytes() == CONTENT
    assert calls[-1] == (len(CONTENT), len(CONTENT)) and calls == sorted(calls)
    assert list(target.parent.iterdir()) == [target]


def test_broken_download_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.zip"
    server.break_after = 1_200_000
    with pytest.raises(MirrorError, match=r"broke off .* run the same command again"):
        get(server, target)
    assert not target.exists()
    have = (tmp_path / "file.zip.part").stat().st_size
    assert 0 < have <= 1_200_000
    server.break_after = None
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={have}-"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("what", ["changed", "no ranges"])
def test_what_cannot_be_resumed_starts_again(server: Server, tmp_path: Path, what: str) -> None:
    target = tmp_path / "file.zip"
    (tmp_path / "file.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / "file.zip.part.version").write_text('"zero"' if what == "changed" else '"one"')
    server.ranges = what == "changed"
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_part_of_unknown_version_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(b"old")
    get(server, tmp_path / "file.zip")
    assert server.asked == [None]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_part_longer_than_the_file_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "file.zip.part.version").write_text('"one"')
    get(server, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_what_two_processes_wrote_is_not_put_in_place(server: Server, tmp_path: Path) -> None:
    def interfere(_: int, __: int | None) -> None:
        with (tmp_path / "file.zip.part").open("ab") as part:
            part.write(b"another process")

    mirror = f"http://127.0.0.1:{server.server_port}/mirror"
    with pytest.raises(MirrorError, match=r"another process wrote to .*run the same command"):
        get_file(mirror, "a b/file.zip", tmp_path / "file.zip", on_bytes=interfere)
    assert not list(tmp_path.glob("file.zip*[!n]"))
    get(server, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_another_range_than_asked_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    (tmp_path / "file.zip.part.version").write_text('"one"')
    server.slip = 5
    with pytest.raises(MirrorError, match="another part"):
        get(server, tmp_path / "file.zip")
    server.slip = 0
    get(server, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_missing_file_and_unreachable_server_are_reported(server: Server, tmp_path: Path) -> None:
    mirror = f"http://127.0.0.1:{server.server_port}/mirror"
    with pytest.raises(MirrorError, match=r"/mirror/no\.zip: 404"):
        get_file(mirror, "no.zip", tmp_path / "no.zip", on_bytes=ignore)
    with pytest.raises(MirrorError, match="broke off"):
        get_file("http://127.0.0.1:1", "no.zip", tmp_path / "no.zip", on_bytes=ignore)
    assert list(tmp_path.iterdir()) == []


def test_password_of_a_mirror_is_sent_to_it_alone(
    server: Server, other_server: Server, tmp_path: Path
) -> None:
    mirror = f"http://alice:s%40cret@127.0.0.1:{server.server_port}/mirror"
    get_file(mirror, "a b/file.zip", tmp_path / "file.zip", on_bytes=ignore)
    assert server.authorization == "Basic " + base64.b64encode(b"alice:s@cret").decode()
    server.moved_to = f"http://localhost:{other_server.server_port}"
    get_file(mirror, "a b/file.zip", tmp_path / "again.zip", on_bytes=ignore)
    assert (tmp_path / "again.zip").read_bytes() == CONTENT
    assert other_server.asked == [None] and other_server.authorization is None


@pytest.mark.parametrize(
    "mirror",
    [
        "http://alice:s3cret@127.0.0.1:1",
        "https://alice:s3cret@127.0.0.1:1",
        "http://alice:s3cret@127.0.0.1:port",
        "http://alice:s3/cret@127.0.0.1:1",
        "http://s3cret@127.0.0.1:1",
        "http://127.0.0.1:1/?token=s3cret",
        "ftp://alice:s3cret@127.0.0.1:1",
    ],
)
def test_password_of_a_mirror_is_in_no_message(mirror: str, tmp_path: Path) -> None:
    with pytest.raises((MirrorError, ValueError)) as caught:
        get_file(mirror, "file.zip", tmp_path / "file.zip", on_bytes=ignore)
    assert "s3" not in str(caught.value) and "cret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["path", "file"])
def test_folder_as_a_mirror(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "our mirror"
    (folder / "info").mkdir(parents=True)
    (folder / "info" / "a.mat").write_bytes(CONTENT)
    mirror = str(folder) if kind == "path" else folder.as_uri()
    get_file(mirror, "info/a.mat", tmp_path / "raw" / "a.mat", on_bytes=ignore)
    assert (tmp_path / "raw" / "a.mat").read_bytes() == CONTENT
    with pytest.raises(MirrorError, match=r"b\.mat: not copied .*No such file"):
        get_file(mirror, "info/b.mat", tmp_path / "raw" / "b.mat", on_bytes=ignore)
    assert [file.name for file in (tmp_path / "raw").iterdir()] == ["a.mat"]


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a path or a file:, http: or https:"):
        get_file("ftp://host/mirror", "a", tmp_path / "a", on_bytes=ignore)
