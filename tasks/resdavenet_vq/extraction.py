"""Extract features and codes of every utterance, as a trained speech model makes them of that utterance alone.

No utterance is padded: only utterances of exactly the same number of frames are encoded together, so that nothing
depends on the batch size but the last bits of sums. The convolutions of these networks do see what lies behind an
utterance's end, so the choice matters. wnhsu/ResDAVEnet-VQ makes both: its unit analysis (``run_unit_analysis.py``)
encodes utterances one by one without padding, as here, and keeps every frame that comes out; its ABX features
(``run_extract_feats_abx.py``) come from batches of 100 padded with 0 dB to the longest, so that the last frames of an
utterance (the last 0.3 s at the second quantiser, 0.8 s at the third: half the receptive field) depend on its
neighbours in the list. We never pad, and ``whole_frames`` cuts as that second program does.

Shape letters: C channels of a layer, T frames of 10 ms, T' frames of a layer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from datasets.audio.windows import device_features
from datasets.loading.loader import Loader
from datasets.spoken_captions.dataset import SpokenCaptions
from engine.logs import progress
from tasks.resdavenet_vq.layers import Layer, SpeechModel


class Frames(NamedTuple):
    """A layer's ``features`` (T', C) float32 and ``codes`` (T',) int64 of one utterance, as far as they were asked for.

    Frame t begins at ``t * seconds``.
    """

    features: np.ndarray | None
    codes: np.ndarray | None
    seconds: float


class Utterance(NamedTuple):
    """One utterance: its row of the dataset, the T of its log-mels, and frames by the layer's name."""

    row: int
    nframes: int
    layers: dict[str, Frames]


def extract(
    model: SpeechModel,
    dataset: SpokenCaptions,
    layers: Sequence[str],
    *,
    features: bool = True,
    codes: bool = False,
    whole_frames: bool = False,
    rows: Sequence[int] | None = None,
    batch_size: int = 16,
    workers: int = 0,
) -> Iterator[Utterance]:
    """Encode utterances, the longest first, all ``layers`` of each in one pass (``logmel`` is the input itself).

    ``batch_size`` utterances of the same length are encoded together at most. ``whole_frames`` keeps ``floor(T /
    pooling)`` frames, at least one, as the published ABX features; otherwise every frame stays, also a last one that
    the utterance fills only partly, as in the published unit analysis. Utterances that cannot be read are left out
    where the dataset's ``on_error`` is ``skip`` (``dataset.skipped`` says which), else they raise a SampleError, as
    layers that are not finite.
    """
    model.check(layers, codes)
    loader = _SameLengths(dataset, rows, batch_size, workers)
    for batch in progress(loader.batches(0), loader.steps_per_epoch, "encoding, batches"):
        mel, nframes = _log_mels(batch, model.device)
        for length in nframes.unique().tolist():  # more than one only where a file's header was wrong
            positions = (nframes == length).nonzero()[:, 0]
            made = model.encode(layers, mel[positions.to(mel.device), :, :length])
            for position, row in enumerate(batch["index"][positions].tolist()):
                kept = {name: _frames(model, name, made[name], position, length, whole_frames) for name in layers}
                _check_finite(kept, dataset, row)
                yield Utterance(row, length, {n: _asked(f, features, codes) for n, f in kept.items()})


def extract_all(model: SpeechModel, dataset: SpokenCaptions, layers: Sequence[str], **options: Any) -> list[Utterance]:
    """Encode utterances as :func:`extract` does and return them in the order of their rows."""
    return sorted(extract(model, dataset, layers, **options), key=lambda utterance: utterance.row)


def _frames(model: SpeechModel, name: str, layer: Layer, position: int, length: int, whole: bool) -> Frames:
    """Cut one utterance out of a layer's batch."""
    values, codes = layer
    kept = max(1, length // model.pooling(name)) if whole else values.shape[-1]
    return Frames(values[position, :, :kept], None if codes is None else codes[position, :kept], model.seconds(name))


def _check_finite(layers: dict[str, Frames], dataset: SpokenCaptions, row: int) -> None:
    """Refuse layers with NaN or infinity: their codes mean nothing, and text files of them cannot be read."""
    bad = [name for name, frames in layers.items() if not bool(frames.features.isfinite().all())]
    if bad:
        raise dataset.unusable(
            row, UserError(f"{', '.join(bad)} of it is not finite, expected numbers; look at the model's weights")
        )


def _asked(frames: Frames, features: bool, codes: bool) -> Frames:
    """Copy what is wanted off the device."""
    return Frames(
        frames.features.t().float().cpu().numpy().copy() if features else None,
        frames.codes.cpu().numpy().copy() if codes else None,
        frames.seconds,
    )


def _log_mels(batch: dict[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the batch's log-mels (B, 40, T) on the device and its frame counts (B,) on the CPU."""
    if "mel" in batch:
        return batch["mel"].to(device, non_blocking=True), batch["nframes"]
    names = ("waveform", "nsamples", "start", "nframes")
    return device_features({name: batch[name].to(device) for name in names}).values, batch["nframes"]


class _SameLengths(Loader):
    """Batches of utterances that are equally long, the longest first."""

    def __init__(self, dataset: SpokenCaptions, rows: Sequence[int] | None, batch_size: int, workers: int) -> None:
        super().__init__(dataset, batch_size, seed=0, train=False, workers=workers, pad_multiple=1)
        chosen = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)
        lengths = dataset.lengths()[chosen]
        lengths = lengths if dataset.max_frames is None else lengths.clip(max=dataset.max_frames)
        self._batches: list[list[int]] = []
        for length in np.unique(lengths)[::-1]:
            equal = chosen[lengths == length].tolist()
            self._batches += [equal[first : first + batch_size] for first in range(0, len(equal), batch_size)]

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def order(self, epoch: int) -> list[list[int]]:  # noqa: ARG002  evaluation has one order
        """Return the rows of every batch."""
        return self._batches
