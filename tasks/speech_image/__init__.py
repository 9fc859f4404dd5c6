"""The job that systems 1 and 2 share: images and their captions find each other. What configs name is offered here."""

from tasks.speech_image.objective import Ranking
from tasks.speech_image.task import SpeechImage

__all__ = ["Ranking", "SpeechImage"]
