"""Draw whole dialogues turn by turn: each image is generated from the one generated before it.

smatsumori/LatteGAN ``src/modules/propv1/model_scain.py``, ``predict_batch`` (arXiv:2112.13985). Differs from the public
code: the averaged image encoder is used, in evaluation mode, the noise on an image is not kept in it, and dialogues
that have ended are not drawn on.

Shape letters: B dialogues, T turns of the longest, N candidates, S words, D size of the text's embeddings, R height and
width of the images, Z size of the noise, K of a condition, Q of a dialogue's state.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from config.limits import Count, Positive, Seed, Weight
from gan.lattegan.discriminators import LatteganDiscriminator, UnetDiscriminator
from gan.lattegan.generator import LatteganGenerator, MultiScaleGenerator
from gan.lattegan.geneva import GenevaDiscriminator, GenevaGenerator
from gan.lattegan.layers import Instructions, LatteganError


@dataclass(frozen=True)
class RollOuts:
    """Drawing of dialogues.

    Attributes:
        candidates: N, whole dialogues that are drawn from other noise; the one whose last turn the discriminator scores
            highest is kept (``num_parallel_search``).
        truncation: noise beyond it is drawn again, in standard deviations; 2 as published, None for no bound.
        image_noise: uniform noise up to this is added to the image before each turn; 1/64 as published.
        seed: of the noise, which depends on this and the dialogue only.
    """

    candidates: Count = 1
    truncation: Positive | None = 2.0
    image_noise: Weight = 1 / 64
    seed: Seed = 0


class Networks(NamedTuple):
    """What draws, and what chooses among candidates."""

    image_encoder: nn.Module
    generator: LatteganGenerator | MultiScaleGenerator | GenevaGenerator
    discriminator: LatteganDiscriminator | UnetDiscriminator | GenevaDiscriminator


class Drawn(NamedTuple):
    """L images: the turns of one dialogue, or one turn of several."""

    images: Tensor  # (L, 3, R, R) in [-1, 1]
    gates: Tensor | None  # (L, H, W) in 0-1, the mean over channels, high where nothing changes
    scores: Tensor  # (L,) logits of the discriminator


@torch.no_grad()
def roll_out(
    networks: Networks,
    background: Tensor,
    turns: Instructions | Tensor,
    nturns: Tensor,
    draws: Sequence[torch.Generator],
    settings: RollOuts,
) -> list[Drawn]:
    """Draw B dialogues.

    Args:
        networks: in evaluation mode.
        background: (3, R, R) in [-1, 1], before the first turn.
        turns: sentences (B, T, D), words (B, T, S, D) and lengths (B, T); or states (B, T, Q) of GeNeVA-GAN.
        nturns: (B,), 1 to T.
        draws: B generators of noise on the CPU, one for each dialogue.
        settings: number of candidates and noise.

    Returns:
        The dialogues, each of its own length.

    Raises:
        LatteganError: a dialogue has no turn, or sizes do not fit.
    """
    lengths, count = nturns.tolist(), settings.candidates
    most = (turns if isinstance(turns, Tensor) else turns.sentences).shape[1]
    if not lengths or min(lengths) < 1 or max(lengths) > most:
        raise LatteganError(f"found dialogues of {lengths} turns, expected 1 to {most} each")
    kept: list[list[tuple[Tensor, Tensor | None, Tensor]]] = [[] for _ in lengths]
    start = background.expand(count, *background.shape)
    with cached():  # spectral norms, whose weights stay
        for turn in range(max(lengths)):
            rows = [row for row, length in enumerate(lengths) if length > turn]
            before = torch.stack([kept[row][-1][0] if turn else start for row in rows]).flatten(0, 1)
            now = _at(turns, rows, turn, count)
            made = next_turn(networks, before, now, [draws[row] for row in rows], settings)
            images, scores = (part.unflatten(0, (-1, count)) for part in (made.images, made.scores))
            gates = None if made.gates is None else made.gates.unflatten(0, (-1, count))
            for at, row in enumerate(rows):
                kept[row].append((images[at], None if gates is None else gates[at], scores[at]))
    return [_chosen(dialogue) for dialogue in kept]


@torch.no_grad()
def next_turn(
    networks: Networks,
    before: Tensor,
    now: Instructions | Tensor,
    draws: Sequence[torch.Generator],
    settings: RollOuts,
) -> Drawn:
    """Draw one more turn of B dialogues, N candidates of each.

    Args:
        networks: in evaluation mode.
        before: (B N, 3, R, R) in [-1, 1], the candidates of a dialogue one behind the other.
        now: instructions of B N, or states (B N, Q).
        draws: B generators of noise on the CPU, one for each dialogue.
        settings: number of candidates and noise.

    Returns:
        Images, gates and scores of B N.

    Raises:
        LatteganError: sizes do not fit.
    """
    noise = [_noise(one, networks.generator, tuple(before.shape[1:]), settings) for one in draws]
    of_images, latents, variation = (torch.cat(part).to(before.device) for part in zip(*noise, strict=True))
    before = before + settings.image_noise * of_images
    made = networks.generator(latents, now, networks.image_encoder(before), variation)
    gates = None if made.gate is None else made.gate.mean(dim=1)
    return Drawn(made.images, gates, _scores(networks.discriminator, before, made.images, now))


def _scores(judge: nn.Module, before: Tensor, images: Tensor, now: Instructions | Tensor) -> Tensor:
    """Return the discriminator's logits (B N,); a U-Net's pixels are left out."""
    if isinstance(judge, UnetDiscriminator):
        return judge.compare(judge.features(before), judge.features(images), now, pixels=False).fitting
    return judge(before, images, now).fitting


def _at(turns: Instructions | Tensor, rows: list[int], turn: int, count: int) -> Instructions | Tensor:
    """Return what is said in one turn of some dialogues, for each of ``count`` candidates."""
    if isinstance(turns, Tensor):
        return turns[rows, turn].repeat_interleave(count, dim=0)
    return Instructions(*(part[rows, turn].repeat_interleave(count, dim=0) for part in turns))


def _chosen(turns: list[tuple[Tensor, Tensor | None, Tensor]]) -> Drawn:
    """Return the candidate whose last turn has the highest score."""
    best = int(turns[-1][2].argmax())

    def of(part: Callable[[tuple], Tensor]) -> Tensor:
        return torch.stack([part(turn)[best] for turn in turns])

    gates = None if turns[0][1] is None else of(lambda turn: turn[1])
    return Drawn(of(lambda turn: turn[0]), gates, of(lambda turn: turn[2]))


def _noise(
    draws: torch.Generator, generator: nn.Module, shape: tuple[int, ...], how: RollOuts
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw noise on images (N, 3, R, R), latents (N, Z) and variations (N, K) of one dialogue's next turn."""
    of_images = torch.rand(how.candidates, *shape, generator=draws)
    latents = truncated_normal((how.candidates, generator.noise_dim), how.truncation, draws)
    return of_images, latents, torch.randn(how.candidates, generator.condition_dim, generator=draws)


def truncated_normal(shape: tuple[int, ...], bound: float | None, draws: torch.Generator) -> Tensor:
    """Draw from the standard normal within ``bound`` standard deviations, by its inverse distribution function."""
    if bound is None:
        return torch.randn(shape, generator=draws)
    most = math.erf(bound / math.sqrt(2))
    uniform = torch.rand(shape, generator=draws, dtype=torch.float64) * 2 - 1
    return (math.sqrt(2) * torch.erfinv(most * uniform)).float()
