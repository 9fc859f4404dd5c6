"""Hear a spoken instruction: sound in, what a generator draws from out, as of written ones.

    listener = load_listener(encoder, ModelSource(run=...), run=Path("runs/lattegan/tirg_world_units"))
    heard = listener.hear(wav_file)              # bytes of a file, or samples and their rate
    encoded = listener.encode(before, heard)     # sentences (1, D), memory (1, L', D), ignored (1, L')

``before`` are what was heard in the turns before, in their order; whoever keeps a dialogue keeps them.
Shape letters: N samples, L frames of a layer, C channels, D size of the embeddings.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import config
from common.errors import UserError
from common.files import write_plainly
from config.limits import Count
from datasets.audio.log_mel import check_usable, log_mel
from datasets.audio.read import SAMPLE_RATE, AudioError, read_audio, resample
from datasets.dialogue.spoken import MAX_PREVIOUS, padded_turn
from engine.init_from import load_run
from models.instruction_encoders import EncodedInstruction
from models.spoken_instruction_encoders import FeatureInstructionEncoder, UnitInstructionEncoder
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.speech_image.trained import ModelSource

SHORTEST, LONGEST = 0.3, 30.0  # seconds
FAINTEST = 0.003  # of full scale
UNITS, FEATURES = "quant3", "conv3"  # layers of the encoder that comes with the project
SpokenEncoder = UnitInstructionEncoder | FeatureInstructionEncoder


class ListeningError(UserError, ValueError):
    """A sound that is no instruction, or encoders that do not fit one another."""


class Listener:
    """A frozen speech encoder and an encoder of instructions, in evaluation mode.

    Args:
        encoder: of instructions, trained on the layer.
        speech: the speech encoder.
        layer: its layer; None is ``quant3`` for units and ``conv3`` for features.
        max_previous: the last frames of what was said before that are read.

    Raises:
        UserError: the encoder takes another layer than this.
    """

    def __init__(
        self, encoder: SpokenEncoder, speech: SpeechModel, layer: str | None = None, max_previous: int = MAX_PREVIOUS
    ) -> None:
        self.encoder, self.speech, self.max_previous = encoder.eval(), speech, max_previous
        self.units = isinstance(encoder, UnitInstructionEncoder)
        self.layer = layer or (UNITS if self.units else FEATURES)
        speech.check([self.layer], codes=self.units)
        found = layer_size(speech, self.layer, self.units)
        expected = encoder.codes if self.units else encoder.channels
        if found != expected:
            what = "codes" if self.units else "channels"
            raise ListeningError(
                f"the layer {self.layer} of {speech.name} has {found} {what}, the encoder of instructions takes "
                f"{expected}: give the layer that it was trained on"
            )

    def hear(self, sound: bytes | Path | np.ndarray, rate: int | None = None) -> Tensor:
        """Return the frames of one instruction, (L,) int64 codes or (L, C) features, on the CPU.

        Args:
            sound: a sound file (wav, flac, ogg, mp3) or its bytes, or samples (N,) float32, full scale 1.
            rate: of samples, Hz.

        Raises:
            UserError: it is no sound, silent, too short, too long, or holds NaN or infinity.
        """
        samples = _samples(sound, rate)
        seconds = len(samples) / SAMPLE_RATE
        if not SHORTEST <= seconds <= LONGEST:
            raise ListeningError(
                f"the recording is {seconds:.2f} s long, expected {SHORTEST} to {LONGEST:.0f} s: say one instruction"
            )
        peak = float(np.abs(samples - samples.mean()).max())
        if peak < FAINTEST:
            raise ListeningError(
                f"the recording is silent (its loudest sample is {peak:.4f} of full scale): look at the microphone and "
                "say it again"
            )
        return layer_frames(self.speech, self.layer, samples, self.units)

    @torch.no_grad()
    def encode(self, before: Sequence[Tensor], now: Tensor) -> EncodedInstruction:
        """Encode what :meth:`hear` made of an instruction, given what it made of those ``before``; B is 1."""
        device = next(self.encoder.parameters()).device
        turn = padded_turn(before, now, self.max_previous)
        return self.encoder(*(part[None].to(device) for part in turn))


def load_listener(
    encoder: SpokenEncoder,
    speech: ModelSource,
    layer: str | None = None,
    run: Path | None = None,
    max_previous: Count | None = None,
    device: str = "cpu",
) -> Listener:
    """Load what hears spoken instructions.

    Args:
        encoder: of instructions.
        speech: the frozen speech encoder.
        layer: its layer; None is ``quant3`` for units and ``conv3`` for features.
        run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets; None keeps its own.
        max_previous: the last frames of what was said before that are read; None: as many as the run has read, 400
            without one.
        device: of both.

    Raises:
        UserError: weights are missing, or the encoders do not fit each other.
    """
    on = torch.device(device)
    if run is not None:
        state = load_run(run, TextModules(encoder))
        max_previous = max_previous or _read_before(state["config"], run)
    max_previous = max_previous or MAX_PREVIOUS
    return Listener(encoder.to(on), load_speech(speech, on), layer, max_previous)


def _read_before(text: str, run: Path) -> int | None:
    """Return ``max_previous`` of the reader that a training's config has; None where it has none."""
    node: Any = config.translated(config.parse_yaml(text, str(run)))
    for name in ("data", "train", "texts", "max_previous"):
        node = node.get(name) if isinstance(node, dict) else None
    return node


