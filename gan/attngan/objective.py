"""What AttnGAN's networks are trained on, beside the matching of words and regions (models/word_region_similarity.py).

Must match taoxugit/AttnGAN ``miscc/losses.py`` (parity kind ``losses_damsm``); its cross-entropies of probabilities are
of logits here.

Shape letters: B batch, K size of a condition.
"""

from torch import Tensor
from torch.nn import functional as F

from gan.attngan.generator import AttnganError


def _real(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as real."""
    return F.softplus(-logits).mean()


def _fake(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as not real, or as not fitting."""
    return F.softplus(logits).mean()


def discriminator_loss(
    fitting: Tensor, made: Tensor, wrong: Tensor, real: Tensor | None = None, fake: Tensor | None = None
) -> Tensor:
    """Return the loss of one discriminator.

    Args:
        fitting: (B,) logits of real pictures with their sentences.
        made: (B,) of drawn pictures with the sentences that they were drawn from.
        wrong: (B - 1,) of real pictures with the sentence of the next pair, which must be of another picture.
        real: (B,) of real pictures alone; None, with ``fake``, in the DCGAN variant.
        fake: (B,) of drawn pictures alone.

    Returns:
        Loss ().

    Raises:
        AttnganError: there is no wrong sentence, as in a batch of one.
    """
    if not len(wrong):
        raise AttnganError("a discriminator compares with the sentence of the next pair; expected at least two pairs")
    if real is None or fake is None:
        return _real(fitting) + (_fake(made) + _fake(wrong)) / 2
    return (_real(real) + _real(fitting)) / 2 + (_fake(fake) + _fake(made) + _fake(wrong)) / 3


def generator_loss(made: Tensor, fake: Tensor | None = None) -> Tensor:
    """Return what a generator loses where one discriminator tells its pictures.

    Args:
        made: (B,) logits of drawn pictures with their sentences.
        fake: (B,) of drawn pictures alone; None in the DCGAN variant.

    Returns:
        Loss ().
    """
    return _real(made) if fake is None else _real(made) + _real(fake)


def condition_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of conditions from the standard normal, the mean over B and K (the public code's scale).

    Args:
        mean: (B, K).
        log_variance: (B, K).

    Returns:
        Kullback-Leibler divergence ().
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
