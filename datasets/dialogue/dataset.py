"""Datasets of dialogues: single turns to learn from, whole dialogues to draw.

Images are (3, R, R) float32 in [-1, 1), pixels / 128 - 1 as LatteGAN has them. Shape letters: T turns of the longest
dialogue, K classes of objects, C coordinates, S words of the longest instruction, D size of the text's embeddings.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import UserError
from config.limits import CountOrZero
from datasets.dialogue.embeddings import EmbeddingFile
from datasets.dialogue.readers import InstructionReader, read_turn
from datasets.dialogue.records import Dialogue, DialogueFile, in_range, scaled
from datasets.loading.rows import OnError, unusable_row

Resolution = Literal[32, 64, 128]


class DialogueRows(Dataset):
    """What both datasets share: the file, the embeddings, images at their resolution, and a reader of texts."""

    def __init__(
        self,
        path: Path,
        train: bool,
        embeddings: Path | None,
        resolution: int,
        texts: InstructionReader | None,
        on_error: OnError,
    ) -> None:
        self.dialogues = DialogueFile(path)
        self.embeddings = None if embeddings is None else EmbeddingFile(embeddings, self.dialogues)
        self.source, self.train, self.on_error = self.dialogues.path, train, on_error
        self.split, self.skipped = "", {}
        self.resolution, self.texts = resolution, texts
        if texts is not None and not self.dialogues.has_words:
            raise UserError(f"{path}: has no instructions, expected a file of dialogues, not of single images")
        self.background = in_range(scaled(self.dialogues.background[None], resolution))[0]  # (3, R, R)

    def digest(self) -> str:
        """Return number and digest of the dialogues."""
        return self.dialogues.digest()

    def files(self) -> list[str]:
        """Return the path of the one file."""
        return [str(self.dialogues.path)]

    def _images(self, images: np.ndarray) -> Tensor:
        return in_range(scaled(images, self.resolution))

    def _instruction(self, said: Sequence[str], speaker: int | None) -> dict[str, Tensor]:
        """Read the last instruction of ``said``; in training, None draws the voice of spoken ones."""
        split = self.split or ("train" if self.train else "validation")
        return read_turn(self.texts, self.dialogues, said, split, speaker)

    def _padded(self, values: np.ndarray, count: int) -> Tensor:
        """Return values (L, ...) with zeros behind them, (count, ...)."""
        padded = np.zeros((count, *values.shape[1:]), values.dtype)
        padded[: len(values)] = values
        return torch.from_numpy(padded)


class Turns(DialogueRows):
    """Single turns: the image before and after, what is there, and the instruction.

    A sample holds ``previous`` and ``image`` (3, R, R), ``objects`` (K,) and ``added`` (K,) float32 0 and 1,
    ``locations`` (K, C), ``index``, with embeddings ``sentence`` (D,), ``words`` (S, D) and ``nwords``, and what the
    reader of texts makes.

    Args:
        path: HDF5 of dialogues, or of single images (datasets/dialogue/records.py).
        train: given by the data node.
        embeddings: HDF5 of their instructions' embeddings.
        resolution: R, pixels.
        texts: turns what was said before and the instruction, written or spoken, into tensors.
        on_error: given by the data node.
        keep_mb: memory for dialogues, 10^6 bytes for each loading process; their images are decoded and scaled once.

    Raises:
        ManifestError: a file is missing or does not fit.
    """

    def __init__(
        self,
        path: Path,
        train: bool,
        embeddings: Path | None = None,
        resolution: Resolution = 128,
        texts: InstructionReader | None = None,
        on_error: OnError = "error",
        keep_mb: CountOrZero = 0,
    ) -> None:
        super().__init__(path, train, embeddings, resolution, texts, on_error)
        self._ends = np.array(list(accumulate(self.dialogues.lengths.tolist())), np.int64)
        self._room = keep_mb * 10**6
        self._kept: dict[int, Dialogue] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def place(self, index: int) -> tuple[int, int]:
        """Return the dialogue and the turn of a row."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = int(np.searchsorted(self._ends, index, side="right"))
        return row, index - int(self._ends[row] - self.dialogues.lengths[row])

    def text(self, index: int) -> tuple[str, str]:
        """Return what was said before a turn, and its instruction."""
        row, turn = self.place(index)
        now, _ = self.dialogues.turn(row, turn)
        return self.dialogues.history(now.texts[:-1]), now.texts[-1]

    def _turn(self, row: int, turn: int) -> tuple[Dialogue, Dialogue | None]:
        """Return a turn and the one before it, as ``DialogueFile.turn``, of a dialogue that is kept if there is room.

        Images of dialogues that are kept have their resolution already.
        """
        found = self._kept.get(row)
        if found is None and self._room <= 0:
            return self.dialogues.turn(row, turn)
        if found is None:
            found = self.dialogues.dialogue(row)
            found = found._replace(images=scaled(found.images, self.resolution))
            self._kept[row] = found
            self._room -= found.images.nbytes
        turns = [
            Dialogue(
                found.scene_id,
                found.images[at : at + 1],
                found.texts[: at + 1],
                found.objects[at : at + 1],
                found.locations[at : at + 1],
            )
            for at in range(max(turn - 1, 0), turn + 1)
        ]
        return turns[-1], turns[0] if turn else None

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one turn; raise SampleError where it cannot be used."""
        row, turn = self.place(index)
        try:
            now, before = self._turn(row, turn)
            found = None if self.embeddings is None else self.embeddings.of(row, turn)
        except UserError as error:
            raise unusable_row(self, index, f"{self.dialogues.names[row]}, turn {turn}", error) from error
        objects = torch.from_numpy(now.objects[0].astype(np.float32))
        earlier = (
            torch.zeros_like(objects) if before is None else torch.from_numpy(before.objects[0].astype(np.float32))
        )
        sample: dict[str, Any] = {
            "previous": self.background if before is None else self._images(before.images)[0],
            "image": self._images(now.images)[0],
            "objects": objects,
            "added": (objects - earlier).clamp(min=0),
            "locations": torch.from_numpy(now.locations[0]),
            "index": index,
        }
        if found is not None:
            words = self._padded(found.words[0], self.embeddings.max_words)
            sample |= {
                "sentence": torch.from_numpy(found.sentences[0]),
                "words": words,
                "nwords": int(found.lengths[0]),
            }
        if self.texts is not None:
            sample |= self._instruction(now.texts, None if self.train else row)
        return sample


class Dialogues(DialogueRows):
    """Whole dialogues, padded to the longest of the file.

    A sample holds ``images`` (T, 3, R, R), ``nturns``, ``objects`` (T, K), ``added`` (T, K), ``locations`` (T, K, C),
    ``index``, with embeddings ``sentences`` (T, D), ``words`` (T, S, D) and ``nwords`` (T,), 1 in turns that are not
    there, and what the reader of texts makes of each turn, one more axis T in front.

    Args:
        path: HDF5 of dialogues.
        train: given by the data node.
        embeddings: HDF5 of their instructions' embeddings.
        resolution: R, pixels.
        texts: turns what was said before and the instruction, written or spoken, into tensors.
        on_error: given by the data node.

    Raises:
        ManifestError: a file is missing or does not fit.
    """

    def __init__(
        self,
        path: Path,
        train: bool,
        embeddings: Path | None = None,
        resolution: Resolution = 128,
        texts: InstructionReader | None = None,
        on_error: OnError = "error",
    ) -> None:
        super().__init__(path, train, embeddings, resolution, texts, on_error)
        self.max_turns = int(self.dialogues.lengths.max())

    def __len__(self) -> int:
        return len(self.dialogues)

    def dialogue(self, index: int) -> Dialogue:
        """Read a dialogue as it is stored; raise SampleError where it cannot be used."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        try:
            return self.dialogues.dialogue(index)
        except UserError as error:
            raise unusable_row(self, index, self.dialogues.names[index], error) from error

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one dialogue; raise SampleError where it cannot be used."""
        found = self.dialogue(index)
        count, objects = self.max_turns, found.objects.astype(np.float32)
        earlier = np.concatenate((np.zeros_like(objects[:1]), objects[:-1]))
        sample: dict[str, Any] = {
            "images": self._padded(self._images(found.images).numpy(), count),
            "nturns": len(objects),
            "objects": self._padded(objects, count),
            "added": self._padded(np.clip(objects - earlier, 0, None), count),
            "locations": self._padded(found.locations, count),
            "index": index,
        }
        if self.embeddings is not None:
            sample |= self._embedded(index)
        if self.texts is not None:
            sample |= self._read(found.texts, index)
        return sample

    def _embedded(self, index: int) -> dict[str, Tensor]:
        try:
            found = self.embeddings.of(index)
        except UserError as error:
            raise unusable_row(self, index, self.dialogues.names[index], error) from error
        turns, words, size = found.words.shape
        padded = np.zeros((turns, self.embeddings.max_words, size), np.float32)
        padded[:, :words] = found.words
        lengths = self._padded(found.lengths, self.max_turns)
        return {
            "sentences": self._padded(found.sentences, self.max_turns),
            "words": self._padded(padded, self.max_turns),
            "nwords": lengths.clamp(min=1),
        }

    def _read(self, texts: Sequence[str], speaker: int) -> dict[str, Tensor]:
        turns = [self._instruction(texts[: turn + 1], speaker) for turn in range(len(texts))]
        return {
            name: self._padded(np.stack([np.asarray(turn[name]) for turn in turns]), self.max_turns)
            for name in turns[0]
        }
