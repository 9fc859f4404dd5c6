"""Load a trained speech encoder and its layers, from a run folder or from a published experiment of ResDAVEnet-VQ.

Shape letters: B utterances, C channels of a layer, T frames of 10 ms, T' frames of a layer.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import config
from common.errors import UserError
from datasets.audio.log_mel import FRAME_SECONDS
from models.resdavenet import MEL_BINS, STAGES, ResDavenet
from models.resdavenet_vq import ResDavenetVq
from published import load_published
from tasks.resdavenet_vq.encoder_file import load_encoder
from tasks.speech_image.trained import ModelSource, load_run_encoders

log = logging.getLogger(__name__)
LOGMEL, OUTPUT = "logmel", "output"
PROBE = 1024  # frames; a multiple of every pooling
Layer = tuple[Tensor, Tensor | None]


class LayerError(UserError):
    """A layer that a model lacks, or codes of a layer that has none."""


@dataclass
class SpeechModel:
    """A speech encoder in evaluation mode with its layers by name; without an encoder the log-mels are the only layer.

    Weights with NaN or infinity are a UserError: a quantiser would hide them.
    """

    speech: nn.Module | None  # (B, 40, T), frames to SpeechMaps
    device: torch.device  # of the encoder
    name: str  # its name in reports and messages

    def __post_init__(self) -> None:
        self._poolings: dict[str, int] = {}
        if self.speech is not None:
            bad = [name for name, tensor in self.speech.state_dict().items() if not bool(tensor.isfinite().all())]
            if bad:
                raise UserError(
                    f"{self.name}: the weights {', '.join(bad[:3])} of its speech encoder hold NaN or infinity, "
                    "expected numbers; take another checkpoint"
                )
            self.speech.eval().requires_grad_(False).to(self.device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The encoder by the name that checkpoints use."""
        return {} if self.speech is None else {"speech": self.speech}

    def layers(self) -> list[str]:
        """Return the names of all layers, the lowest first: ``logmel`` is the input itself."""
        if self.speech is None:
            return [LOGMEL]
        if isinstance(self.speech, ResDavenetVq):
            return [LOGMEL, *self.speech.layers()]
        if isinstance(self.speech, ResDavenet):
            return [LOGMEL, *(f"conv{stage + 1}" for stage in range(STAGES))]
        return [LOGMEL, OUTPUT]

    def quantised(self) -> list[str]:
        """Return the names of the layers that have codes, the lowest first."""
        return [*self.speech.quantizers] if isinstance(self.speech, ResDavenetVq) else []

    def check(self, layers: Sequence[str], codes: bool = False) -> None:
        """Raise a LayerError that lists the layers there are, where one is missing, or has no codes though wanted."""
        known, quantised = self.layers(), self.quantised()
        if codes and not quantised:
            raise LayerError(
                f"{self.name} has no quantisers, so its frames have no codes; expected a model with some, such as one "
                "trained with turn_on '01100'"
            )
        for name in layers:
            if name not in known:
                raise LayerError(f"found the layer {name!r}; the layers of {self.name} are {', '.join(known)}")
            if codes and name not in quantised:
                raise LayerError(f"the layer {name} has no codes; those of {self.name} that do: {', '.join(quantised)}")

    @torch.no_grad()
    def encode(self, layers: Sequence[str], mel: Tensor) -> dict[str, Layer]:
        """Return features (B, C, T') of some layers of ``mel`` (B, 40, T) in dB, and codes (B, T') int64 or None.

        The layers are computed together; every frame of ``mel`` is valid.
        """
        wanted, found = set(layers), {}
        for name, layer in self._outputs(mel.to(self.device)):
            if name in wanted:
                found[name] = layer
            if len(found) == len(wanted):
                break
        return found

    def _outputs(self, mel: Tensor) -> Iterator[tuple[str, Layer]]:
        """Yield every layer by name as it is computed."""
        yield LOGMEL, (mel, None)
        if isinstance(self.speech, ResDavenetVq):
            for number, (before, made) in enumerate(self.speech.run_stages(mel), 1):
                yield f"conv{number}", (before, None)
                if made is not None:
                    yield f"quant{number}", (made.values, made.codes)
        elif isinstance(self.speech, ResDavenet):
            yield from ((f"conv{n}", (features, None)) for n, features in enumerate(self.speech.stage_outputs(mel), 1))
        elif self.speech is not None:
            yield OUTPUT, (self.speech(mel).features, None)

    def pooling(self, layer: str) -> int:
        """Return how many frames of 10 ms each frame of a layer covers, whatever the length of the utterance.

        Published code takes ``round(T / T')`` of the utterance at hand, which is the same but for very short ones.
        """
        if layer not in self._poolings:
            silence = torch.full((1, MEL_BINS, PROBE), -80.0)
            self._poolings[layer] = round(PROBE / self.encode([layer], silence)[layer][0].shape[-1])
        return self._poolings[layer]

    def code_norms(self, layer: str) -> np.ndarray:
        """Return the Euclidean norms (K,) of the vectors of a ``layer``'s codes."""
        return self.speech.quantizers[layer].codebook.norm(dim=1).cpu().numpy()

    def seconds(self, layer: str) -> float:
        """Return how many seconds each frame of a ``layer`` covers."""
        return FRAME_SECONDS * self.pooling(layer)


def load_speech(source: ModelSource | None, device: torch.device) -> SpeechModel:
    """Load a trained speech encoder; without a source its only layer is the log-mels.

    Weights that are missing, damaged or of another network are a UserError; so is a run of another project or of text.
    """
    if source is None:
        return SpeechModel(None, device, "the input alone")
    if source.published is not None:
        found = load_published("resdavenet_vq", source.published)
        return SpeechModel(found.speech, device, _name(source.published))
    if source.run.suffix == ".json":
        model = SpeechModel(load_encoder(source.run), device, source.run.stem)
        log.info("speech encoder from %s", config.short(source.run))
        return model
    found = load_run_encoders(source.run, ["speech"])
    return SpeechModel(found.modules["speech"], device, _name(source.run))


def _name(path: Path) -> str:
    """Return the name of a folder, or of a checkpoint with that of the run above its folder of checkpoints."""
    return path.name if path.is_dir() else f"{path.absolute().parent.parent.name}/{path.name}"
