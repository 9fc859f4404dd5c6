"""AttnGAN's networks as ONNX can hold them: without packed sequences, with every output by itself.

They compute the same as the networks they are made of, with copies of or references to their weights.

Shape letters: B captions, L words, D size of embeddings.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from models.damsm import CaptionEncoder
from models.tfidf_captions import TfidfCaptionEncoder


class OnnxError(UserError):
    """Networks that cannot be written, or that compute something else as ONNX."""


class MaskedCaptionEncoder(nn.Module):
    """Compute what a text encoder does without packed sequences, which ONNX does not have.

    Captions are reversed word by word up to their lengths, so that the direction that reads backwards meets their
    padding last, as the other one does.

    Args:
        encoder: whose weights are copied.
    """

    def __init__(self, encoder: CaptionEncoder) -> None:
        super().__init__()
        self.embedding, self.reduce = encoder.embedding, encoder.reduce
        kind = type(encoder.rnn)
        self.ways = nn.ModuleList()
        for ending in ("", "_reverse"):
            way = kind(encoder.rnn.input_size, encoder.rnn.hidden_size, batch_first=True)
            own = encoder.rnn.state_dict()
            way.load_state_dict({name: own[f"{name}{ending}"] for name in way.state_dict()})
            self.ways.append(way)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return words (B, D, L), sentences (B, D) and padding (B, L) bool, true where there is no word."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        lengths = lengths[:, None]
        padding = positions >= lengths
        read = self.embedding(tokens)
        if self.reduce is not None:
            read = self.reduce(read)
        backwards = torch.where(padding, positions, lengths - 1 - positions)
        ahead, _ = self.ways[0](read)
        back, _ = self.ways[1](_taken(read, backwards))
        last = _taken(ahead, lengths - 1)[:, 0]
        words = torch.cat((ahead, _taken(back, backwards)), dim=2) * (~padding)[:, :, None]
        # read backwards, the last word that is read is the first of the caption
        first = _taken(back, lengths - 1)[:, 0]
        return words.transpose(1, 2), torch.cat((last, first), dim=1), padding


class MaskedTfidfCaptionEncoder(nn.Module):
    """The same of an encoder whose sentences are weighed word counts."""

    def __init__(self, encoder: TfidfCaptionEncoder) -> None:
        super().__init__()
        self.recurrent = MaskedCaptionEncoder(encoder.recurrent)
        self.reduce, self.sentence = encoder.reduce, encoder.sentence
        self.register_buffer("stem_of", encoder.stem_of)
        self.register_buffer("idf", encoder.idf)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return words (B, D, L), sentences (B, D) and padding (B, L) bool, true where there is no word."""
        words, _, padding = self.recurrent(tokens, lengths)
        counts = torch.zeros(tokens.shape[0], self.idf.shape[0], device=tokens.device)
        counts = counts.scatter_add(1, self.stem_of[tokens], (~padding).float())
        return words, self.sentence(self.reduce(F.normalize(counts * self.idf, dim=1))), padding


class FlatGenerator(nn.Module):
    """A generator whose images and attention come one after the other."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, noise: Tensor, variation: Tensor, sentences: Tensor, words: Tensor, padding: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the images of each stage, then the attention of each later stage."""
        made = self.generator(noise, sentences, words, padding, variation)
        return (*made.images, *made.attention)


def _taken(rows: Tensor, positions: Tensor) -> Tensor:
    """Return (B, N, C) of (B, L, C) at positions (B, N)."""
    return rows.gather(1, positions[:, :, None].expand(-1, -1, rows.shape[2]))


def masked(encoder: nn.Module) -> nn.Module:
    """Return a text encoder without packed sequences; raise an OnnxError for one of another class."""
    kinds = {CaptionEncoder: MaskedCaptionEncoder, TfidfCaptionEncoder: MaskedTfidfCaptionEncoder}
    if type(encoder) not in kinds:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise OnnxError(f"the text encoder is a {type(encoder).__name__}; expected one of {names}")
    return kinds[type(encoder)](encoder).eval()
