"""Features in the layout of the ZeroSpeech 2019 challenge, and their bitrate as it counts it.

A submission is a zip of ``metadata.yaml`` and ``english/test/<name>.txt`` (``surprise`` instead of ``english`` for its
second language, ``auxiliary_embedding1`` and ``2`` instead of ``test`` for further ones). A text file holds one frame a
line, numbers separated by single spaces; wnhsu/ResDAVEnet-VQ writes them with three decimals. The keys of the metadata
are those that the challenge's ``validate.py`` asks for.

The bitrate follows ``zerospeech2020/evaluation/bitrate.py`` (zerospeech/zerospeech2020; the 2019 challenge defines it
alike): with N lines in all files, D seconds of sound and the symbols being the distinct lines,
``B = N / D * H``, H being the entropy in bits of the symbols' shares. It knows nothing of codes: features that are not
quantised have about as many symbols as lines, and a large bitrate.
"""

import math
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from pydantic import Field

from common.files import write_whole, written_whole
from common.text_files import TextError, read_text
from evaluation.abx.items import AbxError

DECIMALS = 3
PENDING = 1 << 18  # lines counted before they are put together
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Submission:
    """Metadata and folders of a submission.

    Attributes:
        author: of the submission.
        affiliation: of the author.
        system_description: of the system that made the features.
        abx_distance: by which the challenge is to compare them.
        using_parallel_train: whether the parallel training set of the challenge was used.
        using_external_data: whether other data were used; a model of images and captions does.
        language: folder of the challenge's language.
        embedding: folder of the features; the auxiliary ones are allowed beside ``test`` only.
    """

    author: Text = "unknown"
    affiliation: Text = "unknown"
    system_description: Text = "features of a speech encoder that was trained with images"
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"] = "dtw_cosine"
    using_parallel_train: bool = False
    using_external_data: bool = True
    language: Literal["english", "surprise"] = "english"
    embedding: Literal["test", "auxiliary_embedding1", "auxiliary_embedding2"] = "test"

    def metadata(self) -> str:
        """Return the content of ``metadata.yaml``."""
        values = {
            "author": self.author,
            "affiliation": self.affiliation,
            "system description": self.system_description,
            "abx distance": self.abx_distance,
            "open source": False,  # true would need a folder code/ in the zip
            "using parallel train": self.using_parallel_train,
            "using external data": self.using_external_data,
        }
        if self.embedding != "test":
            values[f"{self.embedding.replace('_embedding', '')} description"] = self.system_description
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def write_features(path: Path, features: np.ndarray) -> None:
    """Write finite features (T, C) of an utterance, a line a frame, with three decimals; whole or not at all."""
    form = " ".join([f"%.{DECIMALS}f"] * features.shape[1])
    lines = [form % tuple(row) for row in features.tolist()]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def read_features(path: Path) -> np.ndarray:
    """Read the features (T, C) float32 of an utterance.

    Raises AbxError where the file is missing or empty, or a line does not hold as many finite numbers as the first.
    """
    rows: list[np.ndarray] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            rows.append(np.array(line.split(), dtype=np.float32))
        except ValueError as error:
            raise AbxError(f"{path}, line {number}: expected numbers ({error}); dump it again") from error
        if len(rows[-1]) != len(rows[0]) or not np.isfinite(rows[-1]).all():
            raise AbxError(
                f"{path}, line {number}: found {len(rows[-1])} numbers, expected {len(rows[0])} finite ones as in the "
                "first line; dump it again"
            )
    return np.stack(rows)


def _lines(path: Path) -> list[bytes]:
    try:
        lines = [line for line in read_text(path).encode().splitlines() if line.strip()]
    except TextError as error:
        raise AbxError(f"{error} (expected features, a line for each frame)") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AbxError(f"there are no features {path}; dump them with resdavenet_vq/dump.yaml") from error
    if not lines:
        raise AbxError(f"{path} is empty, expected a line for each frame; dump it again")
    return lines


class Bitrate:
    """Count lines and symbols of many utterances in bounded memory: 16 bytes for each distinct symbol."""

    def __init__(self) -> None:
        self.lines, self.seconds = 0, 0.0
        self._symbols = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._pending: list[int] = []

    def add(self, features: np.ndarray, seconds: float) -> None:
        """Count the frames (T, C) of an utterance of so many seconds as if they were written with three decimals."""
        rounded = np.rint(features.astype(np.float64) * 10**DECIMALS).astype(np.int64)
        self._add([hash(row.tobytes()) for row in rounded], seconds)

    def add_file(self, path: Path, seconds: float) -> None:
        """Count the lines of a dumped utterance of so many seconds.

        Raises AbxError where the file is missing or empty.
        """
        zero = b"0." + b"0" * DECIMALS  # as a number, minus zero is zero
        self._add([hash(line.replace(b"-" + zero, zero)) for line in _lines(path)], seconds)

    def _add(self, symbols: list[int], seconds: float) -> None:
        self.lines += len(symbols)
        self.seconds += seconds
        self._pending += symbols
        if len(self._pending) > PENDING:
            self._put_together()

    def _put_together(self) -> None:
        fresh, counts = np.unique(np.array(self._pending, dtype=np.int64), return_counts=True)
        self._symbols, inverse = np.unique(np.concatenate([self._symbols, fresh]), return_inverse=True)
        self._counts = np.bincount(inverse, np.concatenate([self._counts, counts]), len(self._symbols)).astype(np.int64)
        self._pending = []

    @property
    def symbols(self) -> int:
        """Return how many distinct symbols there are."""
        self._put_together()
        return len(self._symbols)

    @property
    def entropy(self) -> float:
        """Return the entropy of the symbols in bits; NaN when nothing was counted."""
        self._put_together()
        if not self.lines:
            return math.nan
        shares = self._counts / self.lines
        return abs(float(-(shares * np.log2(shares)).sum()))

    @property
    def value(self) -> float:
        """Return bits per second; NaN when nothing was counted."""
        return self.lines * self.entropy / self.seconds if self.seconds else math.nan


def write_archive(path: Path, folder: Path, files: Iterable[Path]) -> None:
    """Pack ``files`` in their order into a zip, whole or not at all, by their paths below ``folder``.

    The same files make the same bytes.
    """
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
