"""The report's pictures of edited negatives: what was switched off for some captions, and which picture they prefer."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData
from evaluation.choices import Choice, choices_section
from evaluation.report.clusters import lit
from gan.editing.regenerate import Negatives
from gan.images import encoder_input, picture
from models.matchmap import aligned_similarity
from models.similarity import Similarity
from models.speech_maps import SpeechMaps
from tasks.words_by_drawing.generated_images import Drawn, Studio

EXAMPLES = 6
TITLE = "Edited negatives"
LEAD = (
    "<p>The first validation captions with their own picture and the one that training would draw against it: dark "
    "around the region that answers the caption most, in which units of the generator are off. The better score comes "
    "first.</p>"
)


class Edits(Protocol):
    """A task that draws images and edits them, as :class:`tasks.words_by_drawing.task.WordsByDrawing`.

    Attributes:
        data: its splits.
        studio: draws.
        image_encoder: images (b, 3, R, R) to maps (b, D, H, W).
        similarity: how maps are compared.
    """

    data: SpeechImageData
    studio: Studio
    image_encoder: nn.Module
    similarity: Similarity

    def encode(self, batch: dict[str, Any], dataset: SpokenCaptions) -> tuple[Tensor, SpeechMaps]:
        """Return image maps (b, D, H, W) and speech maps (b, D, T) of a ``batch`` drawn from a ``dataset``."""

    def negatives(self, image: Tensor, speech: SpeechMaps, drawn: Drawn, generator: torch.Generator) -> Negatives:
        """Edit each drawn image where its caption responds most.

        Args:
            image: (b, D, H, W) maps.
            speech: maps of the captions.
            drawn: the images.
            generator: of the random choices.

        Returns:
            The edited images.
        """


@torch.no_grad()
def edited_section(task: Edits) -> list[tuple[str, str]]:
    """Draw negatives for the first validation captions as training would, and let the captions choose.

    Args:
        task: one that edits, in evaluation mode.

    Returns:
        Heading and HTML of a section of the report; nothing on a rank without validation pairs.
    """
    loader = task.data.loaders["validation"]
    batch = next(iter(loader.batches(0)), None)
    if batch is None:
        return []
    drawn = task.studio.draw(batch)
    image, speech = task.encode(batch | {"drawn": drawn}, loader.dataset)
    negatives = task.negatives(image, speech, drawn, torch.Generator().manual_seed(0))
    edited = task.image_encoder(encoder_input(negatives.images))
    kind, measure = task.similarity.kind, task.similarity.measure
    scores = [
        aligned_similarity(maps.float(), speech.features.float(), speech.nframes, kind, measure).cpu()
        for maps in (image, edited)
    ]
    choices = []
    for index, row in enumerate(batch["index"][:EXAMPLES].tolist()):
        record = loader.dataset.record(row)
        cluster = int(negatives.clusters[index])
        units = "random units" if cluster < 0 else f"units of cluster {cluster}"
        changed = float(negatives.change[index])
        label = f"{units} off: the region changed by {changed:.0%}"
        own, other = (picture(one[index]).cpu().numpy() for one in (drawn.images, negatives.images))
        shown = [own, lit(other, negatives.masks[index].cpu().numpy())]
        score = torch.stack([one[index] for one in scores]).numpy()
        choices.append(Choice(record.uttid, record.text or "", score, [label], shown))
    return [(TITLE, LEAD + choices_section(choices))]
