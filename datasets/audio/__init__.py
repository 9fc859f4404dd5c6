"""Sound files to samples and log-mels; what scripts outside the project use of it is offered here."""

from datasets.audio.read import AudioError, count_samples, read_audio

__all__ = ["AudioError", "count_samples", "read_audio"]
