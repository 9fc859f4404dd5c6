"""Write an item file of a world, from its exact phone times: ``python run.py -f resdavenet_vq/abx_items.yaml``."""

import logging
from pathlib import Path

import config
from datasets.spoken_captions.phones import read_phones
from evaluation.abx.items import AbxError, Span, phone_items
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
    """Write the item file of one split of a world and count its items; an AbxError where there would be none."""
    spoken = read_phones(manifest)
    count = write_file(
        output, (item for one in spoken for item in phone_items(one.uttid, one.speaker, one.phones, span))
    )
    if count == 0:
        raise AbxError(f"no phone of {manifest} has a phone before and behind it; give a world with longer captions")
    return count
