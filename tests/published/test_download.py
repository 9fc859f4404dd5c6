import hashlib

import pytest

from published.download import DownloadError, download
from tests.published.serving import BreakingHandler, serving

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BreakingHandler):
    """Serves CONTENT; the server's attributes say whether it knows ranges and how often it breaks off half-way."""

    def answer(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.path != "/file.bin":
            self.send_error(404)
            return
        start = int(self.headers["Range"][6:-1]) if self.headers.get("Range") and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_from(CONTENT, start)


@pytest.fixture
def server():
    with serving(Handler, ranges=True) as running:
        yield running


def test_download_once(server, tmp_path):
    target = tmp_path / "folder" / "file.bin"
    assert download(f"{server.url}/file.bin", target, SHA256) == target
    assert target.read_bytes() == CONTENT
    download(f"{server.url}/file.bin", target, SHA256)
    assert server.asked == [None]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("ranges", [True, False])
def test_continues_where_it_stopped(server, tmp_path, ranges):
    server.breaks, server.ranges = 2, ranges
    target = download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, pause_s=0)
    assert target.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    second = half + half // 2 if ranges else half
    assert server.asked == [None, f"bytes={half}-", f"bytes={second}-"]


def test_gives_up_and_keeps_what_it_has(server, tmp_path):
    server.breaks = 2
    with pytest.raises(DownloadError, match=r"Could not download http://\S+/file.bin .* place it at .*file.bin"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256, attempts=2, pause_s=0)
    assert not (tmp_path / "file.bin").exists()
    assert (tmp_path / "file.bin.part").stat().st_size == len(CONTENT) * 3 // 4


def test_complete_part(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_part_of_another_file(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * (len(CONTENT) + 1))
    download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(DownloadError, match=f"has SHA-256 {SHA256}, expected {'0' * 64}"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", "0" * 64)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"file\.bin has SHA-256"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


def test_refused_by_the_server(server, tmp_path):
    with pytest.raises(DownloadError, match="the server answered 404"):
        download(f"{server.url}/other.bin", tmp_path / "file.bin", SHA256)
    assert server.asked == [None]


def test_offline(server, tmp_path):
    url = f"{server.url}/file.bin"
    server.shutdown()
    server.server_close()
    with pytest.raises(
        DownloadError, match=r"Could not download \S+ \(.*refused.*\): fetch it .* place it at .*file.bin"
    ):
        download(url, tmp_path / "file.bin", SHA256, attempts=2, pause_s=0)


def test_other_schemes(tmp_path):
    with pytest.raises(DownloadError, match="expected an address that starts with http"):
        download("file:///etc/hostname", tmp_path / "file.bin", SHA256)


@pytest.mark.parametrize("attempts", [0, -1])
def test_no_attempt_is_refused(tmp_path, attempts):
    with pytest.raises(DownloadError, match=f"in {attempts} attempts: expected a number of at least 1"):
        download("http://127.0.0.1:1/file.bin", tmp_path / "file.bin", SHA256, attempts=attempts)


def test_a_target_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(DownloadError, match=r"taken/deep/file.bin cannot be written \(NotADirectoryError: .*choose"):
        download(f"{server.url}/file.bin", tmp_path / "taken" / "deep" / "file.bin", SHA256)
    (tmp_path / "file.bin").mkdir()
    with pytest.raises(DownloadError, match=r"file.bin cannot be written \(IsADirectoryError"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", SHA256)


def test_an_address_that_is_none(tmp_path):
    with pytest.raises(DownloadError, match=r"Could not download http://\[x/file.bin \(.*IPv6"):
        download("http://[x/file.bin", tmp_path / "file.bin", SHA256, pause_s=0)
