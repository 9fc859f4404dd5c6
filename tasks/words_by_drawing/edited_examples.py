"""The report's pictures of edited negatives: what was switched off for some captions, and which picture they prefer."""

from typing import TYPE_CHECKING

import torch

from evaluation.choices import Choice, choices_section
from evaluation.report.clusters import lit
from gan.images import encoder_input, picture
from models.matchmap import aligned_similarity

if TYPE_CHECKING:
    from tasks.words_by_drawing.task import WordsByDrawing

EXAMPLES = 6
TITLE = "Edited negatives"
LEAD = (
    "<p>The first validation captions with their own picture and the one that training would draw against it: dark "
    "around the region that answers the caption most, in which units of the generator are off. The better score comes "
    "first.</p>"
)


@torch.no_grad()
def edited_section(task: "WordsByDrawing") -> list[tuple[str, str]]:
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
