"""Images with spoken captions: their lists, readers, words and batches, by the names that configs use."""

from datasets.spoken_captions.readers import GanClevr, PlacesFiles, PlacesHDF5
from datasets.spoken_captions.sound_folder import SoundFolder
from datasets.spoken_captions.splits import HeldOut, SpeechImageData

__all__ = ["GanClevr", "HeldOut", "PlacesFiles", "PlacesHDF5", "SoundFolder", "SpeechImageData"]
