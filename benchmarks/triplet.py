"""Ranking losses forward and backward, against loops over samples as the published code has them.

    python -m benchmarks.triplet

Two kinds of rows: losses of a given similarity matrix against a loop over its rows, and losses from the maps of the two
networks against a loop that makes three matchmaps per sample (or, for the semi-hard loss, one per pair).
"""

from collections.abc import Callable

import torch
from torch import Tensor

import losses
from benchmarks.table import Row, best_times, devices, options, print_table
from losses import draw_impostors
from models.matchmap import aligned_similarity, similarity

MARGIN = 1.0


def misa(image: Tensor, speech: Tensor) -> Tensor:
    """Compute MISA of one ``image`` (D, H, W) and one spoken caption ``speech`` (D, T), a scalar."""
    table = torch.mm(image.flatten(1).t(), speech).view(*image.shape[1:], -1)
    return table.max(0).values.max(0).values.mean()


def loop_rank(image: Tensor, speech: Tensor, image_impostors: list[int], speech_impostors: list[int]) -> Tensor:
    """Compute three matchmaps and two hinges for each sample of maps (B, D, H, W) and (B, D, T)."""
    loss = torch.zeros((), device=image.device)
    for i, (a, b) in enumerate(zip(image_impostors, speech_impostors, strict=True)):
        anchor = misa(image[i], speech[i])
        for impostor in (misa(image[a], speech[i]), misa(image[i], speech[b])):
            difference = MARGIN + impostor - anchor
            if (difference.detach() > 0).all():
                loss = loss + difference
    return loss / len(image)


def loop_matrix(image: Tensor, speech: Tensor) -> Tensor:
    """Compute one matchmap for each pair of ``image`` (I, D, H, W) and ``speech`` (S, D, T), scores (I, S)."""
    rows = [torch.stack([misa(one_map, caption) for caption in speech]) for one_map in image]
    return torch.stack(rows)


def loop_rows(scores: Tensor, choose: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Compute the mean hinge over rows of (B, B) scores; ``choose`` gives a row's impostor score from its number."""
    loss = torch.zeros((), device=scores.device)
    for i in range(len(scores)):
        loss = loss + (choose(scores[i], i) - scores[i, i] + MARGIN).clamp(min=0)
    return loss / len(scores)


def _semi_hard(row: Tensor, i: int) -> Tensor:
    return (row * (row < row[i])).max()


def _hardest(row: Tensor, i: int) -> Tensor:
    return torch.cat([row[:i], row[i + 1 :]]).max()


def backward(compute: Callable[[], Tensor], leaves: list[Tensor]) -> Callable[[], None]:
    """Return one call that makes ``compute`` and its gradients with respect to ``leaves``."""

    def call() -> None:
        torch.autograd.grad(compute(), leaves)

    return call


def matrix_rows(n: int, device: str, repeats: int) -> list[Row]:
    """Measure losses of a given ``n`` x ``n`` matrix."""
    scores = torch.randn(n, n, device=device, requires_grad=True)
    chosen = draw_impostors(n).to(device)
    picks = chosen.tolist()
    pairs = {
        "sampled_triplet": (
            lambda: losses.sampled_triplet(scores, chosen),
            lambda: loop_rows(scores, lambda row, i: row[picks[i]]),
        ),
        "semi_hard_triplet": (lambda: losses.semi_hard_triplet(scores), lambda: loop_rows(scores, _semi_hard)),
        "hard_triplet": (lambda: losses.hard_triplet(scores), lambda: loop_rows(scores, _hardest)),
    }
    rows = []
    for name, (ours, slow) in pairs.items():
        torch.testing.assert_close(ours(), slow())
        seconds, baseline = best_times(
            *(backward(way, [scores]) for way in (ours, slow)), repeats=repeats, device=device
        )
        rows.append(Row(f"{name}, {device}", seconds, baseline, note=f"of a {n} x {n} matrix"))
    return rows


def map_rows(image: Tensor, speech: Tensor, repeats: int) -> list[Row]:
    """Measure losses from maps (B, D, H, W) and (B, D, T)."""
    n, device = len(image), image.device
    leaves = [image.requires_grad_(), speech.requires_grad_()]
    first, second = draw_impostors(n).to(device), draw_impostors(n).to(device)
    with torch.no_grad():
        scores = similarity(image, speech)
    hard_image, hard_speech = losses.hardest(scores.T).tolist(), losses.hardest(scores).tolist()

    def sampled() -> Tensor:
        positives = aligned_similarity(image, speech)
        return losses.hinge(positives, aligned_similarity(image[first], speech), MARGIN) + losses.hinge(
            positives, aligned_similarity(image, speech[second]), MARGIN
        )

    def mined_loop() -> Tensor:
        with torch.no_grad():
            similarity(image, speech)  # the mining, batched in the published code as well
        return loop_rank(image, speech, hard_image, hard_speech)

    pairs = {
        "sampled_margin_rank": (sampled, lambda: loop_rank(image, speech, first.tolist(), second.tolist())),
        "hard_negative": (lambda: losses.hard_negative(similarity(image, speech)), mined_loop),
        "semi_hard_triplet": (
            lambda: losses.semi_hard_triplet(similarity(image, speech)),
            lambda: loop_rows(loop_matrix(image, speech), _semi_hard),
        ),
    }
    rows = []
    for name, (ours, slow) in pairs.items():
        torch.testing.assert_close(ours(), slow())
        seconds, baseline = best_times(*(backward(way, leaves) for way in (ours, slow)), repeats=repeats, device=device)
        rows.append(Row(f"{name}, {device}", seconds, baseline, note=f"from the maps of {n} pairs"))
    return rows


def main() -> None:
    """Read the sizes, measure, print the table."""
    read = options(
        __doc__,
        {
            "batch": (128, "pairs"),
            "channels": (512, "channels of both maps"),
            "resolution": (8, "image positions along height and width"),
            "frames": (32, "frames of a speech map"),
            "repeats": (3, "timed calls, the best counts"),
        },
    )
    torch.manual_seed(0)
    rows = []
    for device in devices():
        # Scaled so that scores are around 1, as trained networks have them.
        scale = read.channels**-0.25
        image = scale * torch.randn(read.batch, read.channels, read.resolution, read.resolution, device=device)
        speech = scale * torch.randn(read.batch, read.channels, read.frames, device=device)
        rows += matrix_rows(read.batch, device, read.repeats) + map_rows(image, speech, read.repeats)
    print_table(f"Losses, forward and backward, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()
