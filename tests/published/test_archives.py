"""Archives that are unpacked whole or not at all, and damaged ones."""

import gzip
import io
import lzma
import random
import tarfile

import pytest

from published.archives import unpack
from published.download import DownloadError
from tests.published.serving import archive


def test_bad_archives(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive("top/../../evil"))
    with pytest.raises(DownloadError, match="cannot be unpacked into"):
        unpack(path, tmp_path / "out")
    path.write_bytes(archive("top/fine.txt")[:-20])
    with pytest.raises(DownloadError, match="fetch it again"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()
    (tmp_path / "taken").write_text("a file, no folder")
    path.write_bytes(archive("top/fine.txt"))
    with pytest.raises(DownloadError, match=r"taken cannot be written \(NotADirectoryError"):
        unpack(path, tmp_path / "taken")
    path.write_bytes(archive("loose"))
    with pytest.raises(DownloadError, match="holds no files inside a folder"):
        unpack(path, tmp_path / "out")


def unpacked_archive():
    """A tar file of two large entries, and where the second header begins."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("top/a.wav", "top/b.wav"):
            info = tarfile.TarInfo(name)
            info.size = 99 * tarfile.BLOCKSIZE
            tar.addfile(info, io.BytesIO(random.Random(0).randbytes(info.size)))
    return bytearray(buffer.getvalue()), 100 * tarfile.BLOCKSIZE


def broken_header():
    tar, second = unpacked_archive()
    tar[second : second + tarfile.BLOCKSIZE] = b"\xff" * tarfile.BLOCKSIZE
    return gzip.compress(tar)


def broken_content():
    tar, second = unpacked_archive()
    packed = bytearray(gzip.compress(tar, compresslevel=0))  # stored: nothing but the checksum can tell
    packed[second // 2] ^= 1
    return packed


def broken_stream():
    packed = bytearray(lzma.compress(unpacked_archive()[0]))
    packed[-80] ^= 1  # far behind what is read to know its kind
    return packed


def without_end():
    tar, second = unpacked_archive()
    return gzip.compress(tar[: 2 * second])


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (broken_header, "after 1 entries there is neither another nor an end"),
        (broken_content, "CRC check failed"),
        (broken_stream, "LZMAError"),
        (without_end, "after 2 entries"),
    ],
)
def test_a_damaged_archive_never_becomes_a_finished_set(tmp_path, damaged, message):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(damaged())
    with pytest.raises(DownloadError, match=f"cannot be unpacked into .*{message}.*: delete it, fetch it again"):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(gzip.compress(unpacked_archive()[0]))
    unpack(path, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.wav", "b.wav"]
