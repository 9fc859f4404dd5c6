"""Show edited negatives in the report: what was switched off for some captions, and which image they prefer."""

from collections.abc import Callable

import torch
from torch import Tensor

from evaluation.choices import Choice
from evaluation.report.choices import choices_section
from evaluation.report.clusters import lit
from gan.editing.regenerate import Negatives
from gan.images import encoder_input, to_uint8
from models.speech_maps import SpeechMaps
from tasks.speech_image.objective import Parts
from tasks.words_by_drawing.generated_images import GeneratedBatch, GeneratedImages

EXAMPLES = 6
TITLE = "Edited negatives"
LEAD = (
    "The first validation captions with their own image and the one that training would put against it: dark "
    "around the region of highest similarity, in which units of the generator are off. The better score comes "
    "first."
)


@torch.no_grad()
def edited_section(
    parts: Parts,
    images: GeneratedImages,
    edit: Callable[[Tensor, SpeechMaps, GeneratedBatch, torch.Generator], Negatives],
) -> list[tuple[str, str]]:
    """Generate negatives for the first validation captions as training would, and let the captions choose.

    ``edit`` makes negatives from image maps, speech maps, generated images and a source of randomness. Heading and HTML
    of a section are returned; nothing on a rank without validation pairs.
    """
    loader = parts.data.loaders["validation"]
    batch = next(iter(loader.batches(0)), None)
    if batch is None:
        return []
    batch = images.prepared(batch)
    generated = batch["generated"]
    image, speech = parts.encode(batch, loader.dataset)
    negatives = edit(image, speech, generated, torch.Generator().manual_seed(0))
    edited = parts.image_encoder(encoder_input(negatives.images))
    scores = [parts.similarity.aligned(maps, speech).cpu() for maps in (image, edited)]
    choices = []
    for index, row in enumerate(batch["index"][:EXAMPLES].tolist()):
        record = loader.dataset.record(row)
        cluster = int(negatives.clusters[index])
        units = "random units" if cluster < 0 else f"units of cluster {cluster}"
        changed = float(negatives.change[index])
        label = f"{units} off: the region changed by {changed:.0%}"
        own, other = (to_uint8(one[index]).cpu().numpy() for one in (generated.images, negatives.images))
        shown = [own, lit(other, negatives.masks[index].cpu().numpy())]
        score = torch.stack([one[index] for one in scores]).numpy()
        choices.append(Choice(record.uttid, record.text or "", score, [label], shown))
    return [(TITLE, choices_section(choices, LEAD))]
