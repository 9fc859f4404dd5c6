"""Every loss that a task calls.

    ranking, one way        sampled_triplet, semi_hard_triplet, hard_triplet, margin_triplet, masked_margin_softmax
    ranking, both ways      sampled_margin_rank, hard_negative (system 1)
    ranking, edited images  edited_negatives, edited_negatives_each, edited_and_sampled, edited_and_hard (system 1)
    their parts             hinge, hardest, draw_impostors, leave_out_same_image
    composed images         rolled_ranking (system 5)
    captions and images     matching_losses (system 3)
    adversarial             wasserstein_discriminator, wasserstein_generator, hinge_discriminator, hinge_generator,
                            logistic_discriminator, logistic_generator, relativistic_discriminator,
                            relativistic_generator
    with sentences          attngan_discriminator, attngan_generator, condition_divergence, wrong_captions,
                            matching_hinge (system 3)
    gradient penalties      gradient_penalty, r1_penalty, r1_penalty_each, squared_gradients, matching_penalty
    objects in images       object_detection, object_location, object_points (system 5's localiser)
    weights and features    orthogonal_regularisation, group_lasso, visual_pivot

A ranking loss takes a similarity matrix (B, B): rows are queries, column i is the match of row i. It is a mean over
rows and goes one way, from rows to columns; the other way is the same loss of ``similarity.T``. System 1's losses go
both ways at once, as published, and take image rows and speech columns. All raise a LossError if B is below 2 or a
shape does not fit. Margins are in units of similarity. Similarities of maps are in models/matchmap.py.

Logits of an adversarial loss are (B,), larger for images taken as real, or (B, K) of K discriminators: the loss is the
mean over the batch and the sum over discriminators.

Sources: wnhsu/ResDAVEnet-VQ ``steps/util.py`` (sampled and semi-hard triplets, arXiv:1911.09602) and
surisdi/learning-by-drawing ``losses.py`` (hard and edited negatives). AttnGAN's must match taoxugit/AttnGAN
``miscc/losses.py`` (parity kind ``losses_damsm``); its cross-entropies of probabilities are of logits here.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import UserError
from config.limits import Chance, Positive, Weight


class LossError(UserError, ValueError):
    """A batch on which a loss is not defined."""


# -- parts of ranking losses ------------------------------------------------------------------------------------------


def _positives(similarity: Tensor) -> Tensor:
    """The matches' similarities (B,), after checking that there are impostors to compare them with."""
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
        raise LossError(
            f"Expected a square similarity matrix (B, B), got {tuple(similarity.shape)}. "
            "Compare each image of the batch with each spoken caption of the same batch."
        )
    if similarity.shape[0] < 2:
        raise LossError(
            f"A ranking loss needs at least 2 pairs, got {similarity.shape[0]}: there is no impostor. "
            "Raise the batch size, or drop the last incomplete batch."
        )
    return similarity.diagonal()


def _picked(similarity: Tensor, impostors: Tensor) -> Tensor:
    """Entry ``impostors[i]`` of each row i (B,)."""
    if impostors.shape != similarity.shape[:1]:
        raise LossError(f"Expected one impostor per row, ({len(similarity)},), got {tuple(impostors.shape)}.")
    return similarity.gather(1, impostors.to(similarity.device, torch.int64)[:, None]).squeeze(1)


def _others(similarity: Tensor) -> Tensor:
    """The matrix with -inf on the diagonal."""
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return similarity.masked_fill(own, -torch.inf)


def hinge(positives: Tensor, impostors: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, impostor - positive + margin), the building block of the losses below.

    With :func:`models.matchmap.aligned_similarity` it gives the sampled losses in time linear in B.

    Args:
        positives: similarities of matching pairs (B,).
        impostors: similarities of mismatched pairs (B,).
        margin: amount by which a match must be better, in units of similarity.
    """
    return (impostors - positives + margin).relu().mean()


def hardest(similarity: Tensor) -> Tensor:
    """Return the best other column of each row, the lowest among equals.

    Args:
        similarity: (B, B).

    Returns:
        Indices (B,) int64.
    """
    _positives(similarity)
    return _others(similarity.detach()).argmax(dim=1)


def draw_impostors(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw for each of ``n`` rows another row of the batch, all others equally likely: (n,) int64 on the CPU.

    The draws come from ``generator``, on the CPU; from torch's own when None.
    """
    if n < 2:
        raise LossError(f"An impostor needs at least 2 pairs, got {n}. Give more pairs, or raise the batch size.")
    draws = torch.randint(n - 1, (n,), generator=generator)
    return draws + (draws >= torch.arange(n))


