"""What AttnGAN's networks are trained on, beside the matching of words and regions (models/word_region_similarity.py).

Must match taoxugit/AttnGAN ``miscc/losses.py`` (parity kind ``losses_damsm``); its cross-entropies of probabilities are
of logits here.

Shape letters: B batch, K size of a condition.
"""

from torch import Tensor
from torch.nn import functional as F

from gan.attngan.discriminators import AttnganDiscriminator


def _real(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as real."""
    return F.softplus(-logits).mean()


def _fake(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as not real, or as not fitting."""
    return F.softplus(logits).mean()


def discriminator_loss(critic: AttnganDiscriminator, real: Tensor, fake: Tensor, sentences: Tensor) -> Tensor:
    """Return the loss of one discriminator: real, drawn, and real with the sentence of the next pair.

    Args:
        critic: the discriminator.
        real: (B, 3, R, R).
        fake: the same, drawn from the same sentences; no gradient flows to them.
        sentences: (B, D); the pairs beside each other must not be of one picture.

    Returns:
        Loss ().
    """
    features, drawn = critic(real), critic(fake.detach())
    fitting, wrong = critic.with_sentence(features, sentences), critic.with_sentence(features[:-1], sentences[1:])
    made = critic.with_sentence(drawn, sentences)
    if critic.alone is None:
        return _real(fitting) + (_fake(made) + _fake(wrong)) / 2
    unfit = _fake(critic.alone(drawn)) + _fake(made) + _fake(wrong)
    return (_real(critic.alone(features)) + _real(fitting)) / 2 + unfit / 3


def generator_loss(critic: AttnganDiscriminator, fake: Tensor, sentences: Tensor) -> Tensor:
    """Return what a generator loses where one discriminator tells its pictures.

    Args:
        critic: the discriminator.
        fake: (B, 3, R, R).
        sentences: (B, D).

    Returns:
        Loss ().
    """
    features = critic(fake)
    loss = _real(critic.with_sentence(features, sentences))
    return loss if critic.alone is None else loss + _real(critic.alone(features))


def condition_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of conditions from the standard normal, the mean over B and K (the public code's scale).

    Args:
        mean: (B, K).
        log_variance: (B, K).

    Returns:
        Kullback-Leibler divergence ().
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
