"""Former module of the log-mels, which stand in ``datasets.audio.log_mel`` since 30 November 2026.

Thin re-export for scripts outside the project; nothing in the project imports it.
"""

from datasets.audio.log_mel import log_mel as log_mel
