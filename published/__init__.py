"""The originals' checkpoints: ``load_published(kind, path)`` reads one into this project's networks.

The ``save`` of ``davenet``, ``resdavenet_vq`` and ``progan`` write them (``tasks/published_export.py``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import UserError
from published import attngan, biggan
from published.encoders import PublishedSpeechImage
from published.lattegan import localizer, text_encoders
from published.lattegan import snapshot as lattegan
from published.resdavenet_vq import experiment as resdavenet_vq
from published.words_by_drawing import clevr_segmenter, clusters, davenet, progan

__all__ = [
    "PublishedSpeechImage",
    "UnknownKindError",
    "holds_encoders",
    "is_experiment",
    "load_encoders",
    "load_published",
]

LOADERS: dict[str, Callable[[Path], Any]] = {
    "attngan": attngan.load_generator,
    "attngan_discriminators": attngan.load_discriminators,
    "biggan": biggan.load_generator,
    "biggan_discriminator": biggan.load_discriminator,
    "clevr_segmenter": clevr_segmenter.load,
    "clusters": clusters.load,
    "damsm": attngan.load_damsm,
    "davenet": davenet.load,
    "geneva_localizer": localizer.load,
    "lattegan": lattegan.load,
    "lattegan_text": text_encoders.load,
    "progan": progan.load,
    "resdavenet_vq": resdavenet_vq.load,
}


class UnknownKindError(UserError, ValueError):
    """There is no loader for this kind of published checkpoint."""


def load_published(kind: str, path: str | Path) -> Any:
    """Load the networks of a published checkpoint, in evaluation mode on the CPU.

    Args:
        kind: ``davenet`` (surisdi/learning-by-drawing: a ``*.pth.tar`` file, or the folder that holds
            ``model_best_*.pth.tar``) or ``resdavenet_vq`` (wnhsu/ResDAVEnet-VQ: an experiment folder with ``args.pkl``
            and ``models/``, or one ``audio_model`` file inside it) give a :class:`PublishedSpeechImage`;
            ``clevr_segmenter`` (surisdi/learning-by-drawing: the folder of ``seg_encoder.pth`` and ``seg_decoder.pth``)
            gives a :class:`models.segmenter.network.AttributeSegmenter`; ``clusters`` (the folder of
            ``centroids_0.pth.tar``, ``mean_0.pth.tar`` and ``var_0.pth.tar``) gives
            :class:`gan.clusters.clustering.Clusters`; ``progan`` (``generator.pth`` of that repository, or older or
            TensorFlow-derived names) gives a :class:`gan.progan.generator.ProganGenerator`. Of taoxugit/AttnGAN,
            ``attngan`` (a generator's file, the DCGAN variant's too) gives a
            :class:`gan.attngan.generator.AttnganGenerator`, ``attngan_discriminators`` (the folder of ``netD0.pth``
            ..., or one such file) a list of :class:`gan.attngan.discriminators.AttnganDiscriminator`, and ``damsm``
            (``text_encoderN.pth``, with ``image_encoderN.pth`` beside it, or their folder; also of GolemXlV/AttnGAN and
            AWin9/AttnGAN-additional-fc-layer) a :class:`published.attngan.PublishedDamsm`. Of ajbrock/BigGAN-PyTorch
            and schwettmann/pretorched-x, ``biggan`` (``G_ema.pth``, or weights converted from TensorFlow Hub) gives a
            :class:`gan.biggan.generator.BigganGenerator`, ``biggan_discriminator`` (``D.pth``) a
            :class:`gan.biggan.discriminator.BigganDiscriminator`. Of smatsumori/LatteGAN, ``lattegan``
            (``model_e<epoch>_i<iteration>.pth`` of ``snapshots``) gives a
            :class:`published.lattegan.snapshot.PublishedLattegan`, and ``lattegan_text``
            (``{codraw,iclevr}_pretrain_models_epoch_N.pth``) an encoder of
            :mod:`models.instruction_encoders`. Of Maluuba/GeNeVA, ``geneva_localizer``
            (``codraw_inception_best_checkpoint.pth``, ``clevr_...``) gives a
            :class:`models.object_localizer.ObjectLocalizer`.
        path: The file or folder.

    Returns:
        The networks as the kind says, and what the files say about them.

    Raises:
        UnknownKindError: There is no such kind.
        UserError: A file is missing, damaged, unsafe, or does not fit the network; the message names it.
    """
    if kind not in LOADERS:
        raise UnknownKindError(f"There is no published kind {kind!r}: choose one of {', '.join(sorted(LOADERS))}.")
    return LOADERS[kind](Path(path).expanduser())


def holds_encoders(folder: Path) -> bool:
    """Return whether a folder has published encoders, whole or not, which :func:`load_encoders` reads."""
    return is_experiment(folder) or any(any(folder.glob(pattern)) for pattern in davenet.CHECKPOINTS)


def is_experiment(path: Path) -> bool:
    """Return whether ``args.pkl`` or a speech model lies where an experiment of wnhsu/ResDAVEnet-VQ has it.

    ``path`` is its folder, whole or not, or a file in its ``models``.
    """
    folder = path if path.is_dir() else path.parent.parent
    return (folder / "args.pkl").is_file() or any(folder.glob("models/*audio_model*.pth"))


def load_encoders(path: Path) -> PublishedSpeechImage:
    """Load both encoders of a published file or folder, whichever of the two systems it is of.

    ``path`` is a ``.pth.tar`` file of surisdi/learning-by-drawing or its folder, or an experiment folder of
    wnhsu/ResDAVEnet-VQ (``args.pkl`` beside ``models/``) or an ``audio_model`` file in its ``models``. Raises as
    :func:`load_published`.
    """
    return load_published("resdavenet_vq" if is_experiment(path) else "davenet", path)
