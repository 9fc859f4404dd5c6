"""GeNeVA-GAN (arXiv:1811.09845), which LatteGAN is compared with: a recurrent reader of instructions drives the GAN.

Must match Maluuba/GeNeVA ``geneva/models`` and ``geneva/definitions`` (parity kind ``geneva``), with the blocks of
LatteGAN, which are theirs. The auxiliary head is of logits here. The detector on the image encoder's features is not
carried: nothing reads it.

Shape letters: B dialogues, T turns, L words, V size of word vectors, D of sentences, P of projected sentences, Q of a
dialogue's state, Z of the noise, K of a condition, C channels of an image's map, R height and width of the images, N
classes of objects.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pack_padded_sequence

from config.limits import Count, Width
from gan.lattegan.discriminators import TurnLogits
from gan.lattegan.generator import GeneratedTurn, Resolution
from gan.lattegan.layers import (
    ACTIVATIONS,
    Activation,
    ConditioningAugmentation,
    DownBlock,
    LatteganError,
    UpBlock,
    linear,
)
from models.batch_norm import BatchNorm


class GenevaSelfAttention(nn.Module):
    """Add to each position a weighted mean of all others, times ``gamma``, which begins at 0 (arXiv:1805.08318)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 8:
            raise LatteganError(
                f"attention was asked of {channels} channels; expected at least 8, of which it keeps 1/8"
            )
        self.key, self.query = (spectral_norm(nn.Conv2d(channels, channels // 8, 1)) for _ in range(2))
        self.value = spectral_norm(nn.Conv2d(channels, channels, 1))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Attend within maps (B, C, H, W)."""
        keys, queries, values = (layer(maps).flatten(2) for layer in (self.key, self.query, self.value))
        weights = (keys.transpose(1, 2) @ queries).softmax(dim=1)
        return self.gamma * (values @ weights).view_as(maps) + maps


class GenevaImageEncoder(nn.Module):
    """Turn the previous image into a map of an eighth of its resolution.

    Args:
        image_dim: C (``image_feat_dim``).
        width: channels of the first block.
        blocks: ``conv``, or ``residual`` (``res_blocks``), whose first block has a ReLU on the image itself.
    """

    def __init__(self, image_dim: Width = 512, width: Width = 64, blocks: Literal["conv", "residual"] = "conv") -> None:
        super().__init__()
        self.image_dim = image_dim
        layers: list[nn.Module] = []
        for before, after in pairwise((3, width, 2 * width, image_dim)):
            if blocks == "residual":
                layers += [DownBlock(before, after, spectral=False, shortcut=True), BatchNorm(after)]
            else:
                layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.ReLU(), BatchNorm(after)]
        if blocks == "conv":
            del layers[-2]  # no ReLU behind the last convolution
        self.blocks = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, R / 8, R / 8) of images (B, 3, R, R) in [-1, 1]."""
        return self.blocks(images)


class GenevaSentenceEncoder(nn.Module):
    """Read the word vectors of an instruction both ways.

    Args:
        word_dim: V, 300 of the published GloVe file.
        text_dim: D (``embedding_dim``), half of it each way.

    Raises:
        LatteganError: D is odd.
    """

    def __init__(self, word_dim: Width = 300, text_dim: Width = 1024) -> None:
        super().__init__()
        if text_dim % 2:
            raise LatteganError(f"text_dim is {text_dim}, expected an even number, half each way")
        self.text_dim = text_dim
        self.rnn = nn.GRU(word_dim, text_dim // 2, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(text_dim)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return sentences (B, D) of vectors (B, L, V), ``lengths`` (B,) of each; 0 counts as one vector."""
        packed = pack_padded_sequence(words, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.rnn(packed)
        return self.norm(last.transpose(0, 1).flatten(1))


class GenevaDialogue(nn.Module):
    """Keep the state of a dialogue from turn to turn.

    Args:
        text_dim: D; given by the task.
        state_dim: Q (``hidden_dim``).
        projected_dim: P (``projected_text_dim``).
    """

    def __init__(self, text_dim: Width = 1024, state_dim: Width = 1024, projected_dim: Width = 1024) -> None:
        super().__init__()
        self.state_dim = state_dim
        self.project, self.norm = nn.Linear(text_dim, projected_dim), BatchNorm(projected_dim)
        self.rnn, self.output = nn.GRU(projected_dim, state_dim), nn.LayerNorm(state_dim)

    def start(self, batch: int, device: torch.device) -> Tensor:
        """Return the state (1, B, Q) before the first turn, zeros."""
        return torch.zeros(1, batch, self.state_dim, device=device)

    def conditions(self, sentences: Tensor) -> Tensor:
        """Project the sentences of T turns (T, B, D) to (T, B, P); each turn is normalised over its own batch."""
        return torch.stack([self.norm(turn) for turn in self.project(sentences)])

    def read(self, conditions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the GAN is told in T turns (T, B, Q), and the next state (1, B, Q)."""
        outputs, state = self.rnn(conditions, state)
        return self.output(outputs), state

    def forward(self, sentences: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the GAN is told (B, Q) and the next state (1, B, Q), given sentences (B, D)."""
        told, state = self.read(self.conditions(sentences[None]), state)
        return told[0], state


class GenevaGenerator(nn.Module):
    """Generate the next image of dialogues.

    Args:
        state_dim: Q; given by the task.
        image_dim: C; with ``gate`` 8 times the width.
        width: channels of the last block; earlier ones have up to 16 times as many.
        condition_dim: K (``conditioning_dim``).
        noise_dim: Z.
        resolution: R, in pixels.
        fusion: stand both maps side by side (``concat``), weigh them by a gate of each channel (``gate``), or leave the
            image out (``none``: ``use_fg`` off).
        augmentation: the condition is drawn from a Gaussian; otherwise it is projected (``cond_kl_reg`` absent).
        spectral: with spectral norm (``generator_sn``).
        activation: of the blocks.
        attention: self-attention in the block behind the fusion.

    Raises:
        LatteganError: maps of other widths cannot be weighed.
    """

    def __init__(
        self,
        state_dim: Width,
        image_dim: Width = 512,
        width: Width = 64,
        condition_dim: Width = 256,
        noise_dim: Width = 100,
        resolution: Resolution = 128,
        fusion: Literal["concat", "gate", "none"] = "concat",
        augmentation: bool = True,
        spectral: bool = False,
        activation: Activation = "leaky_relu",
        attention: bool = False,
    ) -> None:
        super().__init__()
        if fusion == "gate" and image_dim != 8 * width:
            raise LatteganError(
                f"image_dim is {image_dim}, expected {8 * width} (8 times the width) where a gate weighs"
            )
        self.state_dim, self.noise_dim, self.condition_dim = state_dim, noise_dim, condition_dim
        self.resolution, self.image_dim, self.fusion = resolution, image_dim, fusion
        self.first = resolution // 32
        self.augmentation = (
            ConditioningAugmentation(state_dim, condition_dim, spectral=False, positive=True)
            if augmentation
            else nn.Linear(state_dim, condition_dim)
        )
        self.fc = nn.Linear(noise_dim + condition_dim, 16 * width * self.first**2)

        def up(channels: int, out_channels: int, part: nn.Module | None = None) -> UpBlock:
            return UpBlock(channels, out_channels, spectral, "batch", state_dim, activation, True, part)

        self.text = nn.ModuleList((up(16 * width, 16 * width), up(16 * width, 8 * width)))
        fused = 8 * width + (image_dim if fusion == "concat" else 0)
        self.gate = (
            nn.Sequential(
                linear(state_dim, image_dim, False, True), nn.ReLU(), linear(image_dim, image_dim, False, True)
            )
            if fusion == "gate"
            else None
        )
        self.image = nn.ModuleList(
            (
                up(fused, 4 * width, GenevaSelfAttention(4 * width) if attention else None),
                up(4 * width, 2 * width),
                up(2 * width, width),
            )
        )
        self.norm, self.activation = BatchNorm(width), ACTIVATIONS[activation]
        self.conv = nn.Conv2d(width, 3, 3, padding=1, bias=False)

    def forward(
        self, noise: Tensor, states: Tensor, image_maps: Tensor, variation: Tensor | None = None
    ) -> GeneratedTurn:
        """Generate images.

        Args:
            noise: (B, Z), standard normal.
            states: (B, Q), of :class:`GenevaDialogue`.
            image_maps: (B, C, R / 8, R / 8) of the previous images.
            variation: (B, K), standard normal: where in its Gaussian each condition lies. Drawn when None.

        Returns:
            The gate is (B, C, 1, 1), open where the text's map counts. Without augmentation mean is the condition, and
            log-variance 0.

        Raises:
            LatteganError: a size does not fit.
        """
        batch, place = len(noise), self.resolution // 8
        expected = ((batch, self.noise_dim), (batch, self.state_dim), (batch, self.image_dim, place, place))
        if (noise.shape, states.shape, image_maps.shape) != expected:
            raise LatteganError(
                f"found noise {tuple(noise.shape)}, states {tuple(states.shape)} and maps {tuple(image_maps.shape)}; "
                f"expected {expected[0]}, {expected[1]} and {expected[2]}"
            )
        condition, mean, log_variance = self._condition(states, variation)
        maps = self.fc(torch.cat((noise, condition), dim=1)).unflatten(1, (-1, self.first, self.first))
        for block in self.text:
            maps = block(maps, states)
        gate = None
        if self.gate is not None:
            gate = self.gate(states).sigmoid()[:, :, None, None]
            maps = maps * gate + image_maps * (1 - gate)
        elif self.fusion == "concat":
            maps = torch.cat((maps, image_maps), dim=1)
        for block in self.image:
            maps = block(maps, states)
        return GeneratedTurn(self.conv(self.activation(self.norm(maps))).tanh(), gate, mean, log_variance)

    def _condition(self, states: Tensor, variation: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(self.augmentation, nn.Linear):
            condition = self.augmentation(states)
            return condition, condition, torch.zeros_like(condition)
        mean, log_variance = self.augmentation(states)
        variation = torch.randn_like(mean) if variation is None else variation
        return mean + variation * (log_variance / 2).exp(), mean, log_variance


class GenevaDiscriminator(nn.Module):
    """Score images given the previous ones and the states of their dialogues.

    Args:
        state_dim: Q; given by the task.
        num_objects: N; given by the task.
        width: channels of the first block; later ones have up to 16 times as many.
        resolution: R, in pixels.
        comparison: the maps of both images are subtracted or stand side by side (``disc_img_conditioning``), or the
            previous image is left out (``none``: ``use_fd`` off).
        conditioning: the state is multiplied with the features (``projection``) or stands beside the maps.
        condition_channels: of the state beside the maps (``disc_cond_channels``).
        spectral: with spectral norm (``disc_sn``).
        activation: of the blocks.
        attention: self-attention in the first block behind the comparison.
    """

    def __init__(
        self,
        state_dim: Width,
        num_objects: Count,
        width: Width = 64,
        resolution: Resolution = 128,
        comparison: Literal["subtract", "concat", "none"] = "subtract",
        conditioning: Literal["projection", "concat"] = "projection",
        condition_channels: Width = 256,
        spectral: bool = True,
        activation: Activation = "leaky_relu",
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.resolution, self.comparison, self.conditioning = resolution, comparison, conditioning
        self.state_dim, self.activation = state_dim, ACTIVATIONS[activation]

        def down(channels: int, out_channels: int, halve: bool = True, **options: bool | nn.Module | None) -> DownBlock:
            return DownBlock(
                channels, out_channels, spectral, halve=halve, activation=activation, shortcut=halve, **options
            )

        self.each = nn.Sequential(down(3, width, first=True), down(width, 2 * width), down(2 * width, 4 * width))
        compared = 4 * width * (2 if comparison == "concat" else 1)
        compared += condition_channels if conditioning == "concat" else 0
        self.both = nn.Sequential(
            down(compared, 8 * width, attention=GenevaSelfAttention(8 * width) if attention else None),
            down(8 * width, 16 * width),
            down(16 * width, 16 * width, halve=False),
        )
        self.logit = nn.Linear(16 * width, 1)
        if spectral:
            self.logit = spectral_norm(self.logit)
        told = 16 * width if conditioning == "projection" else condition_channels
        self.condition = nn.Sequential(nn.Linear(state_dim, 16 * width), nn.ReLU(), nn.Linear(16 * width, told))
        self.objects = nn.Sequential(nn.Linear(16 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, num_objects))

    def forward(self, previous: Tensor, images: Tensor, states: Tensor) -> TurnLogits:
        """Score images (B, 3, R, R) in [-1, 1] and what became of the previous ones, given states (B, Q).

        Raises LatteganError where a size does not fit.
        """
        expected = (len(states), 3, self.resolution, self.resolution)
        if previous.shape != expected or images.shape != expected or states.shape[1:] != (self.state_dim,):
            raise LatteganError(
                f"found previous images {tuple(previous.shape)}, images {tuple(images.shape)} and states "
                f"{tuple(states.shape)}; expected {expected} of both and ({len(states)}, {self.state_dim})"
            )
        return self.compare(*(self.features(part) for part in (previous, images)), states)

    def features(self, images: Tensor) -> Tensor:
        """Return the map (B, 4 W, R / 8, R / 8) of images (B, 3, R, R); W is the width."""
        return self.each(images)

    def compare(self, before: Tensor, after: Tensor, states: Tensor) -> TurnLogits:
        """Score images given the maps of the previous ones (left alone where ``comparison`` is none) and their own."""
        condition, maps = self.condition(states), after
        if self.comparison == "subtract":
            maps = after - before
        elif self.comparison == "concat":
            maps = torch.cat((after, before), dim=1)
        if self.conditioning == "concat":
            maps = torch.cat((maps, condition[:, :, None, None].expand(-1, -1, *maps.shape[2:])), dim=1)
        pooled = self.activation(self.both(maps)).sum(dim=(2, 3))
        fitting = self.logit(pooled).squeeze(1)
        if self.conditioning == "projection":
            fitting = fitting + (condition * pooled).sum(dim=1)
        return TurnLogits(fitting, None, self.objects(pooled))
