"""Ways to bring the map of an instruction and the map of the previous image together (arXiv:2112.13985).

:class:`Concat` stands them side by side, as GeNeVA-GAN does; :class:`Tirg` keeps the image where a gate is open and
adds a residual where it is not (arXiv:1812.07119); :class:`TirgSpade`, the published choice, makes that residual from
the image, normalised as the gate's features say (SPADE, arXiv:1903.07291). Both can attend to the words (the token
module, "Latte") and relate rows and columns of the image to each other. :class:`ScaleGate` is TIDG, for one more
resolution.

Must match smatsumori/LatteGAN ``src/modules/propv1`` (``tirg.py``, ``spade.py``, ``tidg.py``; parity kinds ``lattegan``
and ``lattegan_parts``).

Shape letters: B samples, C channels of the image's map, T of the text's, H, W height and width of both, L words, D size
of a word's embedding.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Count, Width
from gan.lattegan.attention import MultiHeadAttention, RowsAndColumns
from gan.lattegan.layers import Instructions, LatteganError, Norm, convolution, linear, normalisation, normalised

Words = Literal["none", "concat", "replace"]


class Concat(nn.Module):
    """Stand both maps side by side.

    Args:
        image_dim: C; given by the generator.
        text_dim: T; given by the generator.
        word_dim: D; given by the generator.
        positions: H and W; given by the generator.
        norm: given by the generator.
        spectral: given by the generator.
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        word_dim: Width,  # noqa: ARG002  of the other fusions
        positions: Width,  # noqa: ARG002
        norm: Norm,  # noqa: ARG002
        spectral: bool,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self.out_channels = image_dim + text_dim

    def forward(self, image: Tensor, text: Tensor, instructions: Instructions) -> tuple[Tensor, None]:  # noqa: ARG002
        """Return (B, T + C, H, W) and no gate."""
        return torch.cat((text, image), dim=1), None


class Spade(nn.Module):
    """Normalise an image's map, then scale and shift each position as the features (B, F, H, W) there say."""

    def __init__(self, features: int, channels: int, norm: Norm, spectral: bool) -> None:
        super().__init__()
        self.features = normalised(features, norm)
        self.norm = normalisation(channels, norm, affine=False)
        self.scale, self.shift = (convolution(features, channels, 3, spectral, bias=True) for _ in range(2))

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        """Normalise maps (B, C, H, W)."""
        features = self.features(features)
        return self.scale(features) * self.norm(maps) + self.shift(features)


class _Gated(nn.Module):
    """What both fusions with a gate share: the features that they are made of, and how the two ends are weighed.

    ``fed_by_relations`` has the relations stand in for the two maps in what follows, as in the plain TIRG of the public
    code; otherwise they make the queries of the attention only.
    """

    fed_by_relations = False

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        word_dim: int,
        positions: int,
        norm: Norm,
        spectral: bool,
        words: Words,
        relations: bool,
        hidden: int,
        heads: int,
        channel_gate: bool,
        mask_residual: bool,
    ) -> None:
        super().__init__()
        if relations and words == "none":
            raise LatteganError(
                "relations make the queries of the attention to words: expected words concat or replace"
            )
        self.out_channels, self.words, self.mask_residual = image_dim, words, mask_residual
        self.gate_weight, self.residual_weight = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.relations = None
        both = image_dim + text_dim
        if relations:
            self.relations = RowsAndColumns(image_dim, text_dim, hidden, positions, norm, spectral)
        self.attention = None
        if words != "none":
            asked = hidden if relations else both
            self.queries = normalised(asked, norm)
            self.attention = MultiHeadAttention(asked, word_dim, hidden, heads, spectral)
        kept = hidden if relations and self.fed_by_relations else both
        self.features_dim = {"none": kept, "concat": kept + hidden, "replace": image_dim + hidden}[words]
        self.gate_dim = image_dim if channel_gate else 1

    def features(self, image: Tensor, text: Tensor, instructions: Instructions) -> Tensor:
        """Return what gate and residual are made of (B, features_dim, H, W)."""
        both = torch.cat((image, text), dim=1)
        if self.attention is None:
            return both
        related = both if self.relations is None else self.relations(image, text)
        queries = self.queries(related).flatten(2).transpose(1, 2)
        found = self.attention(queries, instructions.words, instructions.padding)
        found = found.transpose(1, 2).unflatten(2, image.shape[2:])
        kept = related if self.fed_by_relations else both
        return torch.cat((image if self.words == "replace" else kept, found), dim=1)

    def weighed(self, image: Tensor, residual: Tensor, gate: Tensor) -> Tensor:
        """Keep the image where the gate is open and add the residual."""
        if self.mask_residual:
            residual = (1 - gate) * residual
        return self.gate_weight * (gate * image) + self.residual_weight * residual


