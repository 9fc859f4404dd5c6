"""Archives, tar or zip, that are unpacked whole or not at all, and within bounds of size.

A megabyte of zip can hold a gigabyte of zeros. The published archives are of sounds, images, texts and weights, which
shrink to a tenth at best, and the largest have some ten GB.
"""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from published.download import CHUNK, DownloadError, unwritable

# Errors of a damaged archive besides OSError: gzip, tarfile and zipfile let through those of zlib, lzma and of values,
# and RuntimeError reports a password or a packing that is unknown here.
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip


TIMES = 100  # the archive's own size, that its files may have together
ALWAYS = 1 << 26  # bytes that they may have, however small the archive is
LARGEST = 1 << 38  # bytes that they may have, however large it is
LONGEST = 1 << 20  # bytes of a record about an entry, such as a long name, which is read into memory
RECORDS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


class _TooLarge(Exception):
    """An archive that unpacks to more than its bounds; the message goes on after its name."""


class _Entry(tarfile.TarInfo):
    """An entry of a tar file whose records are bounded."""

    def _proc_member(self, file: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in RECORDS and self.size > LONGEST:
            raise tarfile.ReadError(f"a record about an entry has {self.size} bytes, expected at most {LONGEST}")
        return super()._proc_member(file)


def open_archive(archive: Path) -> tarfile.TarFile | zipfile.ZipFile:
    """Open a tar file, packed or not, or a zip file; raises OSError or one of ``DAMAGE``."""
    zipped = zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive)
    return zipfile.ZipFile(archive) if zipped else tarfile.open(archive, tarinfo=_Entry)


def unpack(archive: Path, folder: Path, outer: int = 1) -> None:
    """Unpack a tar or zip file without its outer folders; the folder appears when everything is there and whole.

    ``folder`` must not exist, or be empty; of the archive ``outer`` folders around the files are left out, and entries
    that lie in fewer. Raises DownloadError where the archive is damaged, an entry points outside the folder, the files
    have together more than ``TIMES`` its size (``ALWAYS`` bytes are free) or ``LARGEST`` bytes, or the folder cannot be
    written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        limit = min(LARGEST, max(ALWAYS, TIMES * archive.stat().st_size))
        with open_archive(archive) as file:
            (_unpack_zip if isinstance(file, zipfile.ZipFile) else _unpack_tar)(file, part, outer, limit)
        if not part.is_dir():
            raise tarfile.ReadError("it holds no files inside a folder")
        if folder.is_dir():
            folder.rmdir()
        part.replace(folder)
    except _TooLarge as error:
        shutil.rmtree(part, ignore_errors=True)
        raise DownloadError(
            f"{archive} has {archive.stat().st_size} bytes and {error}: it is damaged, or made to fill the disk; "
            f"delete it, fetch it again, or where it is meant so, unpack it into {folder} yourself."
        ) from error
    except (*DAMAGE, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:  # a damaged stream has no number
            raise unwritable(folder, error) from error
        raise DownloadError(
            f"{archive} cannot be unpacked into {folder} ({type(error).__name__}: {error}): delete it, fetch it again."
        ) from error


def _check_sizes(count: int, size: int, limit: int) -> None:
    """Raise _TooLarge where the first ``count`` files have together ``size`` bytes, and that is over the limit."""
    if size > limit:
        raise _TooLarge(f"its first {count} entries unpack to {size}, expected at most {limit}")


def _unpack_tar(tar: tarfile.TarFile, folder: Path, outer: int, limit: int) -> None:
    """Unpack the entries, make sure that the archive ended where its files did, and compare the packing's checksum.

    ``tarfile`` takes a header that it cannot read for the end, and leaves what follows (gzip's CRC) unread. Raises
    ReadError where there are no zero blocks after the last file, OSError where the checksum is wrong, and EOFError,
    zlib.error or LZMAError where the packed stream is damaged.
    """
    size = 0
    for count, member in enumerate(tar, 1):
        size += member.size
        _check_sizes(count, size, limit)
        inner = Path(*Path(member.name).parts[outer:])
        if inner.parts:
            tar.extract(member.replace(name=str(inner)), folder, filter="data")
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(2 * tarfile.BLOCKSIZE)
    while tar.fileobj.read(CHUNK):
        pass
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise tarfile.ReadError(f"after {len(tar.getmembers())} entries there is neither another nor an end")


def _unpack_zip(file: zipfile.ZipFile, folder: Path, outer: int, limit: int) -> None:
    """Unpack the entries, whose checksums are compared as they are read."""
    entries = file.infolist()
    _check_sizes(len(entries), sum(entry.file_size for entry in entries), limit)
    for entry in entries:  # of which no more is read than its size says
        inner = PurePosixPath(entry.filename).parts[outer:]
        if entry.is_dir() or not inner:
            continue
        target = folder.joinpath(*inner)
        if ".." in inner or not target.resolve().is_relative_to(folder.resolve()):
            raise zipfile.BadZipFile(f"{entry.filename!r} points outside")
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open(entry) as source, target.open("wb") as written:
            shutil.copyfileobj(source, written)
