"""ResDAVEnet-VQ: ResDAVEnet with vector quantisers between its stages (Harwath, Hsu, Glass, arXiv:1911.09602).

It matches wnhsu/ResDAVEnet-VQ ``models/AudioModels.py``. A code of five digits says which of the five positions have a
quantiser: after the first convolution and after each of the four residual layers; ``01100`` is the paper's {2,3}. The
frames that leave the first two stages are jittered in time while training, quantised or not, as published.

Shape letters: B items, C channels, T frames of 10 ms, T' pooled frames, K codes.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator
from torch import Tensor, nn

from config.limits import Chance, Depth, Kernel, Width
from models.resdavenet import STAGES, ResDavenet
from models.speech_maps import SpeechMaps, pooled_lengths, speech_maps
from models.vector_quantizer import CodebookConfig, Quantized, TemporalJitter, VectorQuantizer

JITTERED = 2  # stages whose frames are jittered
EXPECTED = (
    "five digits of 0 and 1, for the first convolution and each of the four layers, such as '01100' for quantisers 2 "
    "and 3"
)


class TurnOnError(ValueError):
    """A turn-on code that is not five digits of 0 and 1."""


def turned_on(code: str | int) -> list[int]:
    """Return the stages with a quantiser, 0 to 4, of a turn-on code such as ``01100``, else raise a TurnOnError.

    YAML without quotes takes ``11000`` for a number.
    """
    digits = _digits(code)
    if digits is None:
        raise TurnOnError(f"found the turn-on code {code!r}; expected {EXPECTED}")
    return [stage for stage, digit in enumerate(digits) if digit == "1"]


def _digits(code: Any) -> str | None:
    """Return the five digits of a code, None when it is none."""
    text = str(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    return text if len(text) == STAGES and not set(text) - set("01") else None


def _known(code: Any) -> Any:
    if _digits(code) is None:
        raise ValueError(EXPECTED)
    return code


TurnOn = Annotated[str | int, BeforeValidator(_known)]


class ResDavenetVq(ResDavenet):
    """ResDAVEnet with quantisers; ``turn_on='00000'`` is ResDAVEnet with temporal jitter.

    Args:
        turn_on: five digits, which positions have a quantiser.
        codes: K of every position, or five numbers.
        layer_widths: channels after the first convolution and after each of the four layers; the last is D.
        layer_depths: residual blocks of each of the four layers.
        kernel: odd kernel size of the blocks, frames.
        jitter: probability that a frame gives way to its left neighbour, and as much for the right one.
        published_jitter: shifts of 0, 1 and 2 frames, as in the public code, instead of -1, 0 and 1.
        codebook: rules by which codebooks start and follow their frames.
        freeze_batch_norm: keep the statistics of every batch norm.

    Raises:
        TurnOnError: the code is not five digits of 0 and 1.
        ValueError: widths, depths, the kernel, codes or jitter cannot be.
    """

    switchable = ("quantizers",)  # a training may begin from weights that have others of them

    def __init__(
        self,
        turn_on: TurnOn = "01100",
        codes: Width | tuple[Width, ...] = 1024,
        layer_widths: tuple[Width, ...] = (128, 256, 256, 512, 1024),
        layer_depths: tuple[Depth, ...] = (2, 2, 2, 2),
        kernel: Kernel = 9,
        jitter: Chance = 0.12,
        published_jitter: bool = False,
        codebook: CodebookConfig = CodebookConfig(),  # noqa: B008  never changed
        freeze_batch_norm: bool = False,
    ) -> None:
        stages = turned_on(turn_on)
        super().__init__(layer_widths, layer_depths, kernel, freeze_batch_norm)
        sizes = tuple(codes) if isinstance(codes, tuple | list) else (codes,) * STAGES
        if len(sizes) != STAGES or any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(f"found codes {codes}; expected one positive number, or five")
        self.turn_on = str(turn_on)
        self.quantizers = nn.ModuleDict(
            {f"quant{stage + 1}": VectorQuantizer(sizes[stage], layer_widths[stage], codebook) for stage in stages}
        )
        self.jitter = TemporalJitter(jitter, published_jitter)

    def run_stages(self, mel: Tensor, nframes: Tensor | None = None) -> Iterator[tuple[Tensor, Quantized | None]]:
        """Yield of each stage the input of its quantiser ``(B, C, T / 2**i)``, and its output (None without one).

        The log-mels are ``(B, 40, T)``, their valid frames ``nframes`` (B,), all when None; padding reaches no
        codebook.
        """
        x = mel
        for index, stage in enumerate(self.stages):
            x = before = stage(x)
            made = None
            if f"quant{index + 1}" in self.quantizers:
                valid = pooled_lengths(nframes, mel.shape[-1], x.shape[-1])
                made = self.quantizers[f"quant{index + 1}"](x, valid)
                x = made.values
            yield before, made
            x = self.jitter(x) if index < JITTERED else x

    def stage_outputs(self, mel: Tensor) -> Iterator[Tensor]:
        """Yield what leaves stage i = 0 to 4, quantised where it is, ``(B, C, T / 2**i)``, before any jitter."""
        for before, made in self.run_stages(mel):
            yield before if made is None else made.values

    def forward(self, mel: Tensor, nframes: Tensor | None = None) -> SpeechMaps:
        """Encode log-mels ``(B, 40, T)`` as features ``(B, D, T/16)``, with commitment losses and perplexities."""
        losses, notes = {}, {}
        for index, (before, made) in enumerate(self.run_stages(mel, nframes)):
            x = before
            if made is not None:
                name, x = f"quant{index + 1}", made.values
                losses[f"commitment/{name}"], notes[f"perplexity/{name}"] = made.loss, made.perplexity
        return speech_maps(x, nframes, mel.shape[-1])._replace(losses=losses, notes=notes)

    def layer(self, name: str, mel: Tensor, nframes: Tensor | None = None) -> tuple[SpeechMaps, Tensor | None]:
        """Return the features of a layer ``(B, C, T')`` with frame counts, and its codes ``(B, T')`` or None.

        ``name`` is ``conv1`` to ``conv5`` before a position's quantiser, ``quant1`` to ``quant5`` behind it; a
        ValueError lists the layers that there are. Log-mels are ``(B, 40, T)`` in dB, valid frames ``nframes`` (B,),
        all when None.
        """
        known = self.layers()
        if name not in known:
            raise ValueError(f"found the layer {name!r}; expected one of {', '.join(known)} (turn-on {self.turn_on})")
        for index, (before, made) in enumerate(self.run_stages(mel, nframes)):
            if name[-1] == str(index + 1):
                x = made.values if name.startswith("quant") else before
                return speech_maps(x, nframes, mel.shape[-1]), None if made is None else made.codes
        raise AssertionError("layers() names positions that run_stages() yields")

    def layers(self) -> list[str]:
        """Return the names of all layers whose features can be had."""
        return [*(f"conv{stage + 1}" for stage in range(STAGES)), *self.quantizers]
