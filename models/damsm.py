"""The encoders of the matching model of AttnGAN (DAMSM, arXiv:1711.10485 section 3.2): of captions and of images.

Must match taoxugit/AttnGAN ``code/model.py`` (``RNN_ENCODER``, ``CNN_ENCODER``; parity kind ``damsm``), and the
``RNN_ENCODER`` of its variants with a noise-reducing layer between the word embeddings and the recurrent network
(parity kind ``damsm_text``): GolemXlV/AttnGAN (500 to 256 numbers, then dropout) and
AWin9/AttnGAN-additional-fc-layer (300 to 150, no dropout).

Shape letters: B batch, L words, D embedding size, R resolution of an image.
"""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common.errors import UserError
from config.limits import Count, Width
from models.image_encoders import Pretrained, trunk_weights
from models.weights import load_strictly

PADDING = 0  # the index of no word
INPUT_RESOLUTION = 299  # pixels, of Inception v3
START = 0.1  # embeddings begin uniform in [-0.1, 0.1]
TRUNK = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2",
    "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",
)  # fmt: skip
TOP = ("Mixed_7a", "Mixed_7b", "Mixed_7c")


class EncoderInputError(UserError, ValueError):
    """Captions or images that an encoder cannot take."""


class EncodedText(NamedTuple):
    """Captions in the space that they share with images."""

    words: Tensor  # (B, D, L) with zeros behind each caption; L is the longest caption's length
    sentences: Tensor  # (B, D)
    lengths: Tensor  # (B,) words of each caption

    @property
    def padding(self) -> Tensor:
        """(B, L) bool, true where there is no word."""
        return torch.arange(self.words.shape[2], device=self.lengths.device) >= self.lengths[:, None]


class EncodedImages(NamedTuple):
    """Images in that space."""

    regions: Tensor  # (B, D, 17, 17)
    images: Tensor  # (B, D)


class CaptionEncoder(nn.Module):
    """A recurrent network that reads captions both ways.

    Args:
        vocab_size: words, the padding (0) included.
        embedding_dim: D, half of it each way.
        word_dim: size of the word embeddings.
        dropout: share of the values that the network reads, dropped in training.
        cell: of the network.
        reduced_dim: size to which a linear layer, without activation, reduces the word embeddings before dropout, so
            that only what matters for the images is kept; None leaves it out, as in AttnGAN itself.

    Raises:
        EncoderInputError: D is odd.
    """

    def __init__(
        self,
        vocab_size: Count,
        embedding_dim: Width = 256,
        word_dim: Width = 300,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        cell: Literal["lstm", "gru"] = "lstm",
        reduced_dim: Width | None = None,
    ) -> None:
        super().__init__()
        if embedding_dim % 2:
            raise EncoderInputError(f"embedding_dim is {embedding_dim}, expected an even number, half each way")
        self.vocab_size, self.embedding_dim = vocab_size, embedding_dim
        self.embedding = nn.Embedding(vocab_size, word_dim)
        nn.init.uniform_(self.embedding.weight, -START, START)
        self.reduce = None if reduced_dim is None else nn.Linear(word_dim, reduced_dim)
        self.drop = nn.Dropout(dropout)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.rnn = kind(reduced_dim or word_dim, embedding_dim // 2, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> EncodedText:
        """Encode captions, tokens (B, T) int64 of ``lengths`` (B,) words from 1 to T, in any order.

        An EncoderInputError says that a caption has no word or more than there are tokens, or a token is no known word.
        """
        if len(lengths) != len(tokens) or not ((lengths >= 1) & (lengths <= tokens.shape[1])).all():
            raise EncoderInputError(
                f"captions of {lengths.tolist()} words in tokens {tuple(tokens.shape)}; expected one length for each "
                f"row, 1 to {tokens.shape[1]}"
            )
        if not ((tokens >= 0) & (tokens < self.vocab_size)).all():
            raise EncoderInputError(
                f"tokens from {int(tokens.min())} to {int(tokens.max())}, expected 0 to {self.vocab_size - 1}: the "
                "captions were numbered by another vocabulary"
            )
        read = self.embedding(tokens)
        if self.reduce is not None:
            read = self.reduce(read)
        packed = pack_padded_sequence(self.drop(read), lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, last = self.rnn(packed)
        words, _ = pad_packed_sequence(outputs, batch_first=True)
        states = last[0] if isinstance(last, tuple) else last
        return EncodedText(words.transpose(1, 2), states.transpose(0, 1).flatten(1), lengths)


class ImageRegionEncoder(nn.Module):
    """Inception v3 whose features of 17 x 17 regions and of the whole image are projected to the words' space.

    Args:
        embedding_dim: D.
        align_corners: scale images to 299 pixels as torch 0.3 did, in whose time the published weights were made.
        pretrained: ``imagenet`` for torchvision's weights of Inception v3, the path of a file in torchvision's layout,
            or None for a random start.
        learns: ``projections`` trains the two projections alone, and Inception stays as it is, its batch norms too;
            ``published`` lets their statistics drift, as in the public code, where Inception runs in training mode;
            ``all`` trains everything.

    Attributes:
        trunk: Inception v3's layers up to the regions.
        top: its layers from there to the whole image.

    Raises:
        WeightsError: The weights cannot be fetched or do not fit.
    """

    def __init__(
        self,
        embedding_dim: Width = 256,
        align_corners: bool = False,
        pretrained: Pretrained = None,
        learns: Literal["projections", "published", "all"] = "projections",
    ) -> None:
        from torchvision.models import (  # takes seconds, and text encoders stand in this file too
            Inception_V3_Weights,
            inception_v3,
        )

        super().__init__()
        inception = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        self.trunk = nn.ModuleDict({name: inception.get_submodule(name) for name in TRUNK})
        self.top = nn.ModuleDict({name: inception.get_submodule(name) for name in TOP})
        self.region = nn.Conv2d(768, embedding_dim, 1, bias=False)
        self.image = nn.Linear(2048, embedding_dim)
        for weight in (self.region.weight, self.image.weight):
            nn.init.uniform_(weight, -START, START)
        self.embedding_dim, self.align_corners, self.learns = embedding_dim, align_corners, learns
        if pretrained is not None:
            url = Inception_V3_Weights.IMAGENET1K_V1.url
            state = trunk_weights(pretrained, url, keep="", drop=("fc.", "AuxLogits."))
            for part in (self.trunk, self.top):
                own = {name: value for name, value in state.items() if name.partition(".")[0] in part}
                load_strictly(part, own, str(pretrained))
        if learns != "all":
            self.trunk.requires_grad_(False)
            self.top.requires_grad_(False)

    def train(self, mode: bool = True) -> "ImageRegionEncoder":
        """Set the training mode; Inception stays in evaluation mode where the projections alone learn."""
        super().train(mode)
        if self.learns == "projections":
            self.trunk.eval()
            self.top.eval()
        return self

    def forward(self, images: Tensor) -> EncodedImages:
        """Encode images (B, 3, R, R) in [-1, 1]; other shapes end in an EncoderInputError."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise EncoderInputError(f"found images {tuple(images.shape)}, expected (B, 3, R, R)")
        maps = F.interpolate(images, INPUT_RESOLUTION, mode="bilinear", align_corners=self.align_corners)
        for layer in self.trunk.values():
            maps = layer(maps)
        regions = self.region(maps)
        for layer in self.top.values():
            maps = layer(maps)
        return EncodedImages(regions, self.image(maps.mean(dim=(2, 3))))
