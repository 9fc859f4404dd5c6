"""Attention of an image's positions to the words of its caption, equations (2) and (3) of AttnGAN (arXiv:1711.10485).

Shape letters: B captions, L words, D size of a word's embedding, C channels, H, W height and width of a map.
"""

import torch
from torch import Tensor, nn


class WordAttention(nn.Module):
    """Give every position of a map the mean of the words, weighted by how well each word fits the position.

    Args:
        channels: C.
        word_dim: D.
        mixed_masks: mask words as the public code does: its scores lie sample by sample, its masks position by
            position, so that position q of sample b leaves out the padding of sample (b * H * W + q) mod B. Right for a
            batch of one and for captions of one length; the published weights were trained so (GlobalAttention.py:98).
    """

    def __init__(self, channels: int, word_dim: int, mixed_masks: bool = False) -> None:
        super().__init__()
        self.project = nn.Conv1d(word_dim, channels, 1, bias=False)
        self.mixed_masks = mixed_masks

    def forward(self, maps: Tensor, words: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context of maps (B, C, H, W), of their shape, and the words' weights (B, L, H, W), whose sum is 1.

        ``words`` are (B, D, L); ``padding`` (B, L) bool is true where there is no word, and each caption has at least
        one.
        """
        batch, _, height, width = maps.shape
        context = self.project(words)
        scores = maps.flatten(2).transpose(1, 2) @ context  # (B, H * W, L)
        scores = scores.masked_fill(self._masks(padding, height * width), -torch.inf)
        weights = scores.softmax(dim=2).transpose(1, 2)
        attended = context @ weights
        return attended.view(batch, -1, height, width), weights.view(batch, -1, height, width)

    def _masks(self, padding: Tensor, positions: int) -> Tensor:
        """Return the words that each position leaves out, (B, 1 or H * W, L)."""
        if not self.mixed_masks:
            return padding[:, None]
        return padding.repeat(positions, 1).view(len(padding), positions, -1)