def leave_out_same_image(scores: Tensor, images: Tensor) -> Tensor:
    """Lower the scores (B, B) of pairs that share an image without being a pair: no loss takes them for impostors.

    ``images`` (B,) numbers the image of each pair.
    """
    shared = images[:, None] == images[None, :]
    shared.fill_diagonal_(False)
    return scores.masked_fill(shared, -1e4)


# -- ranking, one way: from rows to columns ---------------------------------------------------------------------------


def sampled_triplet(similarity: Tensor, impostors: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against one given impostor per row.

    Args:
        similarity: (B, B).
        impostors: column of each row's impostor (B,) int64, drawn by the task.
        margin: amount by which a match must be better.
    """
    return hinge(_positives(similarity), _picked(similarity, impostors), margin)


def semi_hard_triplet(
    similarity: Tensor, margin: Weight = 1.0, masking: Literal["published", "proper"] = "published"
) -> Tensor:
    """Return the mean hinge against the best impostor that is still worse than the match.

    Args:
        similarity: (B, B).
        margin: amount by which a match must be better.
        masking: ``published`` counts entries that are not eligible as similarity 0, so that a row whose eligible
            entries are all negative, or that has none, meets an impostor of score 0. ``proper`` leaves them out; a row
            without an eligible impostor adds 0.
    """
    positives = _positives(similarity)
    eligible = similarity < positives[:, None]
    if masking == "published":
        return hinge(positives, (similarity * eligible).max(dim=1).values, margin)
    if masking != "proper":
        raise LossError(f"Unknown masking {masking!r}: use 'published' or 'proper'.")
    best = similarity.masked_fill(~eligible, -torch.inf).max(dim=1).values
    return hinge(positives, best, margin)


def hard_triplet(similarity: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against the best impostor of each row.

    Args:
        similarity: (B, B).
        margin: amount by which a match must be better.
    """
    return sampled_triplet(similarity, hardest(similarity), margin)


def margin_triplet(similarity: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against all B - 1 impostors of each row.

    Args:
        similarity: (B, B).
        margin: amount by which a match must be better.
    """
    losses = (_others(similarity) - _positives(similarity)[:, None] + margin).relu()
    return losses.sum() / (len(losses) * (len(losses) - 1))


def masked_margin_softmax(similarity: Tensor, margin: Weight = 0.0, temperature: Positive = 1.0) -> Tensor:
    """Return the cross-entropy of the match against all B - 1 impostors of each row, the match lowered by a margin.

    With margin 0 it is InfoNCE (arXiv:1807.03748); masked margin softmax is Ilharco et al., arXiv:1909.08782, where the
    margin grows during training. Every impostor pulls from the first step on, the near ones most.

    Args:
        similarity: (B, B).
        margin: amount subtracted from the match before the softmax.
        temperature: similarities are divided by it.
    """
    if temperature <= 0:
        raise LossError(f"The temperature is {temperature}, expected a positive number, e.g. 1 or 0.07.")
    positives = _positives(similarity)
    logits = (similarity - torch.diag_embed(torch.full_like(positives, margin))) / temperature
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


# -- ranking, both ways at once: system 1 -----------------------------------------------------------------------------


def sampled_margin_rank(
    similarity: Tensor, image_impostors: Tensor, speech_impostors: Tensor, margin: Weight = 1.0
) -> Tensor:
    """Return the hinges against a sampled image and a sampled spoken caption of each pair, summed.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        image_impostors: impostor image of each spoken caption (B,) int64.
        speech_impostors: impostor spoken caption of each image (B,) int64.
        margin: amount by which a match must be better.
    """
    return sampled_triplet(similarity, speech_impostors, margin) + sampled_triplet(
        similarity.T, image_impostors, margin
    )


def hard_negative(similarity: Tensor, margin: Weight = 1.0, mining: Tensor | None = None) -> Tensor:
    """Return the hinges against the best impostor image and the best impostor spoken caption of each pair, summed.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        margin: amount by which a match must be better.
        mining: matrix (B, B) that chooses the impostors. None: ``similarity`` itself. As published it is the MISA
            matrix with the dot product, also where the loss uses cosine.
    """
    mining = similarity if mining is None else mining
    return sampled_margin_rank(similarity, hardest(mining.T), hardest(mining), margin)


# -- ranking against edited images: system 1 --------------------------------------------------------------------------


def edited_negatives_each(positives: Tensor, edited: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return margin + edited - positive for each pair, without the hinge (the published vectorised form).

    Args:
        positives: similarity of each pair (B,), or the matrix (B, B) whose diagonal it is.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: amount by which a match must be better.

    Returns:
        Differences (B,).
    """
    positives = positives.diagonal() if positives.dim() == 2 else positives
    if positives.shape != edited.shape or edited.dim() != 1:
        raise LossError(
            f"Expected one similarity per pair, twice (B,), got {tuple(positives.shape)} and {tuple(edited.shape)}. "
            "Edit one image for each pair of the batch."
        )
    return margin + edited - positives


def edited_negatives(positives: Tensor, edited: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge of each pair against its own edited image; works for a single pair.

    Args:
        positives: similarity of each pair (B,), or the matrix (B, B) whose diagonal it is.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: amount by which a match must be better.
    """
    return edited_negatives_each(positives, edited, margin).relu().mean()


def edited_and_sampled(
    similarity: Tensor, edited: Tensor, image_impostors: Tensor, speech_impostors: Tensor, margin: Weight = 1.0
) -> Tensor:
    """Return sampled_margin_rank with the better of sampled and edited image as impostor image.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        image_impostors: impostor image of each spoken caption (B,) int64.
        speech_impostors: impostor spoken caption of each image (B,) int64.
        margin: amount by which a match must be better.
    """
    positives = _positives(similarity)
    sampled = margin + _picked(similarity.T, image_impostors) - positives
    worst = torch.maximum(sampled, edited_negatives_each(positives, edited, margin))
    return sampled_triplet(similarity, speech_impostors, margin) + worst.relu().mean()


def edited_and_hard(similarity: Tensor, edited: Tensor, margin: Weight = 1.0, mining: Tensor | None = None) -> Tensor:
    """Return hard_negative with the better of hard and edited image as impostor image.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: amount by which a match must be better.
        mining: matrix that chooses the impostors, see :func:`hard_negative`.
    """
    mining = similarity if mining is None else mining
    return edited_and_sampled(similarity, edited, hardest(mining.T), hardest(mining), margin)


# -- captions and images, of scores of models/word_region_similarity.py: system 3 -------------------------------------


def matching_losses(scores: Tensor, temperature: float = 0.1, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the cross-entropies of the own caption, and of the own image, among all of a batch.

    Args:
        scores: (B, B) of images and captions, matches on the diagonal.
        temperature: 1 / gamma 3.
        classes: (B,) of the pairs; other pairs of the same class are no impostors.

    Returns:
        Cross-entropy () of captions given an image, and of images given a caption.
    """
    logits, own = scores / temperature, torch.arange(len(scores), device=scores.device)
    if classes is not None:
        same = (classes[:, None] == classes) & (own[:, None] != own)
        logits = logits.masked_fill(same, -torch.inf)
    return F.cross_entropy(logits, own), F.cross_entropy(logits.T, own)


# -- adversarial networks ---------------------------------------------------------------------------------------------


def _mean(terms: Tensor) -> Tensor:
    """Average over the batch, add over discriminators."""
    return terms.sum() / len(terms)


def wasserstein_discriminator(real: Tensor, fake: Tensor, drift: float = 0.001) -> Tensor:
    """Critic loss E[D(fake)] - E[D(real)] + drift * E[D(real)^2].

    Wasserstein GAN: arXiv:1701.07875; the drift term keeps the outputs near zero: arXiv:1710.10196, appendix A.1.

    Args:
        real: (B,) or (B, discriminators) logits of real images.
        fake: the same of generated ones.
        drift: weight of the drift term, 0.001 as published.
    """
    return _mean(fake) - _mean(real) + drift * _mean(real.square())


def wasserstein_generator(fake: Tensor) -> Tensor:
    """Generator loss -E[D(fake)]. arXiv:1701.07875.

    Args:
        fake: (B,) or (B, discriminators) logits of generated images.
    """
    return -_mean(fake)


def hinge_discriminator(real: Tensor, fake: Tensor, wrong: Tensor | None = None, wrong_share: Chance = 0.5) -> Tensor:
    """Hinge loss E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))]. arXiv:1705.02894, of BigGAN (arXiv:1809.11096).

    With mismatched pairs the second term is shared: (1 - w) E[max(0, 1 + D(fake))] + w E[max(0, 1 + D(wrong))], as in
    GeNeVA-GAN and LatteGAN (parity kind ``geneva_losses``).

    Args:
        real: (B,) or (B, discriminators) logits of real images.
        fake: the same of generated ones, of which there may be another number.
        wrong: of real images with an instruction that is not theirs.
        wrong_share: w (``wrong_fake_ratio``).
    """
    made = _mean(F.relu(1 + fake))
    if wrong is not None:
        made = (1 - wrong_share) * made + wrong_share * _mean(F.relu(1 + wrong))
    return _mean(F.relu(1 - real)) + made


def hinge_generator(fake: Tensor) -> Tensor:
    """Generator loss -E[D(fake)] that belongs to the hinge loss, the same as Wasserstein's.

    Args:
        fake: (B,) or (B, discriminators) logits of generated images.
    """
    return wasserstein_generator(fake)


def logistic_discriminator(
    real: Tensor, fake: Tensor, wrong: Tensor | None = None, wrong_share: Chance = 0.5
) -> Tensor:
    """Cross-entropy E[-log s(D(real))] + E[-log(1 - s(D(fake)))]. arXiv:1406.2661; ``classical`` of GeNeVA-GAN.

    With mismatched pairs the second term is shared as in :func:`hinge_discriminator`; the public code of GeNeVA-GAN
    fails there.

    Args:
        real: (B,) or (B, discriminators) logits of real images.
        fake: the same of generated ones.
        wrong: of real images with an instruction that is not theirs.
        wrong_share: of the second term.
    """
    made = _mean(F.softplus(fake))
    if wrong is not None:
        made = (1 - wrong_share) * made + wrong_share * _mean(F.softplus(wrong))
    return _mean(F.softplus(-real)) + made


def logistic_generator(fake: Tensor) -> Tensor:
    """Generator loss E[-log s(D(fake))] that belongs to the cross-entropy, in its form that does not saturate.

    Args:
        fake: (B,) or (B, discriminators) logits of generated images.
    """
    return _mean(F.softplus(-fake))


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Pairwise logistic loss E[-log s(D(real_i) - D(fake_i))]: real images must score above generated ones.

    Relativistic pairing: arXiv:1807.00734; with penalties on both sides it keeps all modes: arXiv:2501.05441.

    Args:
        real: (B,) or (B, discriminators) logits of real images.
        fake: the same shape, of the generated image that each is paired with.
    """
    return _mean(F.softplus(fake - real))


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Generator loss E[-log s(D(fake_i) - D(real_i))]. arXiv:1807.00734.

    Args:
        real: (B,) or (B, discriminators) logits of real images.
        fake: the same shape, of the generated image that each is paired with.
    """
    return _mean(F.softplus(real - fake))


# -- adversarial networks that also see sentences: system 3 -----------------------------------------------------------


def _real(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as real."""
    return F.softplus(-logits).mean()


def _fake(logits: Tensor) -> Tensor:
    """Cross-entropy to be taken as not real, or as not fitting."""
    return F.softplus(logits).mean()


def attngan_discriminator(
    fitting: Tensor, made: Tensor, wrong: Tensor, real: Tensor | None = None, fake: Tensor | None = None
) -> Tensor:
    """Return the loss of one discriminator.

    Args:
        fitting: (B,) logits of real images with their sentences.
        made: (B,) of generated images with the sentences that they were generated from.
        wrong: (W,) of real images with the sentence of another pair, which must be of another image; as published it is
            the next one, W = B - 1.
        real: (B,) of real images alone; None, with ``fake``, in the DCGAN variant.
        fake: (B,) of generated images alone.

    Raises:
        LossError: there is no wrong sentence, as in a batch of one.
    """
    if not len(wrong):
        raise LossError("a discriminator compares with the sentence of another pair; expected at least two pairs")
    if real is None or fake is None:
        return _real(fitting) + (_fake(made) + _fake(wrong)) / 2
    return (_real(real) + _real(fitting)) / 2 + (_fake(fake) + _fake(made) + _fake(wrong)) / 3


def attngan_generator(made: Tensor, fake: Tensor | None = None) -> Tensor:
    """Return the generator's loss against one discriminator.

    Args:
        made: (B,) logits of generated images with their sentences.
        fake: (B,) of generated images alone; None in the DCGAN variant.
    """
    return _real(made) if fake is None else _real(made) + _real(fake)


def condition_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of conditions from the standard normal, the mean over B and K (the public code's scale).

    Args:
        mean: (B, K).
        log_variance: (B, K).

    Returns:
        Kullback-Leibler divergence ().
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def wrong_captions(classes: Tensor, pairing: Literal["another_class", "published"] = "another_class") -> Tensor:
    """Return for each pair of a batch the row whose sentence does not fit its image, (B,) int64; -1 where none does.

    Args:
        classes: (B,) of the pairs.
        pairing: ``another_class`` takes the next pair of another class, in a circle; ``published`` the next pair, which
            may be of the same class, and none for the last (taoxugit/AttnGAN ``miscc/losses.py``).
    """
    count = len(classes)
    rows = torch.arange(count, device=classes.device)
    if pairing == "published":
        return torch.where(rows + 1 < count, rows + 1, -1)
    ahead = (rows[:, None] + rows[None, :]) % count  # row i: i, i + 1, ... in a circle
    other = classes[ahead] != classes[:, None]
    first = other.to(torch.uint8).argmax(dim=1)
    return torch.where(other.any(dim=1), ahead[rows, first], -1)


def matching_hinge(fitting: Tensor, made: Tensor, wrong: Tensor) -> Tensor:
    """Return the hinge loss of a discriminator with one logit: real and fitting above 1, all else below -1.

    Args:
        fitting: (B,) logits of real images with their sentences.
        made: (B,) of generated images with the sentences that they were generated from.
        wrong: (W,) of real images with the sentences of other images; it counts as 0 where W is 0.
    """
    wrongly = (1 + wrong).relu().sum() / max(1, len(wrong))
    return (1 - fitting).relu().mean() + ((1 + made).relu().mean() + wrongly) / 2


# -- gradient penalties -----------------------------------------------------------------------------------------------


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Two-sided penalty E[(|grad D(x)| - 1)^2] at points between real and generated images. arXiv:1704.00028.

    Args:
        critic: images (B, 3, R, R), or features (B, X), to logits.
        real: (B, 3, R, R) or (B, X).
        fake: the same shape, its gradient is not followed.
        mix: (B,) in 0-1, the share of the generated image at each point.
    """
    points = torch.lerp(real, fake.detach(), mix.view(-1, *[1] * (real.dim() - 1))).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def r1_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Mean squared gradient norm E[|grad D(x)|^2]; weigh it by gamma / 2. R1 takes real images, R2 generated ones.

    arXiv:1801.04406, section 4.1.

    Args:
        critic: images (B, 3, R, R) to logits.
        images: (B, 3, R, R).
    """
    return r1_penalty_each(critic, images).mean()


def r1_penalty_each(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Squared gradient norm |grad D(x)|^2 of each image (B,); arguments as of :func:`r1_penalty`."""
    points = images.detach().requires_grad_()
    return squared_gradients(critic(points), points)


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """Squared gradient norm (B,) of logits (B,) by the images (B, 3, R, R) that they were computed from."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1)


def object_detection(
    logits: Tensor, there: Tensor, class_weights: Tensor, positive_weight: Weight = 2.0, label: Chance = 0.9
) -> Tensor:
    """Cross-entropy of each class weighted, summed over classes; of GeNeVA's localiser (its ``WeightedBCE``).

    Args:
        logits: (B, K) that an object of each class is in the image.
        there: (B, K) 0 and 1.
        class_weights: (K,).
        positive_weight: of the term of objects that are there, the other's is 1.
        label: target of objects that are there, 0 of the others.
    """
    target = label * there
    terms = positive_weight * target * F.softplus(-logits) + (1 - target) * F.softplus(logits)
    return (terms.mean(dim=0) * class_weights).sum()


def object_location(locations: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """Squared error of the coordinates of objects that are there, summed over objects, the mean over B.

    Maluuba/GeNeVA sums over the batch too and weighs the sum by 1e-4: with its 128 images that is 0.0128 of this.

    Args:
        locations: (B, K, C).
        truth: (B, K, C).
        there: (B, K) 0 and 1.
    """
    return ((locations - truth).square().sum(dim=2) * there).sum(dim=1).mean()


def object_points(maps: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """Cross-entropy of the cell that an object is in, among all cells of its class's map; the mean over objects.

    Args:
        maps: (B, F, H, W) logits, the first K of the classes.
        truth: (B, K, C) coordinates, x and y first, in 0-1.
        there: (B, K) 0 and 1.
    """
    height, width = maps.shape[2:]
    columns, rows = ((truth[..., at] * size).long().clamp(0, size - 1) for at, size in ((0, width), (1, height)))
    rows_of = maps[:, : there.shape[1]].flatten(2)
    found = F.cross_entropy(rows_of.flatten(0, 1), (rows * width + columns).flatten(), reduction="none")
    return (found * there.flatten()).sum() / there.sum().clamp(min=1)


def matching_penalty(
    score: Callable[[Tensor, Tensor], Tensor], images: Tensor, sentences: Tensor, power: float = 6.0
) -> Tensor:
    """Return E[|grad D(x, s)|^power] at real images with their sentences, the gradient by both. DF-GAN, section 3.3.

    Args:
        score: images (B, 3, R, R) and sentences (B, D) to logits (B,).
        images: (B, 3, R, R).
        sentences: (B, D).
        power: 6 as published.
    """
    points = [value.detach().requires_grad_() for value in (images, sentences)]
    gradients = torch.autograd.grad(score(*points).sum(), points, create_graph=True)
    joined = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
    return joined.norm(dim=1).pow(power).mean()


# -- weights and features ---------------------------------------------------------------------------------------------


def orthogonal_regularisation(weights: Iterable[Tensor]) -> Tensor:
    """Half the sum over weights of |W W^T o (1 - I)|^2: rows become orthogonal, of any norm.

    It lets a generator bear truncation (arXiv:1809.11096, equation 3, whose public code has the half); weigh it by 1e-4
    as published.

    Args:
        weights: two axes or more, of which all but the first are flattened; BigGAN leaves out the classes' embedding.
    """
    total = torch.zeros(())
    for weight in weights:
        matrix = weight.flatten(1)
        products = matrix @ matrix.T
        total = total.to(products) + (products - products.diagonal().diag()).square().sum() / 2
    return total


def rolled_ranking(made: Tensor, target: Tensor, margin: Weight = 0.3, others: int = 1) -> Tensor:
    """Hinge of composed images against the next targets of the batch, and of targets against the next composed ones.

    Similarities are cosines; row i meets rows i + 1 ... i + ``others``, both ways, each a mean. smatsumori/LatteGAN
    ``src/modules/retrieval/model.py`` (``loss_type: ranking``).

    Args:
        made: (B, D) features composed of an image and an instruction.
        target: (B, D) those of the image that it should become.
        margin: of the hinge.
        others: k, rows that each row meets.
    """
    if len(made) < 2:
        raise LossError(
            f"A ranking loss needs at least 2 pairs, got {len(made)}: there is no other. Raise the batch size."
        )
    fitting = F.cosine_similarity(made, target)
    terms = [
        F.relu(margin - fitting + other).mean()
        for shift in range(1, others + 1)
        for other in (
            F.cosine_similarity(made, target.roll(-shift, 0)),
            F.cosine_similarity(made.roll(-shift, 0), target),
        )
    ]
    return torch.stack(terms).sum() / others


def group_lasso(weight: Tensor) -> Tensor:
    """Return |W|_{2,1} = sum_j sqrt(sum_i W_ij^2), the sum of the columns' norms: it takes whole inputs to zero.

    Of a layer that reads one input per word, it silences words ("A Generative Adversarial Approach for Zero-Shot
    Learning from Noisy Texts", arXiv:1712.01381; EthanZhu90/ZSL_GAN weighs it 1e-4). The gradient of a column that is 0
    is 0, where the public code's is not a number.

    Args:
        weight: (R, V), a column for each input.
    """
    return torch.linalg.vector_norm(weight, dim=0).sum()


def visual_pivot(features: Tensor, classes: Tensor, pivots: Tensor) -> Tensor:
    """Return (1/C) sum_c |mean of the generated features of class c - pivot of c|, of arXiv:1712.01381.

    Classes that the batch lacks count as 0, as in EthanZhu90/ZSL_GAN; the gradient at distance 0 is 0, where there it
    is not a number.

    Args:
        features: (B, X) generated.
        classes: (B,) int64 below C.
        pivots: (C, X), the mean of each class's real features.
    """
    counts = classes.bincount(minlength=len(pivots))
    sums = torch.zeros_like(pivots).index_add(0, classes, features.to(pivots.dtype))
    there = counts > 0
    means = sums[there] / counts[there, None]
    return torch.linalg.vector_norm(means - pivots[there], dim=1).sum() / len(pivots)
