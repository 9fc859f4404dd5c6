"""What of a config's parts does not fit together, distinguished from their nodes before anything is built.

For the tasks that compare images and captions; ``validate`` and ``validate_with_siblings`` (config/validate.py) yield
from these.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from config import Problem

FEWEST_PAIRS = 2  # in a batch: a pair and an impostor
Node = Mapping[str, Any]


def few_pairs(data: Node) -> Iterator[Problem]:
    """Yield the error of a ``data`` node whose batches hold no impostors."""
    size = data.get("batch_size", FEWEST_PAIRS)
    if size < FEWEST_PAIRS:
        yield "data.batch_size", f"found {size}, expected at least {FEWEST_PAIRS}: pairs are ranked among each other"


def no_images(data: Node) -> Iterator[Problem]:
    """Yield the errors of the splits of a ``data`` node that have no images."""
    for split in ("train", "validation", "test"):
        node = data.get(split) or {}
        if "image" in node and node["image"] is None:
            yield f"data.{split}.image", "found null, but this task looks at images; expected size and resize"


def unlike_encoders(image_encoder: Node, speech_encoder: Node | None, text_encoder: Node | None) -> Iterator[Problem]:
    """Yield the error of two caption encoders or none, or of embeddings of two sizes, as far as the nodes tell them.

    Args:
        image_encoder: its node.
        speech_encoder: its node, None where there is none.
        text_encoder: its node, None where there is none.
    """
    if (speech_encoder is None) == (text_encoder is None):
        found = "none" if speech_encoder is None else "both"
        yield "speech_encoder", f"found {found} of speech_encoder and text_encoder, expected exactly one of them"
        return
    name, encoder = ("text_encoder", text_encoder) if speech_encoder is None else ("speech_encoder", speech_encoder)
    channels, expected = _channels(encoder), _channels(image_encoder)
    if None not in (channels, expected) and channels != expected:
        yield name, f"found maps of {channels} channels, expected {expected}, as image_encoder makes"


def _channels(node: Node) -> int | None:
    """Return the channels of an encoder's maps where its node says them."""
    widths = node.get("layer_widths")
    return widths[-1] if widths else node.get("embedding_dim")