class TextModules:
    """What the weights of an encoder of instructions are loaded into."""

    def __init__(self, encoder: nn.Module) -> None:
        self.modules = {"text": encoder}


def layer_frames(speech: SpeechModel, layer: str, samples: np.ndarray, units: bool) -> Tensor:
    """Return the codes (L,) or features (L, C) of a layer on the CPU; ``samples`` are (N,) float32 at 16 kHz."""
    mel = log_mel(torch.from_numpy(samples)).values
    check_usable(mel, "the recording")
    features, codes = speech.encode([layer], mel[None])[layer]
    return codes[0].cpu() if units else features[0].t().cpu()


def layer_size(speech: SpeechModel, layer: str, units: bool) -> int:
    """Return the number of codes of a layer, or of its channels."""
    if units:
        return len(speech.code_norms(layer))
    return speech.encode([layer], torch.full((1, 40, 64), -80.0))[layer][0].shape[1]


def _samples(sound: bytes | Path | np.ndarray, rate: int | None) -> np.ndarray:
    """Return any sound as samples (N,) at 16 kHz."""
    if isinstance(sound, str):
        raise ListeningError(f"found the text {sound[:40]!r}, but this model hears: give a sound instead")
    if isinstance(sound, bytes):
        return _decoded(sound)
    return read_audio(sound, allow_silence=True) if isinstance(sound, Path) else _at_rate(sound, rate)


def _decoded(content: bytes) -> np.ndarray:
    """Decode the bytes of a file as samples (N,) at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        write_plainly(path, content)
        try:
            return read_audio(path, allow_silence=True)
        except AudioError as error:
            raise ListeningError(str(error).replace(str(path), "the recording")) from error


def _at_rate(samples: np.ndarray, rate: int | None) -> np.ndarray:
    """Return samples at 16 kHz."""
    if rate is None or rate < 1 or samples.ndim != 1 or samples.dtype.kind != "f" or not len(samples):
        raise ListeningError(
            f"found samples {samples.dtype} {samples.shape} at {rate} Hz, expected (N,) float32, full scale 1, and "
            "their rate"
        )
    if not np.isfinite(samples).all():
        raise ListeningError("the recording holds NaN or infinity, expected numbers; record it again")
    return resample(np.ascontiguousarray(samples, dtype=np.float32), rate, SAMPLE_RATE)
