"""The originals' checkpoints: ``load_published(kind, path)`` reads one into this project's networks."""

from collections.abc import Callable
from pathlib import Path

from engine.errors import UserError
from published import davenet, resdavenet_vq
from published.speech_image import PublishedSpeechImage

__all__ = ["PublishedSpeechImage", "UnknownKindError", "load_published"]

LOADERS: dict[str, Callable[[Path], PublishedSpeechImage]] = {
    "davenet": davenet.load,
    "resdavenet_vq": resdavenet_vq.load,
}


class UnknownKindError(UserError, ValueError):
    """There is no loader for this kind of published checkpoint."""


def load_published(kind: str, path: str | Path) -> PublishedSpeechImage:
    """Load the networks of a published checkpoint, in evaluation mode on the CPU.

    Args:
        kind: ``davenet`` (surisdi/learning-by-drawing: a ``*.pth.tar`` file, or the folder that holds
            ``model_best_*.pth.tar``) or ``resdavenet_vq`` (wnhsu/ResDAVEnet-VQ: an experiment folder with ``args.pkl``
            and ``models/``, or one ``audio_model`` file inside it).
        path: The file or folder.

    Returns:
        An object with ``image`` and ``speech`` networks and what the files say about them.

    Raises:
        UnknownKindError: There is no such kind.
        UserError: A file is missing, damaged, unsafe, or does not fit the network; the message names it.
    """
    if kind not in LOADERS:
        raise UnknownKindError(f"There is no published kind {kind!r}: choose one of {', '.join(sorted(LOADERS))}.")
    return LOADERS[kind](Path(path).expanduser())
