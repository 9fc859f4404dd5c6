"""Load the trained encoders that an experiment is about, from a run folder or from a published checkpoint.

Shape letters: I images, S spoken captions, D embedding size, H, W image map, T frames, R pixels high and wide.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from datasets.audio.log_mel import FRAME_SECONDS, PAD_DB
from gan.images import encoder_input
from models.matchmap import matchmaps, max_of_mean
from models.similarity import Similarity
from models.speech_maps import SpeechMaps
from published import load_published
from tasks.speech_image.trained import ModelSource, checked, load_run_encoders

PUBLISHED_FRAMES = 2048  # captions are padded to this length in the published evaluation


@dataclass
class Trained:
    """Both encoders in evaluation mode, and the similarity of their maps."""

    image: nn.Module  # (I, 3, R, R) normalised to (I, D, H, W)
    speech: nn.Module  # (S, 40, T0), frames to SpeechMaps
    similarity: Similarity  # of maps
    target_length: int | None  # frames that captions are padded to; longer ones stay as they are
    device: torch.device  # of both
    name: str  # their name in reports

    def __post_init__(self) -> None:
        for module in (self.image, self.speech):
            module.eval().requires_grad_(False).to(self.device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Return the encoders by the names that checkpoints use."""
        return {"image": self.image, "speech": self.speech}

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Encode images (I, 3, R, R) in [-1, 1] as maps (I, D, H, W)."""
        return self.image(encoder_input(images.to(self.device)))

    @torch.no_grad()
    def encode_speech(self, mel: Tensor, nframes: Tensor) -> SpeechMaps:
        """Encode log-mels (S, 40, T0) in dB with (S,) valid frames, padded as in validation."""
        missing = (self.target_length or 0) - mel.shape[-1]
        if missing > 0:
            mel = nn.functional.pad(mel, (0, missing), value=PAD_DB)
        return self.speech(mel.to(self.device), nframes.to(self.device))

    @torch.no_grad()
    def scores(self, images: Tensor, speech: SpeechMaps, frames: Tensor) -> dict[str, Tensor]:
        """Score images (I, 3, R, R) in [-1, 1] for S spoken captions in two ways, each (I, S) on the CPU.

        By ``similarity``, as the model compares, and ``published``, the maximum over the image of the mean over the
        first ``frames`` (S,) of the maps.
        """
        maps = self.encode_images(images)
        found = {
            "similarity": self.similarity(maps, speech.features, speech.nframes),
            "published": max_of_mean(maps, speech.features, frames.to(self.device)),
        }
        return {name: value.float().cpu() for name, value in found.items()}

    @torch.no_grad()
    def matchmap(self, image: Tensor, mel: Tensor, nframes: int) -> tuple[Tensor, float]:
        """Compare an image (3, R, R) in [-1, 1] with a caption (40, T0) in dB of ``nframes`` valid frames.

        Returned are the matchmap (H, W, T) of the valid frames on the CPU, and the seconds that one frame covers.
        """
        speech = self.encode_speech(mel[None], torch.tensor([nframes]))
        length = max(mel.shape[-1], self.target_length or 0)
        seconds = FRAME_SECONDS * max(1, round(length / speech.features.shape[-1]))
        maps = matchmaps(self.encode_images(image[None]), speech.features, self.similarity.measure)[0]
        return maps[..., : max(1, int(speech.nframes[0]))].float().cpu(), seconds


def load_model(source: ModelSource, device: torch.device) -> Trained:
    """Load the encoders of an experiment.

    A ModelError: the run is none of this project or reads text. Another UserError: the weights are missing, damaged, or
    of another network.
    """
    if source.published is not None:
        found = load_published("davenet", source.published)
        return Trained(found.image, found.speech, Similarity(), PUBLISHED_FRAMES, device, source.published.name)
    found = load_run_encoders(source.run)
    task, data = found.values["task"], found.values.get("data") or {}
    similarity = Similarity(**checked(task.get("similarity") or {}, Similarity, "task.similarity", source.run))
    target_length = data.get("evaluation_target_length") or data.get("target_length")
    modules = found.modules
    return Trained(modules["image"], modules["speech"], similarity, target_length, device, source.run.name)
