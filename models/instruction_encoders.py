"""Encoders of an instruction, given those before it: recurrent on word vectors, or BERT on both texts at once.

Must match smatsumori/LatteGAN ``src/modules/retrieval/sentence_encoder.py`` (parity kind ``tirg_text``).

Shape letters: B instructions, L words or tokens, D size of the embeddings, V of word vectors.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common.errors import UserError
from config.limits import Width
from models.bert import Bert, load_bert


class InstructionError(UserError, ValueError):
    """Instructions that an encoder cannot take."""


class EncodedInstruction(NamedTuple):
    """Instructions as one encoder sees them."""

    sentences: Tensor  # (B, D)
    memory: Tensor  # (B, L, D): of each word; of BERT also of the tokens before the instruction
    ignored: Tensor  # (B, L) bool, true where the memory holds no part of the instruction

    @property
    def words(self) -> tuple[Tensor, Tensor]:
        """The instruction's part of the memory (B, S, D), zeros behind it, S of the longest; its lengths (B,)."""
        lengths = (~self.ignored).sum(dim=1)
        words = self.memory.new_zeros(len(self.memory), int(lengths.max()), self.memory.shape[2])
        for row, count in enumerate(lengths.tolist()):
            words[row, :count] = self.memory[row][~self.ignored[row]]
        return words, lengths


class _Reader(nn.Module):
    """Read word vectors both ways and normalise outputs and final states."""

    def __init__(self, word_dim: int, text_dim: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(word_dim, text_dim // 2, batch_first=True, bidirectional=True)
        self.outputs, self.states = nn.LayerNorm(text_dim), nn.LayerNorm(text_dim // 2)

    def forward(self, words: Tensor, lengths: Tensor, states: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs (B, L, D), the norm's bias behind each text, and final states (2, B, D / 2)."""
        packed = pack_padded_sequence(words, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.rnn(packed, states)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=words.shape[1])
        return self.outputs(outputs), self.states(last)


class GruInstructionEncoder(nn.Module):
    """Read the previous turns, then the instruction from the state that they leave.

    ``inputs`` are the names of what it takes in a sample (datasets.dialogue.texts.WordVectors).

    Args:
        word_dim: V, of the word vectors: 300 of the published GloVe file.
        text_dim: D, half of it each way.

    Raises:
        InstructionError: D is odd.
    """

    inputs = ("previous_vectors", "nprevious", "vectors", "nvectors")

    def __init__(self, word_dim: Width = 300, text_dim: Width = 512) -> None:
        super().__init__()
        if text_dim % 2:
            raise InstructionError(f"text_dim is {text_dim}, expected an even number, half each way")
        self.word_dim, self.text_dim = word_dim, text_dim
        self.previous, self.current = _Reader(word_dim, text_dim), _Reader(word_dim, text_dim)

    def forward(self, previous: Tensor, previous_lengths: Tensor, words: Tensor, lengths: Tensor) -> EncodedInstruction:
        """Encode instructions.

        Args:
            previous: (B, L', V) vectors of all words said before.
            previous_lengths: (B,) their number; 0 counts as one vector of zeros.
            words: (B, L, V) vectors of the instruction.
            lengths: (B,) their number.

        Raises:
            InstructionError: vectors are of another size than the encoder's.
        """
        for values in (previous, words):
            if values.dim() != 3 or values.shape[2] != self.word_dim:
                raise InstructionError(f"found word vectors {tuple(values.shape)}, expected (B, L, {self.word_dim})")
        _, context = self.previous(previous, previous_lengths)
        memory, last = self.current(words, lengths, context)
        ignored = torch.arange(memory.shape[1], device=lengths.device) >= lengths.clamp(min=1)[:, None]
        return EncodedInstruction(last.transpose(0, 1).flatten(1), memory, ignored)


class BertInstructionEncoder(nn.Module):
    """Read the previous turns and the instruction as the two texts of a BERT.

    ``inputs`` are the names of what it takes in a sample (datasets.dialogue.texts.WordPieces).

    Args:
        bert: folder of a model of BERT's family as transformers saves it, ``bert-base-uncased`` for instance; or such a
            network, which starts at random.

    Raises:
        WeightsError: the folder holds no such model.
    """

    inputs = ("tokens", "mask", "types")

    def __init__(self, bert: Bert | Path) -> None:
        super().__init__()
        self.bert = bert if isinstance(bert, Bert) else load_bert(bert)
        self.text_dim = self.bert.width

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor) -> EncodedInstruction:
        """Encode ``[CLS] previous turns [SEP] instruction [SEP]``.

        Args:
            tokens: (B, L) int64.
            mask: (B, L) 1 where there is a token.
            types: (B, L) 1 in the instruction and the [SEP] behind it.

        Returns:
            The state of [CLS] as sentence, all states as memory; ignored is all but [CLS] and the instruction.
        """
        if tokens.dim() != 2 or tokens.shape[1] > self.bert.positions:
            raise InstructionError(
                f"found tokens {tuple(tokens.shape)}, expected (B, L), L up to {self.bert.positions}"
            )
        states = self.bert(tokens, mask, types)
        ignored = types == 0
        ignored[:, 0] = False
        return EncodedInstruction(states[:, 0], states, ignored)
