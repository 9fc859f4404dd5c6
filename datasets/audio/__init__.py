"""Sound files to samples and log-mels."""

from datasets.audio.read import AudioError, count_samples, read_audio

__all__ = ["AudioError", "count_samples", "read_audio"]
