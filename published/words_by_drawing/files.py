"""Addresses and paths of the published data and models of "Learning Words by Drawing Images" (CVPR 2019).

Addresses and folders are those of surisdi/learning-by-drawing (``download_data.sh``, ``experiments.py``,
``segmenter.py``, ``ablate/gantest.py`` and its README). No checksums were published: the SHA-256 of everything fetched
is noted in ``SHA256SUMS``, with which a copy can be checked, and a file in that format can be given.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.files import write_whole
from common.text_files import read_text
from gan.progan.generator import ProganGenerator
from models.segmenter.network import AttributeSegmenter
from published.archives import unpack
from published.download import DownloadError, download, sha256_of, unwritable
from published.words_by_drawing import clevr_segmenter, progan

log = logging.getLogger(__name__)
SERVER = "http://wednesday.csail.mit.edu/gaze/ganclevr"
SPLITS = ("train", "val", "test")
KINDS = ("natural", "synth")
NOTED = "SHA256SUMS"


@dataclass(frozen=True)
class Remote:
    """One published file."""

    path: str  # below the server's address
    target: str  # below the folder of data or of models
    of_models: bool = False  # below the folder of models
    unpacked: bool = False  # the target is a folder, into which the archive's files go without their first folder


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
# lists and sound, which training needs: those that download_data.sh of the original fetches
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
        checksums: SHA-256 by the file's name on the server, where known; files that are there already are compared too,
            an unpacked archive by the checksum that was noted when it was fetched.
        attempts: most attempts of a connection.
        pause_s: wait before the second attempt, seconds; doubled for each further one.

    Raises:
        DownloadError: there is no such name, no connection, or a file is damaged; names address and target.
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
        if file.unpacked and target.is_dir() and any(target.iterdir()):
            _compare_noted(source, target, expected)
            log.info("%s is there", target)
            continue
        there = source.is_file()
        download(address, source, expected, attempts, pause_s)
        if file.unpacked or not there:
            _note(source, short)
        if file.unpacked:
            unpack(source, target)
            source.unlink()
    return made


def fetched_generator(folder: Path = Path("downloads")) -> ProganGenerator:
    """Load the published generator, in evaluation mode on the CPU, which is fetched first when it is not in the folder.

    Args:
        folder: of the models.

    Raises:
        DownloadError: it is not there and cannot be fetched; names address and target.
        WeightsError: the file is damaged.
    """
    fetch(["generator"], folder, folder)
    return progan.load(folder / FILES["generator"].target)


def fetched_segmenter(folder: Path = Path("downloads")) -> AttributeSegmenter:
    """Load the published segmenter, in evaluation mode on the CPU, which is fetched first when it is not in the folder.

    Args:
        folder: of the models.

    Raises:
        DownloadError: it is not there and cannot be fetched; names address and target.
        WeightsError: a file is damaged.
    """
    fetch(["seg_encoder", "seg_decoder"], folder, folder)
    return clevr_segmenter.load(folder)


def read_checksums(path: Path) -> dict[str, str]:
    """Read SHA-256 by file name (without folders) from a file as ``sha256sum`` writes it.

    Raises DownloadError where the file is missing or a line has another form.
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


def _compare_noted(archive: Path, folder: Path, expected: str | None) -> None:
    """Compare a checksum with the one that was noted of an archive, which was unpacked into a folder and deleted.

    Raises DownloadError where it is another one.
    """
    if expected is None:
        return
    noted = archive.parent / NOTED
    found = read_checksums(noted).get(archive.name) if noted.is_file() else None
    if found is None:
        log.warning("%s cannot be compared with a checksum: nobody noted that of %s", folder, archive.name)
    elif found != expected.lower():
        what = f"{folder} came from an archive {archive.name} that has SHA-256 {found}"
        raise DownloadError(f"{what}, expected {expected}: delete it and fetch it again.")


def _note(path: Path, name: str) -> None:
    """Write down the checksum of a fetched file beside it, once."""
    noted = path.parent / NOTED
    known = noted.read_text(encoding="utf-8").splitlines() if noted.is_file() else []
    kept = [line for line in known if not line.endswith(f"  {name}")]
    try:
        write_whole(noted, ("\n".join([*kept, f"{sha256_of(path)}  {name}"]) + "\n").encode())
    except OSError as error:
        raise unwritable(noted, error) from error