class Tirg(_Gated):
    """Gate the image and add a residual of two convolutions (arXiv:1812.07119).

    Args:
        image_dim: C; given by the generator.
        text_dim: T; given by the generator.
        word_dim: D; given by the generator.
        positions: H and W; given by the generator.
        norm: given by the generator.
        spectral: given by the generator.
        words: what the attention to words is for: ``concat`` adds it to both maps, ``replace`` puts it in the text's
            place, ``none`` leaves it out (published key ``sta``).
        relations: relate rows and columns of the image for the attention (``use_relnet``); as in the public code their
            result then stands in for both maps.
        hidden: channels of what lies between.
        heads: of the attention (``nhead``).
        channel_gate: a gate for each channel instead of one for all (``multi_channel_gate``).
        mask_residual: add the residual only where the gate is closed (``res_mask_post``).

    Raises:
        LatteganError: relations without attention, or sizes that cannot be divided.
    """

    fed_by_relations = True

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        word_dim: Width,
        positions: Width,
        norm: Norm,
        spectral: bool,
        words: Words = "concat",
        relations: bool = False,
        hidden: Width = 512,
        heads: Count = 8,
        channel_gate: bool = True,
        mask_residual: bool = True,
    ) -> None:
        super().__init__(
            image_dim, text_dim, word_dim, positions, norm, spectral, words, relations, hidden, heads, channel_gate,
            mask_residual,
        )  # fmt: skip
        self.gate, self.residual = (
            nn.Sequential(
                *normalised(self.features_dim, norm),
                convolution(self.features_dim, hidden, 3, spectral),
                *normalised(hidden, norm),
                convolution(hidden, channels, 3, spectral),
            )
            for channels in (self.gate_dim, image_dim)
        )

    def forward(self, image: Tensor, text: Tensor, instructions: Instructions) -> tuple[Tensor, Tensor]:
        """Return the next image's map (B, C, H, W) and the gate (B, C or 1, H, W), 1 where nothing changes."""
        features = self.features(image, text, instructions)
        gate = self.gate(features).sigmoid()
        return self.weighed(image, self.residual(features), gate), gate


class TirgSpade(_Gated):
    """Gate the image and add a residual that the image itself becomes where the gate's features normalise it.

    Args:
        image_dim: C; given by the generator.
        text_dim: T; given by the generator.
        word_dim: D; given by the generator.
        positions: H and W; given by the generator.
        norm: given by the generator.
        spectral: given by the generator.
        words: what the attention to words is for, as of :class:`Tirg` (``sta``).
        relations: relate rows and columns of the image; they make the queries of the attention and nothing else
            (``use_relnet``).
        hidden: channels of what lies between.
        heads: of the attention (``nhead``).
        channel_gate: a gate for each channel instead of one for all (``multi_channel_gate``).
        mask_residual: add the residual only where the gate is closed (``res_mask_post``).

    Raises:
        LatteganError: relations without attention, or sizes that cannot be divided.
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        word_dim: Width,
        positions: Width,
        norm: Norm,
        spectral: bool,
        words: Words = "concat",
        relations: bool = True,
        hidden: Width = 512,
        heads: Count = 8,
        channel_gate: bool = True,
        mask_residual: bool = True,
    ) -> None:
        super().__init__(
            image_dim, text_dim, word_dim, positions, norm, spectral, words, relations, hidden, heads, channel_gate,
            mask_residual,
        )  # fmt: skip
        self.before = nn.Sequential(
            *normalised(self.features_dim, norm), convolution(self.features_dim, hidden, 3, spectral)
        )
        self.gate = nn.Sequential(*normalised(hidden, norm), convolution(hidden, self.gate_dim, 3, spectral))
        self.spades = nn.ModuleList(Spade(hidden, image_dim, norm, spectral) for _ in range(2))
        self.residuals = nn.ModuleList(convolution(image_dim, image_dim, 3, spectral) for _ in range(2))

    def forward(self, image: Tensor, text: Tensor, instructions: Instructions) -> tuple[Tensor, Tensor]:
        """Return the next image's map (B, C, H, W) and the gate (B, C or 1, H, W), 1 where nothing changes."""
        before = self.before(self.features(image, text, instructions))
        gate, residual = self.gate(before).sigmoid(), image
        for spade, conv in zip(self.spades, self.residuals, strict=True):
            residual = conv(F.relu(spade(residual, before)))
        return self.weighed(image, residual, gate), gate


class ScaleGate(nn.Module):
    """Keep the previous image's map of one resolution where a gate of both maps' difference is open (TIDG).

    Args: as of :class:`Tirg`, of this resolution; ``text_dim`` is D, of sentences. The map that comes from below is the
    residual, masked or not; the public code fails where it is not.
    """

    def __init__(
        self, image_dim: int, text_dim: int, norm: Norm, spectral: bool, channel_gate: bool, mask_residual: bool
    ) -> None:
        super().__init__()
        self.gate_weight, self.residual_weight = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.mask_residual = mask_residual
        self.text = linear(text_dim, image_dim, spectral)
        self.gate = nn.Sequential(
            *normalised(2 * image_dim, norm),
            convolution(2 * image_dim, image_dim, 3, spectral),
            *normalised(image_dim, norm),
            convolution(image_dim, image_dim if channel_gate else 1, 3, spectral),
        )

    def forward(self, image: Tensor, below: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map (B, C, H, W) and the gate, given the previous image's, that from below, and (B, D)."""
        text = self.text(sentences)[:, :, None, None].expand_as(image)
        gate = self.gate(torch.cat((below - image, text), dim=1)).sigmoid()
        residual = (1 - gate) * below if self.mask_residual else below
        return self.gate_weight * (gate * image) + self.residual_weight * residual, gate
