"""Images from captions, by a trained text encoder and generator.

The noise of an image follows from seed, number of the caption and copy alone, so that a caption gives the same image
whatever is generated beside it (but for the last bits of floating-point sums). taoxugit/AttnGAN draws it for a batch,
and values beyond [-1, 1] overflow when it casts to bytes; here they are clipped.

Shape letters: B images of a batch, L words, Z size of the noise, K size of a condition, H, W of a map, R of an image.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.attention_sheet import attention_sheet
from gan.images import pixels
from tasks.attngan.trained import GENERATOR, TEXT, TextImageSource, Tokens, Trained, load

BATCH = 16
BEST = 5  # words of a published sheet
HALF = 2**32  # seeds are read as two numbers of 32 bits


class Draw(NamedTuple):
    """An image to be generated."""

    caption: str
    seed: int = 0  # 0 to 2^63 - 1
    index: int = 0  # number of the caption among those that share a seed
    copy: int = 0  # number of the image of this caption
    hidden: tuple[str, ...] = ()  # words that no attention sees, though the sentence holds them; one is left at least


class Generated(NamedTuple):
    """The images of one draw, and what they were generated from."""

    draw: Draw
    words: list[str]  # that the generator read
    unknown: list[str]  # that the vocabulary lacks
    left_out: list[str]  # known words behind the most that are read
    images: list[np.ndarray]  # (R, R, 3) uint8 of each stage, the smallest first
    attention: list[np.ndarray]  # (L, H, W) float32 of each later stage; the words' weights at a position sum to 1

    def attended(self, stage: int) -> np.ndarray:
        """Return the image that was generated with the attention of a later stage (the first of them is 0)."""
        return self.images[min(stage + 1, len(self.images) - 1)]

    def maps(self, stage: int) -> np.ndarray:
        """Return a later stage's weights of each word, (L, R, R) float32, as large as its image."""
        resolution = len(self.attended(stage))
        maps = torch.from_numpy(self.attention[stage])[None]
        return F.interpolate(maps, (resolution, resolution), mode="bilinear")[0].numpy()

    def sheet(self, stage: int, best: int | None = BEST) -> np.ndarray:
        """Draw a later stage's image with its best words, or with all (None), (H, W, 3) uint8."""
        return attention_sheet(self.attended(stage), self.attention[stage], self.words, best)


class TextToImage:
    """Generate images of every stage from captions.

    Args:
        trained: text encoder and generator that belong together, by the names that :mod:`tasks.attngan.trained` uses.
        device: of the networks, which are moved there.
        batch_size: images generated at a time.
    """

    def __init__(self, trained: Trained, device: str | torch.device = "cpu", batch_size: int = BATCH) -> None:
        self.words, self.device, self.batch_size = trained.words, torch.device(device), batch_size
        self.text, self.generator = (
            trained.networks[name].to(self.device).eval().requires_grad_(False) for name in (TEXT, GENERATOR)
        )
        if hasattr(self.generator, "mixed_masks"):
            self.generator.mixed_masks = False  # a caption's images would depend on the others of its batch

    @classmethod
    def of(cls, source: TextImageSource, device: str | torch.device = "cpu", batch_size: int = BATCH) -> "TextToImage":
        """Load the networks of a source; raises what :func:`tasks.attngan.trained.load` raises."""
        return cls(load(source, (TEXT, GENERATOR)), device, batch_size)

    @property
    def resolutions(self) -> list[int]:
        """Return the height and width of each stage's images in pixels, the smallest first."""
        return list(self.generator.resolutions)

    def generate(self, captions: Sequence[str], copies: int = 1, seed: int = 0) -> list[Generated]:
        """Generate ``copies`` images of each caption, those of the first caption first.

        Raises VocabularyError for a caption without a word that the model knows.
        """
        draws = (Draw(caption, seed, i, copy) for i, caption in enumerate(captions) for copy in range(copies))
        return list(self.draw(draws))

    def draw(self, draws: Iterable[Draw]) -> Iterator[Generated]:
        """Generate the images of each draw in order, ``batch_size`` at a time; errors are those of `generate`."""
        left = iter(draws)
        while batch := list(islice(left, self.batch_size)):
            yield from self._batch(batch)

    @torch.inference_mode()
    def _batch(self, draws: list[Draw]) -> Iterator[Generated]:
        tokens = self.words.tokens([one.caption for one in draws])
        encoded = self.text(tokens.numbers.to(self.device), tokens.lengths.to(self.device))
        noise, variation = (part.to(self.device) for part in self.noise(draws))
        padding = encoded.padding | self._hidden(tokens, draws).to(encoded.padding.device)
        made = self.generator(noise, encoded.sentences, encoded.words, padding, variation)
        images = [pixels(one).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy() for one in made.images]
        attention = [one.float().cpu().numpy() for one in made.attention]
        for row, one in enumerate(draws):
            length = int(tokens.lengths[row])
            yield Generated(
                one,
                self.words.read(tokens.numbers[row]),
                tokens.unknown[row],
                self.words.left_out(one.caption),
                [stage[row] for stage in images],
                [stage[row, :length] for stage in attention],
            )

    def _hidden(self, tokens: Tokens, draws: Sequence[Draw]) -> Tensor:
        """Return where the words are that no attention is to see, (B, L) bool."""
        unseen = [torch.tensor(self.words.vocabulary.numbers(one.hidden), dtype=torch.int64) for one in draws]
        return torch.stack([torch.isin(row, own) for row, own in zip(tokens.numbers, unseen, strict=True)])

    def noise(self, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Return noise (B, Z) and variation of the condition (B, K) of draws, standard normal float32."""
        sizes = [self.generator.noise_dim, self.generator.condition_dim]
        rows = [_stream(one).standard_normal(sum(sizes)).astype(np.float32) for one in draws]
        noise, variation = torch.from_numpy(np.stack(rows)).split(sizes, dim=1)
        return noise, variation


def _stream(draw: Draw) -> np.random.RandomState:
    """Return the random numbers of a draw, of which NumPy promises that they stay the same for ever."""
    return np.random.RandomState([draw.seed % HALF, draw.seed // HALF, draw.index, draw.copy])
