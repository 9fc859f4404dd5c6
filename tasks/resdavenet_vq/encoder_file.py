"""Keep a trained speech encoder in two files: its weights as safetensors, and a JSON of its network and making.

``python run.py -f resdavenet_vq/export.yaml`` writes both from a training run; ``models/shipped/`` holds the one that
comes with the project.
"""

from pathlib import Path
from typing import Any

from torch import nn

from common.errors import UserError
from models.weights import WeightsError, build_for, read_card, read_state_dict, write_weights
from tasks.speech_image.trained import build_encoder

NODE = "speech_encoder"


def load_encoder(path: Path) -> nn.Module:
    """Read a speech encoder from its ``.json`` and the ``.safetensors`` beside it, or raise a WeightsError."""
    card = read_card(path, "give the .json of an exported encoder, or a run folder")
    if not isinstance(card, dict) or not isinstance(card.get(NODE), dict) or "type" not in card[NODE]:
        raise WeightsError(f"{path} does not describe a speech encoder: expected an entry {NODE} with its type.")
    weights = path.with_suffix(".safetensors")
    state = read_state_dict(weights)
    try:
        return build_for(lambda: build_encoder(card, NODE, path), state, str(weights))
    except WeightsError:
        raise
    except UserError as error:
        raise WeightsError(f"{path} describes no network: {error}") from error


def save_encoder(encoder: nn.Module, output: Path, about: dict[str, Any]) -> Path:
    """Write a speech encoder, return the file of its weights.

    ``about``, plain values in the ``.json`` beside it, says how it is built (a node ``speech_encoder``) and how it was
    made.
    """
    weights = output.with_suffix(".safetensors")
    write_weights(weights, encoder.state_dict(), about)
    return weights
