"""Learn words by drawing images: the parts of system 1, by the names that configs use."""

from tasks.words_by_drawing.generated_images import GeneratedImages
from tasks.words_by_drawing.objective import Edited, EditedOrHard, Hard, Regular

__all__ = ["Edited", "EditedOrHard", "GeneratedImages", "Hard", "Regular"]
