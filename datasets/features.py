"""The former module of the log-mels, for scripts outside the project that import them from here."""

from datasets.audio.log_mel import log_mel as log_mel
