"""Write trained networks in the layouts of the originals, so that their own programs read them.

    python run.py -f resdavenet_vq/export_published.yaml run=runs/NAME
    python run.py -f words_by_drawing/export_published.yaml run=runs/NAME
    python run.py -f gan/export_published.yaml

``published.load_published`` reads these files too and gives the very same weights.
"""

import logging
from pathlib import Path
from typing import Any, Literal

from torch import nn

import config
from common.errors import UserError
from engine.context import Context
from engine.init_from import read_checkpoint
from gan.progan.generator import ProganGenerator
from published.resdavenet_vq import experiment as resdavenet_vq
from published.resdavenet_vq.options import options_of
from published.words_by_drawing import davenet, progan
from tasks.gan.progan_export import averaged_generator
from tasks.speech_image.trained import load_run_encoders

log = logging.getLogger(__name__)
Layout = Literal["resdavenet_vq", "davenet"]
COMPARED = {  # how the public code compares maps, as values of task.similarity
    "resdavenet_vq": {"kind": "pooled", "measure": "dot"},
    "davenet": {"kind": "MISA", "measure": "dot"},
}


def encoders(layout: Layout, run: Path, output: Path, context: Context) -> None:
    """Write both encoders of a training run as the public code reads them.

    Args:
        layout: ``resdavenet_vq``, an experiment folder of wnhsu/ResDAVEnet-VQ, or ``davenet``, a ``.pth.tar`` file of
            surisdi/learning-by-drawing.
        run: a run folder of a speech-image or words-by-drawing task (its best weights), or one of its checkpoint files.
        output: the folder or file, which is not there yet.
        context: given by run.py.

    Raises:
        UserError: there is no such run, its encoders are not the published networks, or ``output`` is there already.
    """
    _refuse_present(output)
    found = load_run_encoders(run)
    image, speech = found.modules["image"], found.modules["speech"]
    _say_comparison(layout, found.values["task"].get("similarity") or {})
    if context.dry_run:
        log.info("dry run: both encoders of step %d, nothing was written", found.step)
        return
    if layout == "davenet":
        davenet.save(image, speech, output, found.epoch)
    else:
        resdavenet_vq.save(image, speech, output, options_of(found.values))
    log.info("wrote %s (step %d)", config.short(output), found.step)


def _say_comparison(layout: Layout, similarity: dict[str, Any]) -> None:
    """Warn where the public code will compare the maps in another way than the run did."""
    found = {key: similarity.get(key, default) for key, default in COMPARED["davenet"].items()}  # its defaults too
    if found != COMPARED[layout]:
        log.warning("the run compared maps by %s, the public code compares them by %s", found, COMPARED[layout])


def generator(generator: nn.Module, output: Path, context: Context) -> None:
    """Write a generator of the Progressive GAN as the public code reads it.

    Args:
        generator: the network: ``gan.shipped.load``, or :func:`trained_generator` of a run.
        output: the file, ``generator.pth`` in the public code's folder, which is not there yet.
        context: given by run.py.

    Raises:
        UserError: it is another network, or ``output`` is there already.
    """
    _refuse_present(output)
    if not isinstance(generator, ProganGenerator):
        raise UserError(f"generator: found a {type(generator).__name__}; expected a ProganGenerator")
    if context.dry_run:
        log.info("dry run: a generator of %d pixels, nothing was written", generator.resolution)
        return
    progan.save(generator, output)
    log.info("wrote %s (%.1f MB)", config.short(output), output.stat().st_size / 1e6)


def trained_generator(run_folder: Path) -> ProganGenerator:
    """Load the averaged generator of a training in its fully grown form.

    Args:
        run_folder: of ``tasks.gan.progan.Progan``, or one of its checkpoints.

    Returns:
        The generator at the resolution that was reached.

    Raises:
        UserError: there is no such checkpoint.
    """
    found, state = read_checkpoint(run_folder)
    return averaged_generator(state, found)[0].eval()


def _refuse_present(output: Path) -> None:
    if output.exists():
        raise UserError(f"output: {output} is there already; give another path, or delete it")
