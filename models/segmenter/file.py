"""Attribute segmenters in files: weights as safetensors beside a JSON that says what they are and how made."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from models.segmenter.network import AttributeSegmenter, DilatedSegmenter, SmallSegmenter
from models.weights import WeightsError, build_for, read_card, read_state_dict

SHIPPED = Path(__file__).parents[1] / "shipped" / "segmenter_world.safetensors"
NETWORKS: dict[str, type[nn.Module]] = {"SmallSegmenter": SmallSegmenter, "DilatedSegmenter": DilatedSegmenter}


def save_segmenter(segmenter: AttributeSegmenter, path: Path, about: dict[str, Any]) -> Path:
    """Write a segmenter.

    Args:
        segmenter: Its network is one of `NETWORKS`.
        path: The ``.safetensors`` file; the ``.json`` goes beside it.
        about: How it was made: plain values.

    Returns:
        ``path``.

    Raises:
        WeightsError: The network is of another class.
    """
    name = type(segmenter.network).__name__
    if name not in NETWORKS:
        raise WeightsError(f"the network is a {name}; segmenter files hold one of {', '.join(NETWORKS)}")
    sizes = {"widths": list(segmenter.network.widths)} if isinstance(segmenter.network, SmallSegmenter) else {}
    card = {"network": {"type": name, **sizes}, "side": segmenter.resolution, "labels": segmenter.labels, **about}
    save_file({key: value.detach().cpu().contiguous() for key, value in segmenter.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def load_segmenter(path: Path = SHIPPED) -> AttributeSegmenter:
    """Read a segmenter that `save_segmenter` wrote; without a path the one that comes with the project.

    Args:
        path: The ``.safetensors`` file; its ``.json`` lies beside it.

    Returns:
        The segmenter in evaluation mode on the CPU.

    Raises:
        WeightsError: A file is missing, damaged, or of another kind.
    """
    path = Path(path)
    state = read_state_dict(path)
    card = _card(path.with_suffix(".json"))
    network = dict(card["network"])
    name = network.pop("type", None)
    if not isinstance(name, str) or name not in NETWORKS:
        raise WeightsError(
            f"{path.with_suffix('.json')} names the network {name!r}, expected one of {', '.join(NETWORKS)}."
        )
    try:
        segmenter = build_for(lambda: AttributeSegmenter(NETWORKS[name](**network), card.get("side")), state, str(path))
    except WeightsError:
        raise
    except Exception as error:  # sizes may be of any kind
        raise WeightsError(f"{path.with_suffix('.json')} describes a {name} that cannot be built: {error}.") from error
    if card.get("labels") != segmenter.labels:
        raise WeightsError(
            f"{path.with_suffix('.json')} lists other labels than the {len(segmenter.labels)} attributes "
            f"({segmenter.labels[0]} ... {segmenter.labels[-1]}): the file belongs to another segmenter."
        )
    return segmenter.eval()


def _card(path: Path) -> dict[str, Any]:
    card = read_card(path, "it says which network the weights beside it belong to")
    if not isinstance(card, dict) or not isinstance(card.get("network"), dict):
        raise WeightsError(f"{path} does not describe a segmenter: expected an entry network with its type and sizes.")
    return card
