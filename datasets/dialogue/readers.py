"""Readers of instructions, written or spoken, called alike."""

from collections.abc import Sequence

from torch import Tensor

from common.errors import UserError
from datasets.dialogue.records import DialogueFile
from datasets.dialogue.spoken import SpokenFeatures, SpokenUnits
from datasets.dialogue.texts import WordPieces, WordVectors
from datasets.digests import digest

InstructionReader = WordVectors | WordPieces | SpokenUnits | SpokenFeatures


def read_turn(
    reader: InstructionReader, file: DialogueFile, said: Sequence[str], split: str, speaker: int | None
) -> dict[str, Tensor]:
    """Read the last instruction of ``said`` and those before it, as tensors of fixed sizes.

    Of spoken ones ``split`` and ``speaker``, any number, decide the voice; None draws it.
    """
    if isinstance(reader, SpokenUnits | SpokenFeatures):
        return reader.read(said, split, speaker)
    return reader(file.history(list(said[:-1])), said[-1])


def check_fits(reader: InstructionReader | None, inputs: Sequence[str], where: str = "texts") -> None:
    """Raise a UserError where a reader, set at ``where``, makes other tensors than those that an encoder takes."""
    if reader is None or tuple(reader.names) != tuple(inputs):
        found = "no reader of texts" if reader is None else f"a reader that makes {', '.join(reader.names)}"
        raise UserError(f"{where} has {found}, the encoder takes {', '.join(inputs)}: give one that fits")


def reader_digest(reader: InstructionReader) -> str:
    """Return a digest of all that a reader makes of texts: its settings, words, vectors or recordings."""
    return digest([type(reader).__name__, *reader.contents()])
