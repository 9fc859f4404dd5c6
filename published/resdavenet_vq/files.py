"""Addresses and places of the ten published models of ResDAVEnet-VQ, and of Places' lists with word times.

Addresses, sums and scores are those of the README of wnhsu/ResDAVEnet-VQ. Each address gives one archive of an
experiment folder; models are named by the turn-on codes of their training, the last being their own. For the two lists
nobody has published a sum.
"""

import json
import logging
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.text_files import TextError, read_text
from published.archives import DAMAGE, open_archive, unpack
from published.download import DownloadError, download

log = logging.getLogger(__name__)
SERVER = "https://drive.usercontent.google.com/download"
ARGUMENTS = "args.pkl"


@dataclass(frozen=True)
class PublishedModel:
    """One of the ten."""

    label: str  # the paper's name for it, the quantisers switched on, one training after the other
    recall: float  # published recall@10, mean of both directions, on 1,000 validation pairs of Places Audio
    file: str  # Google's name for the archive
    md5: str  # of the archive


MODELS = {
    "RDVQ_00000": PublishedModel(
        "{}", 0.735, "1J-tw3eg3R5e9k0vIfQaBVKiaHyOJUcIB", "e3f94990c72ce9742c252b2e04f134e4"
    ),
    "RDVQ_00000_01000": PublishedModel(
        "{}->{2}", 0.760, "1MhC6PCkt7DBQvWTvf-c_ru4HSHmSb9AP", "d8ebaabaf882632f49f6aea0a69516eb"
    ),
    "RDVQ_00000_00100": PublishedModel(
        "{}->{3}", 0.794, "1bmFQeP_BCQ5wvq8yutqQzUmwRr5iHnCf", "2c3a269c70005cbbaaa15fc545da93fa"
    ),
    "RDVQ_00000_01100": PublishedModel(
        "{}->{2,3}", 0.787, "1mQW2Sh_FCDWaHYi-02XzocQObtnAZDc7", "d0764d8e97187c8201f205e32b5f7fee"
    ),
    "RDVQ_01000": PublishedModel(
        "{2}", 0.753, "1vGF8DCvsT3Gy-31nn5cYmD4dqrgzmQTF", "d68c942069fcdfc3944e556f6af79c60"
    ),
    "RDVQ_01000_01100": PublishedModel(
        "{2}->{2,3}", 0.764, "1pOSQ1LLmcj0DJPSyBWxsqiFAfBYZi7Vd", "09e704f8fcd9f85be8c4d5bdf779bd3b"
    ),
    "RDVQ_01000_01100_01110": PublishedModel(
        "{2}->{2,3}->{2,3,4}", 0.793, "1k41E7MP_LRTzPD0XwTHNzEBbiv05Ali7", "6e403e7f771aad0c95f087318bf8447e"
    ),
    "RDVQ_00100": PublishedModel(
        "{3}", 0.734, "1yCtGdYrL8K-RaRN1PMdf_MKogFSnXkue", "a0a3d5adbbd069a2739219346c8a8f70"
    ),
    "RDVQ_00100_01100": PublishedModel(
        "{3}->{2,3}", 0.760, "1K23y5u4K14gMycP9XhkwTGWN-GHNCcYA", "6c92bcc4445895876a7840bc6e88892b"
    ),
    "RDVQ_01100": PublishedModel(
        "{2,3}", 0.667, "1JHHgJ0wDlFs9Ol1Wo4kco7HSjc4zTy_Y", "7a98a661302939817a1450d033bc2fcc"
    ),
}  # fmt: skip

LISTS = {  # Places Audio's training and validation captions with word times (text_alignment)
    "places_aligned_train": "17iZpPVkgwga1Av7xZQJY7ONg9auKmPvr",
    "places_aligned_val": "1Z8-KO3b2gEk8uh3MC6w3jFVxmrz2Newe",
}


def fetch_lists(
    names: Iterable[str], folder: Path, server: str = SERVER, attempts: int = 4, pause_s: float = 1.0
) -> list[Path]:
    """Fetch lists of Places Audio with word times that are not there yet, each as the Places manifest ``<name>.json``.

    Its base paths are still the authors' own. ``server`` is another address that serves the files by ``?id=``; attempts
    and pauses are those of :func:`published.download.download`. Raises DownloadError where there is no connection, or
    what came is no list.
    """
    found = []
    for name in names:
        path = folder / f"{name}.json"
        download(_address(server, LISTS[name]), path, None, attempts, pause_s)
        try:
            content = json.loads(read_text(path))
        except (ValueError, RecursionError, TextError):
            content = None
        if not isinstance(content, dict) or "data" not in content:
            path.unlink()
            raise DownloadError(
                f"{_address(server, LISTS[name])} gave no list of captions (JSON with an entry data): open the address "
                f"in a browser and place the file at {path}."
            )
        found.append(path)
    return found


def _address(server: str, file: str) -> str:
    return f"{server}?id={file}&export=download&confirm=t"


def fetch_models(
    names: Iterable[str], folder: Path, server: str = SERVER, attempts: int = 4, pause_s: float = 1.0
) -> list[Path]:
    """Fetch published models that are not there yet, check their MD5 sums and unpack them.

    Returns the experiment folders.

    Each has a folder of its name, which ``load_published("resdavenet_vq", ...)`` reads; the rest is as in
    :func:`fetch_lists`. Raises DownloadError where there is no such name, no connection, or an archive is damaged or
    none of an experiment.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in MODELS]
    if unknown:
        raise DownloadError(f"There is no published model {unknown[0]!r}: choose among {', '.join(MODELS)}.")
    for name in wanted:
        target, archive, model = folder / name, folder / f"{name}.archive", MODELS[name]
        if target.is_dir() and any(target.iterdir()):
            log.info("%s is there", target)
            continue
        download(_address(server, model.file), archive, model.md5, attempts, pause_s)
        unpack_experiment(archive, target)
        archive.unlink()
    return [folder / name for name in wanted]


def unpack_experiment(archive: Path, folder: Path) -> None:
    """Unpack the experiment folder, that of its ``args.pkl``, in a tar or zip file, wherever it lies in there.

    Raises DownloadError where the archive holds no experiment, and as :func:`published.archives.unpack`.
    """
    try:
        with open_archive(archive) as file:
            names = file.namelist() if isinstance(file, zipfile.ZipFile) else file.getnames()
    except (*DAMAGE, OSError) as error:
        raise DownloadError(f"{archive} is no whole tar or zip file ({error}): delete it, fetch it again.") from error
    found = [PurePosixPath(name) for name in names if PurePosixPath(name).name == ARGUMENTS]
    if not found:
        raise DownloadError(f"{archive} holds no {ARGUMENTS}: it is not an experiment folder of ResDAVEnet-VQ.")
    unpack(archive, folder, outer=min(len(path.parts) - 1 for path in found))
