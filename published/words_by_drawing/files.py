"""The published data and models of "Learning Words by Drawing Images" (CVPR 2019): where they are and where they go.

Addresses and folders are those of surisdi/learning-by-drawing (``download_data.sh``, ``experiments.py``,
``segmenter.py``, ``ablate/gantest.py`` and its README). No checksums were published: the SHA-256 of everything fetched
is noted in ``SHA256SUMS``, with which a copy can be checked, and a file in that format can be given.
"""

import logging
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.text_files import read_text
from gan.progan.generator import ProganGenerator
from models.segmenter.network import AttributeSegmenter
from published.download import CHUNK, DownloadError, download, sha256_of, unwritable
from published.words_by_drawing import clevr_segmenter, progan

log = logging.getLogger(__name__)
SERVER = "http://wednesday.csail.mit.edu/gaze/ganclevr"
SPLITS = ("train", "val", "test")
KINDS = ("natural", "synth")
NOTED = "SHA256SUMS"
# what a damaged archive raises, besides OSError: gzip and tarfile let through what zlib, lzma and a field's value say
DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)


@dataclass(frozen=True)
class Remote:
    """One published file.

    Attributes:
        path: below the server's address.
        target: below the folder of data or of models.
        of_models: which of the two.
        unpacked: whether the target is a folder, into which the archive's files go without their first folder.
    """

    path: str
    target: str
    of_models: bool = False
    unpacked: bool = False


def _data() -> dict[str, Remote]:
    files: dict[str, Remote] = {}
    for kind in KINDS:
        folder = f"audio_clevrgan_{kind}"
        for split in SPLITS:
            files[f"list_{kind}_{split}"] = Remote(f"data/list_{kind}_{split}.txt", f"{folder}/name_list_{split}.txt")
        files[f"audio_{kind}"] = Remote(f"data/audio_{kind}.tar.gz", f"{folder}/audio", unpacked=True)
        files[f"text_{kind}"] = Remote(f"data/text_{kind}.tar.gz", f"{folder}/text", unpacked=True)
    files["images"] = Remote("data/images.tar.gz", "audio_clevrgan_natural/images", unpacked=True)
    return files


FILES: dict[str, Remote] = _data() | {
    "generator": Remote("files/generator.pth", "generator.pth", True),
    "seg_encoder": Remote("files/seg_encoder.pth", "seg_encoder.pth", True),
    "seg_decoder": Remote("files/seg_decoder.pth", "seg_decoder.pth", True),
    "negatives": Remote("files/negatives.pth.tar", "negatives.pth.tar", True),
    "repetition_audios": Remote("files/repetition_audios.tar.gz", "repetition_audios", True, unpacked=True),
}
# What download_data.sh of the original fetches: lists and sound, which training needs.
BASIC = tuple(name for name in FILES if name.startswith(("list_", "audio_")))
MODELS = tuple(name for name, file in FILES.items() if file.of_models)


