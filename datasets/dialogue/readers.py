"""Readers of instructions, written or spoken, called alike."""

from collections.abc import Sequence

from torch import Tensor

from datasets.dialogue.records import DialogueFile
from datasets.dialogue.spoken import SpokenFeatures, SpokenUnits
from datasets.dialogue.texts import WordPieces, WordVectors

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
