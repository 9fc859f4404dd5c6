"""What hears how long a sound is, in place of tasks.lattegan.listen.Listener."""

import io

import soundfile
import torch
from torch import nn

from common.errors import UserError
from models.instruction_encoders import EncodedInstruction
from tests.tasks.lattegan.small_models import TEXT


class Ears:
    """Hears with the same two calls."""

    def __init__(self):
        self.encoder = nn.Linear(1, 1)
        self.encoder.text_dim = TEXT

    def hear(self, sound):
        try:
            samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise UserError("the recording is no sound") from error
        if abs(samples).max() < 0.003:
            raise UserError("the recording is silent")
        assert samples.ndim == 1
        return len(samples) / rate

    def encode(self, before, now):
        values = torch.tensor([now, *before])[:3]
        words = torch.zeros(1, 2, TEXT)
        words[0, :, : len(values)] = values
        return EncodedInstruction(words[:, 0], words, torch.tensor([[False, False]]))