def fetch(
    names: Iterable[str],
    data: Path,
    models: Path,
    server: str = SERVER,
    checksums: Mapping[str, str] | None = None,
    attempts: int = 4,
    pause_s: float = 1.0,
) -> list[Path]:
    """Fetch published files that are not there yet; a broken transfer continues where it stopped.

    Args:
        names: of ``FILES``.
        data: folder of the data sets.
        models: folder of the models.
        server: another address with the same layout.
        checksums: SHA-256 by the file's name on the server, where known; what is there already is compared too, an
            unpacked archive by what was noted when it was fetched.
        attempts: how often a connection is tried.
        pause_s: wait before the second attempt, seconds; doubled for each further one.

    Returns:
        The files and folders.

    Raises:
        DownloadError: There is no such name, no connection, or a file is damaged; names address and target.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in FILES]
    if unknown:
        raise DownloadError(f"There is no published file {unknown[0]!r}: choose among {', '.join(FILES)}.")
    made = []
    for name in wanted:
        file = FILES[name]
        target = (models if file.of_models else data) / file.target
        made.append(target)
        address, short = f"{server}/{file.path}", Path(file.path).name
        source = target.with_name(short) if file.unpacked else target
        expected = (checksums or {}).get(short)
        if target.is_dir() and any(target.iterdir()) if file.unpacked else target.is_file():
            _compare(source, target, expected)
            log.info("%s is there", target)
            continue
        download(address, source, expected, attempts, pause_s)
        _note(source, short)
        if file.unpacked:
            unpack(source, target)
            source.unlink()
    return made


def fetched_generator(folder: Path = Path("downloads")) -> ProganGenerator:
    """Load the published generator, which is fetched first when it is not in the folder.

    Args:
        folder: of the models.

    Returns:
        The generator, in evaluation mode on the CPU.

    Raises:
        DownloadError: It is not there and cannot be fetched; names address and target.
        WeightsError: The file is damaged.
    """
    fetch(["generator"], folder, folder)
    return progan.load(folder / FILES["generator"].target)


def fetched_segmenter(folder: Path = Path("downloads")) -> AttributeSegmenter:
    """Load the published attribute segmenter, which is fetched first when it is not in the folder.

    Args:
        folder: of the models.

    Returns:
        The segmenter, in evaluation mode on the CPU.

    Raises:
        DownloadError: It is not there and cannot be fetched; names address and target.
        WeightsError: A file is damaged.
    """
    fetch(["seg_encoder", "seg_decoder"], folder, folder)
    return clevr_segmenter.load(folder)


def read_checksums(path: Path) -> dict[str, str]:
    """Read a file as ``sha256sum`` writes it.

    Args:
        path: lines of a checksum and a file's name.

    Returns:
        SHA-256 by name (without folders).

    Raises:
        DownloadError: The file is missing or a line has another form.
    """
    if not path.is_file():
        raise DownloadError(f"There is no file of checksums at {path}; give one as sha256sum writes it.")
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        checksum, _, name = line.strip().partition(" ")
        if not line.strip():
            continue
        if len(checksum) != 64 or not name.strip():
            raise DownloadError(f"{path} line {number}: {line[:60]!r}; expected a SHA-256 and a file's name.")
        found[Path(name.strip().lstrip("*")).name] = checksum.lower()
    return found


def _compare(source: Path, target: Path, expected: str | None) -> None:
    """Compare what is there with a checksum.

    Args:
        source: the file, or the archive that was unpacked and deleted.
        target: the file, or the folder of what was in the archive.
        expected: SHA-256; None where nobody knows it.

    Raises:
        DownloadError: It is another one.
    """
    if expected is None:
        return
    if source == target:
        found = sha256_of(target)
    else:
        noted = source.parent / NOTED
        found = read_checksums(noted).get(source.name) if noted.is_file() else None
    if found is None:
        log.warning("%s cannot be compared with a checksum: nobody noted that of %s", target, source.name)
    elif found != expected.lower():
        what = "" if source == target else f" came from an archive {source.name} that"
        raise DownloadError(f"{target}{what} has SHA-256 {found}, expected {expected}: delete it and fetch it again.")


def _note(path: Path, name: str) -> None:
    """Write down the checksum of a fetched file beside it, once."""
    noted = path.parent / NOTED
    known = noted.read_text(encoding="utf-8").splitlines() if noted.is_file() else []
    kept = [line for line in known if not line.endswith(f"  {name}")]
    try:
        noted.write_text("\n".join([*kept, f"{sha256_of(path)}  {name}"]) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(noted, error) from error


def unpack(archive: Path, folder: Path, outer: int = 1) -> None:
    """Unpack a tar file without its outer folders; the folder appears when everything is there and whole.

    Args:
        archive: the tar file, packed or not.
        folder: must not exist, or be empty.
        outer: how many folders around the files are left out; entries that lie in fewer are, too.

    Raises:
        DownloadError: The archive is damaged, an entry points outside the folder, or the folder cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                inner = Path(*Path(member.name).parts[outer:])
                if inner.parts:
                    tar.extract(member.replace(name=str(inner)), part, filter="data")
            _read_to_the_end(tar)
        if not part.is_dir():
            raise DownloadError(f"{archive} holds no files inside a folder: delete it and fetch it again.")
        if folder.is_dir():
            folder.rmdir()
        part.replace(folder)
    except (*DAMAGE, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:  # a damaged stream has no number
            raise unwritable(folder, error) from error
        raise DownloadError(
            f"{archive} cannot be unpacked into {folder} ({type(error).__name__}: {error}): delete it, fetch it again."
        ) from error


def _read_to_the_end(tar: tarfile.TarFile) -> None:
    """Make sure that the archive ended where its files did, and compare the checksum of the packing.

    ``tarfile`` takes a header that it cannot read for the end, and leaves what follows (gzip's CRC) unread.

    Raises:
        ReadError: There are no zero blocks after the last file.
        OSError: The checksum is wrong; EOFError, zlib.error, LZMAError: the packed stream is damaged.
    """
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(2 * tarfile.BLOCKSIZE)
    while tar.fileobj.read(CHUNK):
        pass
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise tarfile.ReadError(f"after {len(tar.getmembers())} entries there is neither another nor an end")
