"""Attribute segmenters in files: weights as safetensors beside a JSON that says what they are and how made."""

from pathlib import Path
from typing import Any

from torch import nn

from models.segmenter.network import AttributeSegmenter, DilatedSegmenter, SmallSegmenter
from models.weights import WeightsError, build_for, read_card, read_state_dict, write_weights

SHIPPED = Path(__file__).parents[1] / "shipped" / "segmenter_world.safetensors"
NETWORKS: dict[str, type[nn.Module]] = {"SmallSegmenter": SmallSegmenter, "DilatedSegmenter": DilatedSegmenter}


def save_segmenter(segmenter: AttributeSegmenter, path: Path, about: dict[str, Any]) -> Path:
    """Write a segmenter whose network is one of `NETWORKS` to ``path`` and its card beside it; return ``path``.

    The files are ``.safetensors`` and ``.json``; ``about`` says how it was made, in plain values. A network of another
    class ends in a WeightsError.
    """
    name = type(segmenter.network).__name__
    if name not in NETWORKS:
        raise WeightsError(f"the network is a {name}; segmenter files hold one of {', '.join(NETWORKS)}")
    sizes = {"widths": list(segmenter.network.widths)} if isinstance(segmenter.network, SmallSegmenter) else {}
    card = {"network": {"type": name, **sizes}, "side": segmenter.resolution, "labels": segmenter.labels, **about}
    write_weights(path, segmenter.state_dict(), card)
    return path


def load_segmenter(path: Path = SHIPPED) -> AttributeSegmenter:
    """Read a segmenter in evaluation mode on the CPU that `save_segmenter` wrote; by default the project's own.

    Args:
        path: the ``.safetensors`` file; its ``.json`` lies beside it.

    Raises:
        WeightsError: a file is missing, damaged, or of another kind.
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
