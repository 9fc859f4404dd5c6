"""A caption encoder whose sentences are weighed word counts (TF-IDF), so that single words can be silenced.

The noise-reducing text encoding of "A Generative Adversarial Approach for Zero-Shot Learning from Noisy Texts" (CVPR
2018, arXiv:1712.01381; EthanZhu90/ZSL_GAN ``models.py``, ``rdc_text``) in the place of AttnGAN's sentence embedding.
The words themselves are still encoded by the recurrent network.

    t = n * idf / |n * idf|,  idf = ln((1 + N) / (1 + df)) + 1,  sentence = A (W t + b) + a

n are the counts of a caption's stems, N the number of captions, df how many of them have the stem: what scikit-learn's
TfidfVectorizer computes from stemmed words with its default settings. W is the reducing layer, without activation; with
``losses.group_lasso`` of it in the loss, columns of words without information go to zero (parity with scikit-learn is a
test).

Shape letters: B batch, T tokens, V vocabulary, R reduced size, D embedding size.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import snowballstemmer
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Count, Width
from models.damsm import PADDING, CaptionEncoder, EncodedText, EncoderInputError

START = 0.1  # the sentence layer's weights begin uniform in [-0.1, 0.1]


class WordNorms(NamedTuple):
    """What is left of each word behind the reducing layer: the norm of its column, relative to the largest."""

    kept: dict[str, float]  # the largest first
    silenced: dict[str, float]  # at or below the threshold, the largest first


class TfidfCaptionEncoder(nn.Module):
    """Words by a recurrent network, sentences by TF-IDF over stemmed words, a reducing and a fully connected layer.

    It must be fitted to the training captions (:meth:`fit`) before it encodes; what it learns there is in its state.

    Args:
        vocab_size: V, the padding (0) included.
        embedding_dim: D, half of it each way of the recurrent network.
        word_dim: size of the word embeddings that the recurrent network reads.
        dropout: share of the word embeddings' values dropped in training.
        cell: of the recurrent network.
        reduced_dim: R, to which the reducing layer takes the V weights of a caption's stems; 1000 as published, of
            documents of 7,551 stems.

    Attributes:
        stem_of: (V,) int64 buffer: number of the first word with the same stem, 0 of the padding.
        idf: (V,) float buffer, at the first word of each stem that the fitted captions have; 0 elsewhere.

    Raises:
        EncoderInputError: D is odd.
    """

    stem_of: Tensor
    idf: Tensor

    def __init__(
        self,
        vocab_size: Count,
        embedding_dim: Width = 256,
        word_dim: Width = 300,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        cell: Literal["lstm", "gru"] = "lstm",
        reduced_dim: Width = 256,
    ) -> None:
        super().__init__()
        self.recurrent = CaptionEncoder(vocab_size, embedding_dim, word_dim, dropout, cell)
        self.reduce = nn.Linear(vocab_size, reduced_dim)
        self.sentence = nn.Linear(reduced_dim, embedding_dim)
        nn.init.xavier_normal_(self.reduce.weight)
        nn.init.zeros_(self.reduce.bias)
        nn.init.uniform_(self.sentence.weight, -START, START)
        self.register_buffer("stem_of", torch.arange(vocab_size))
        self.register_buffer("idf", torch.zeros(vocab_size))
        self.vocab_size, self.embedding_dim = vocab_size, embedding_dim

    @property
    def reducing_weight(self) -> Tensor:
        """The reducing layer's weight (R, V), a column for each word, on which the penalty lies."""
        return self.reduce.weight

    @torch.no_grad()
    def fit(self, vocabulary_words: Sequence[str], captions: Iterable[np.ndarray]) -> None:
        """Stem the words, and count in how many captions each stem is, in place.

        Columns of the reducing layer that no caption can reach, of words without a stem of their own or that no caption
        has, are set to 0.

        Args:
            vocabulary_words: all V words by their numbers, the padding first.
            captions: word numbers (n,) of each training caption, from 1 to V - 1.

        Raises:
            EncoderInputError: there is no caption, or the words or numbers are not of this vocabulary.
        """
        if len(vocabulary_words) != self.vocab_size:
            raise EncoderInputError(
                f"found {len(vocabulary_words)} words with the padding, expected the {self.vocab_size} of vocab_size"
            )
        stem_of = stems(vocabulary_words)
        having, number = np.zeros(self.vocab_size, np.int64), 0
        for number, caption in enumerate(captions, start=1):
            words = np.unique(caption)
            if len(words) and not 1 <= words[0] <= words[-1] < self.vocab_size:
                raise EncoderInputError(
                    f"caption {number} has word numbers from {words[0]} to {words[-1]}, expected 1 to "
                    f"{self.vocab_size - 1}: it was numbered by another vocabulary"
                )
            having[np.unique(stem_of[words])] += 1
        if not having.any():
            raise EncoderInputError(f"found no word in {number} captions, expected the captions of the training split")
        idf = np.where(having, np.log((1 + number) / (1 + having)) + 1, 0)
        self.stem_of.copy_(torch.from_numpy(stem_of))
        self.idf.copy_(torch.from_numpy(idf))
        self.reduce.weight[:, self.idf == 0] = 0

    def weights(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the TF-IDF (B, V) of tokens (B, T) of ``lengths`` (B,) words, of norm 1; 0 where no stem is known."""
        read = torch.arange(tokens.shape[1], device=tokens.device) < lengths.to(tokens.device)[:, None]
        counts = torch.zeros(len(tokens), self.vocab_size, device=tokens.device)
        counts.scatter_add_(1, self.stem_of[tokens], read.float())
        return F.normalize(counts * self.idf, dim=1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> EncodedText:
        """Encode captions, tokens (B, T) int64 of ``lengths`` (B,) words from 1 to T, in any order.

        An EncoderInputError says what :meth:`models.damsm.CaptionEncoder.forward` says, or that this was not fitted.
        """
        if not self.idf.any():
            raise EncoderInputError(
                "the TF-IDF has no weights yet; call fit with the vocabulary's words and the training captions, or "
                "load a trained encoder"
            )
        words = self.recurrent(tokens, lengths).words
        sentences = self.sentence(self.reduce(self.weights(tokens, lengths)))
        return EncodedText(words, sentences, lengths)

    def silenced(self, words: Sequence[str], threshold: float = 0.01) -> WordNorms:
        """Return how much of each stem passes the reducing layer, named by its first word.

        Args:
            words: all V words by their numbers, the padding first.
            threshold: words whose column has at most this share of the largest column's norm are silenced.

        Raises:
            EncoderInputError: the words are not of this vocabulary.
        """
        if len(words) != self.vocab_size:
            raise EncoderInputError(
                f"found {len(words)} words with the padding, expected the {self.vocab_size} of vocab_size"
            )
        used = torch.nonzero(self.idf)[:, 0].tolist()
        return word_norms(self.reducing_weight[:, used], [words[number] for number in used], threshold)


@torch.no_grad()
def word_norms(weight: Tensor, words: Sequence[str], threshold: float) -> WordNorms:
    """Return how much of each of ``words`` (V, all different) passes a reducing layer of ``weight`` (R, V).

    Words whose column has at most the share ``threshold`` of the largest column's norm are silenced.
    """
    norms = torch.linalg.vector_norm(weight, dim=0)
    relative = (norms / norms.max().clamp(min=torch.finfo(norms.dtype).tiny)).cpu()
    order = torch.argsort(relative, descending=True, stable=True).tolist()
    by_word = {words[number]: float(relative[number]) for number in order}
    return WordNorms(
        {word: share for word, share in by_word.items() if share > threshold},
        {word: share for word, share in by_word.items() if share <= threshold},
    )


def stems(words: Sequence[str]) -> np.ndarray:
    """Return the number of the first word with the same stem (Porter's), (V,) int64; the padding is its own."""
    stemmer = snowballstemmer.stemmer("porter")
    first: dict[str, int] = {}
    found = [first.setdefault(stemmer.stemWord(word), number) for number, word in enumerate(words) if number != PADDING]
    return np.array([PADDING, *found], dtype=np.int64)
