"""Attention of several heads, and relations between the rows and columns of a map (arXiv:2112.13985).

Must match smatsumori/LatteGAN ``src/modules/propv1`` (``multihead_attention.py``, ``relational_network.py``; parity
kind ``lattegan``).

Shape letters: B samples, S queries, L words, N heads, C, O channels, H, W height and width of a map, P positions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan.lattegan.layers import LatteganError, Norm, convolution, linear, normalised, with_spectral_norm

EXCLUDED = -1e9  # score of what a query must not see


class MultiHeadAttention(nn.Module):
    """Give every query the mean of the values, weighted by how well their keys fit it, in N subspaces.

    Args:
        query_dim: size of the queries.
        memory_dim: size of what they attend to.
        width: size of the result, N equal parts of it.
        heads: N.
        spectral: with spectral norm.
        mixed_masks: mask words as the public code does: its heads lie sample by sample, its masks head by head, so that
            head n of sample b leaves out the padding of sample (b * N + n) mod B (``multihead_attention.py:94``). Right
            for a batch of one and instructions of one length.

    Raises:
        LatteganError: the width is no multiple of the heads.
    """

    def __init__(
        self, query_dim: int, memory_dim: int, width: int, heads: int, spectral: bool, mixed_masks: bool = False
    ) -> None:
        super().__init__()
        if width % heads:
            raise LatteganError(f"attention was asked of {width} numbers in {heads} heads; expected a multiple")
        self.query = linear(query_dim, width, spectral)
        self.key = linear(memory_dim, width, spectral)
        self.value = linear(memory_dim, width, spectral)
        self.heads, self.mixed_masks = heads, mixed_masks

    def forward(self, queries: Tensor, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return (B, S, width) of queries (B, S, query_dim) that attend to a memory (B, L, memory_dim).

        ``padding`` (B, L) bool is true where there is nothing to attend to.
        """
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, N, S or L, width / N)
            for part in (self.query(queries), self.key(memory), self.value(memory))
        )
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        if padding is not None:
            scores = scores.masked_fill(self._masks(padding), EXCLUDED)
        return (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)

    def _masks(self, padding: Tensor) -> Tensor:
        """Return the words that each head leaves out, (B, 1 or N, 1, L)."""
        if not self.mixed_masks:
            return padding[:, None, None]
        return padding.repeat(self.heads, 1).view(len(padding), self.heads, 1, -1)


class Relations(nn.Module):
    """Sum what each position of a line has to do with every other, given the text there.

    Args:
        image_dim: C of the image's line.
        text_dim: C of the text's line.
        channels: O.
        positions: P of the longest line.
        norm: which norm stands between the layers.
        spectral: with spectral norm.

    The first layer of a pair is a sum of what either position gives, so it acts on P positions, not on P * P pairs.
    """

    def __init__(
        self, image_dim: int, text_dim: int, channels: int, positions: int, norm: Norm, spectral: bool
    ) -> None:
        super().__init__()
        self.position = with_spectral_norm(nn.Embedding(positions, image_dim), spectral)
        self.image, self.text = normalised(image_dim, norm), normalised(text_dim, norm)
        self.pairs = nn.Sequential(
            convolution(2 * image_dim + text_dim, channels, 1, spectral),
            *normalised(channels, norm),
            convolution(channels, channels, 1, spectral),
        )

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Return (B, O, P) of an image's line (B, C, P) and a text's (B, C', P)."""
        places = self.position(torch.arange(image.shape[2], device=image.device)).T
        image, text = self.image((image + places)[:, :, None])[:, :, 0], self.text(text[:, :, None])[:, :, 0]
        channels = image.shape[1]
        other, own = self.pairs[0].weight.squeeze(3).split((channels, channels + text.shape[1]), dim=1)
        mixed = F.conv1d(torch.cat((image, text), dim=1), own)[:, :, :, None] + F.conv1d(image, other)[:, :, None]
        return self.pairs[1:](mixed).sum(dim=3)


class RowsAndColumns(nn.Module):
    """Relate the rows of a map to each other, and its columns, both as means of the map.

    Args: as of :class:`Relations`, which gets half of ``channels`` each way; ``positions`` are the map's H and W.
    """

    def __init__(
        self, image_dim: int, text_dim: int, channels: int, positions: int, norm: Norm, spectral: bool
    ) -> None:
        super().__init__()
        if channels % 2:
            raise LatteganError(f"relations were asked of {channels} channels; expected an even number, half each way")
        self.rows, self.columns = (
            Relations(image_dim, text_dim, channels // 2, positions, norm, spectral) for _ in range(2)
        )
        self.last = nn.Sequential(*normalised(channels, norm), convolution(channels, channels, 3, spectral))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Return (B, O, H, W) of maps (B, C, H, W) of an image and (B, C', H, W) of a text."""
        height, width = image.shape[2:]
        rows = self.rows(image.mean(dim=3), text.mean(dim=3))[:, :, :, None].expand(-1, -1, -1, width)
        columns = self.columns(image.mean(dim=2), text.mean(dim=2))[:, :, None].expand(-1, -1, height, -1)
        return self.last(torch.cat((rows, columns), dim=1))
