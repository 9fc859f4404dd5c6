"""Text encoders of surisdi/learning-by-drawing ``models.py``: convolutions over word embeddings.

Shape letters: B captions, L tokens, D embedding size.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Width
from models.speech_maps import SpeechMaps

WORD_DIM = 200


class _TextEncoder(nn.Module):
    """Word embedding, then 1-D convolutions of one odd kernel size with ReLUs; length is kept."""

    def __init__(self, vocab_size: int, widths: Sequence[int], kernel: int, padding_idx: int) -> None:
        super().__init__()
        if vocab_size < 1 or not 0 <= padding_idx < vocab_size:
            raise ValueError(
                "A text encoder needs a vocabulary that holds its padding index, "
                f"got {vocab_size} words and index {padding_idx}."
            )
        self.embedding_dim = widths[-1]
        self.words = nn.Embedding(vocab_size, WORD_DIM, padding_idx=padding_idx)
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, kernel, padding=kernel // 2) for a, b in pairwise([WORD_DIM, *widths])
        )

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the features before the last convolution, ``(B, C, L)``; the published code averages them over L."""
        x = self.words(tokens).transpose(1, 2)
        for conv in self.convs[:-1]:
            x = F.relu(conv(x))
        return x

    def forward(self, tokens: Tensor, ntokens: Tensor | None = None) -> SpeechMaps:
        """Encode captions ``(B, L)`` int64, padded with the padding index, as non-negative features ``(B, D, L)``.

        ``ntokens`` (B,) are the valid tokens, all when None.
        """
        features = F.relu(self.convs[-1](self.hidden(tokens)))
        if ntokens is None:
            ntokens = torch.full((tokens.shape[0],), tokens.shape[1], device=tokens.device)
        return SpeechMaps(features, ntokens.long())


class DavenetText(_TextEncoder):
    """Two convolutions over three words each.

    Args:
        vocab_size: Number of words, the padding included.
        embedding_dim: D.
        padding_idx: Index whose embedding is zero.

    Raises:
        ValueError: The padding index lies outside the vocabulary.
    """

    def __init__(self, vocab_size: int, embedding_dim: Width = 512, padding_idx: int = 0) -> None:
        super().__init__(vocab_size, (512, embedding_dim), kernel=3, padding_idx=padding_idx)


class DavenetTextLarge(_TextEncoder):
    """Five convolutions over five words each.

    Args:
        vocab_size: Number of words, the padding included.
        embedding_dim: D.
        padding_idx: Index whose embedding is zero.

    Raises:
        ValueError: The padding index lies outside the vocabulary.
    """

    def __init__(self, vocab_size: int, embedding_dim: Width = 512, padding_idx: int = 0) -> None:
        super().__init__(vocab_size, (200, 300, 300, 512, embedding_dim), kernel=5, padding_idx=padding_idx)
