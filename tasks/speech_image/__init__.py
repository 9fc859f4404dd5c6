"""Find images by captions and captions by images, the job that systems 1 and 2 share. What configs name is here."""

from tasks.speech_image.objective import Ranking
from tasks.speech_image.task import SpeechImage

__all__ = ["Ranking", "SpeechImage"]
