"""An item file of an embedded world, from its exact phone times: ``python run.py -f resdavenet_vq/abx_items.yaml``."""

import logging
from collections.abc import Iterator
from pathlib import Path

import config
from datasets.spoken_captions.phones import read_phones
from evaluation.abx.items import AbxError, Item, Span, phone_items
from evaluation.abx.items import write_items as write_file

log = logging.getLogger(__name__)


def write_items(manifest: Path, output: Path, span: Span = "triphone") -> None:
    """Write the item file of one split of a world; the same world gives the same bytes.

    Args:
        manifest: ``train.json``, ``val.json`` or ``test.json`` of a world's ``places`` folder.
        output: the item file.
        span: ``triphone``: an item reaches over both neighbours of its phone, as in ZeroSpeech's triphone files;
            ``phone``: it is the phone alone.

    Raises:
        UserError: the manifest cannot be read, no phones are known of it, or no phone has two neighbours.
    """
    count = write_world_items(manifest, output, span)
    log.info("%d items of %s in %s", count, config.short(manifest), config.short(output))


def write_world_items(manifest: Path, output: Path, span: Span = "triphone") -> int:
    """Write the item file of one split of a world and count its items.

    Args:
        manifest: of a split.
        output: the item file.
        span: of an item.

    Returns:
        How many there are.

    Raises:
        AbxError: no phone has two neighbours.
        ManifestError: the manifest cannot be read, or no phones are known of it.
    """
    count = write_file(output, world_items(manifest, span))
    if count == 0:
        raise AbxError(f"no phone of {manifest} has a phone before and behind it; give a world with longer captions")
    return count


def world_items(manifest: Path, span: Span = "triphone") -> Iterator[Item]:
    """Make the items of one split of a world, in the order of its utterances.

    Args:
        manifest: of a split.
        span: of an item.

    Yields:
        The items; the file of each is the utterance's name.

    Raises:
        ManifestError: the manifest cannot be read, or no phones are known of it.
    """
    for spoken in read_phones(manifest):
        yield from phone_items(spoken.uttid, spoken.speaker, spoken.phones, span)
