"""Encode captions as a task takes them in: spoken as log-mels, or written as the words of a vocabulary.

Shape letters: b captions of a batch, D embedding size, T frames or words, N samples.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import UserError
from datasets.audio.windows import device_features
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.vocabulary import Vocabulary
from models.speech_maps import SpeechMaps


class Captions:
    """Encodes the captions of a batch with the one encoder that a task has for them.

    Args:
        speech_encoder: (b, 40, T0), frames to :class:`models.speech_maps.SpeechMaps`; for spoken captions.
        text_encoder: made with the vocabulary's size, (b, L), words to SpeechMaps; for written captions.
        training: its captions make the vocabulary.
        target_length: frames to which log-mels made here are padded in training; None: as many as the waveforms make.
        evaluation_target_length: the same in evaluation.
        device: device of the encoder.
    """

    def __init__(
        self,
        speech_encoder: nn.Module | None,
        text_encoder: Callable[..., nn.Module] | None,
        training: SpokenCaptions,
        target_length: int | None,
        evaluation_target_length: int | None,
        device: torch.device,
    ) -> None:
        if (speech_encoder is None) == (text_encoder is None):
            raise UserError("task: give exactly one of speech_encoder and text_encoder")
        self.lengths, self.device = {True: target_length, False: evaluation_target_length}, device
        self.spoken = text_encoder is None
        if text_encoder is not None:
            self.vocabulary = Vocabulary(training.record(row).text or "" for row in range(len(training)))
            speech_encoder = text_encoder(vocab_size=len(self.vocabulary))
        self.encoder = speech_encoder.to(device)

    def encode(self, batch: dict[str, Any], dataset: SpokenCaptions) -> SpeechMaps:
        """Encode the captions of a batch drawn from ``dataset``, (b, D, T) on the device.

        Spoken ones are ``mel`` (b, 40, T0) in dB or ``waveform`` (b, N) at 16 kHz; of written ones ``index`` (b,) gives
        the rows.
        """
        if self.spoken:
            captions, lengths = self.mel(batch, dataset.train)
        else:
            captions, lengths = self.vocabulary.encode([dataset.record(int(row)).text or "" for row in batch["index"]])
        return self.encoder(captions.to(self.device), lengths.to(self.device))

    def mel(self, batch: dict[str, Any], train: bool) -> tuple[Tensor, Tensor]:
        """Return the batch's log-mels (b, 40, T0) and frames (b,), computed here when it carries waveforms.

        Those of training's dataset may be padded to another length.
        """
        if "mel" in batch:
            return batch["mel"].to(self.device, non_blocking=True), batch["nframes"].to(self.device, non_blocking=True)
        names = ("waveform", "nsamples", "start", "nframes")
        waveforms = {name: batch[name].to(self.device, non_blocking=True) for name in names}
        with torch.autocast(self.device.type, enabled=False):
            return device_features(waveforms, self.lengths[train])
