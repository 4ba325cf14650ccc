"""Interrupted downloads go on where they stopped. The mirror is a server on this machine."""

import http.server
import threading

import pytest
import requests

from throughtime.datasets.files.download import CHUNK, Resumable, partial_file

CONTENT = bytes(range(256)) * 1000


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; `stops` says after how many bytes each answer breaks off, `ranges` whether it knows of ranges."""

    stops: list[int]
    ranges = True
    asked: list[str]

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = self.stops.pop(0) if self.stops else len(CONTENT)
        self.wfile.write(CONTENT[start : start + stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror():
    """A mirror of its own for the test; `url` is where it is."""
    kind = type("OneMirror", (Mirror,), {"stops": [], "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kind.url = f"http://127.0.0.1:{server.server_port}/spikes.gz"
    yield kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_whole(mirror, tmp_path):
    Resumable()(mirror.url, str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_goes_on_where_it_stopped(mirror, tmp_path):
    mirror.stops += [6 * CHUNK + 5, 3 * CHUNK]
    for kept in (6 * CHUNK, 9 * CHUNK):
        with pytest.raises(requests.RequestException):
            Resumable()(mirror.url, str(tmp_path / "out"), None)
        assert partial_file(mirror.url, tmp_path).stat().st_size == kept
        assert not (tmp_path / "out").exists()
    Resumable()(mirror.url, str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert mirror.asked == ["", f"bytes={6 * CHUNK}-", f"bytes={9 * CHUNK}-"]


def test_begins_anew_where_the_mirror_knows_no_ranges(mirror, tmp_path):
    mirror.ranges = False
    mirror.stops.append(1000)
    with pytest.raises(requests.RequestException):
        Resumable()(mirror.url, str(tmp_path / "out"), None)
    Resumable()(mirror.url, str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_a_part_that_is_the_whole(mirror, tmp_path):
    partial_file(mirror.url, tmp_path).write_bytes(CONTENT)
    Resumable()(mirror.url, str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert mirror.asked == [f"bytes={len(CONTENT)}-"]


def test_nobody_there_keeps_the_part(tmp_path):
    url = "http://127.0.0.1:9/spikes.gz"  # the discard port, where nobody listens
    partial_file(url, tmp_path).write_bytes(b"part")
    with pytest.raises(requests.ConnectionError):
        Resumable()(url, str(tmp_path / "out"), None)
    assert partial_file(url, tmp_path).read_bytes() == b"part"
