"""Find images by captions and captions by images, the job of systems 1 and 2, by the names that configs use."""

from tasks.speech_image.objective import Ranking
from tasks.speech_image.task import SpeechImage

__all__ = ["Ranking", "SpeechImage"]
