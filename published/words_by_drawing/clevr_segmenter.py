"""The CLEVR attribute segmenter of surisdi/learning-by-drawing: ``seg_encoder.pth`` and ``seg_decoder.pth``."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from models.segmenter.labels import ATTRIBUTE_LABELS
from models.segmenter.network import AttributeSegmenter, DilatedSegmenter
from models.weights import WeightsError, load_strictly, read_state_dict, strip_prefix
from published.key_map import rename

ENCODER, DECODER = "seg_encoder.pth", "seg_decoder.pth"
RESOLUTION = 128  # pixels high and wide of the published label maps
IGNORED = re.compile(r"(.*\.)?(_tmp_running_mean|_tmp_running_var|_running_iter)|fc\.(weight|bias)")
POSITIONS = {"1": "0", "2": "1", "3": "2"}  # of the stem's convolutions
ENCODER_RULES = [
    *((rf"conv{number}\.(\w+)", rf"stem.{position}.0.\1") for number, position in POSITIONS.items()),
    *((rf"bn{number}\.(\w+)", rf"stem.{position}.1.\1") for number, position in POSITIONS.items()),
    (r"(layer[1-4]\..+)", r"\1"),
]
DECODER_RULES = [
    (r"ppm\.(.+)", r"pyramid.\1"),
    (r"conv_last\.(.+)", r"head.\1"),
    (r"cbr_deepsup\.(.+)", r"deep.\1"),
    (r"conv_last_deepsup\.(.+)", r"deep_head.1.\1"),
]


def load(path: Path) -> AttributeSegmenter:
    """Load the published segmenter of the folder that holds both files, or of one of them (the other lies beside it).

    It is in evaluation mode on the CPU; its maps have 128 pixels high and wide as published. Raises WeightsError, which
    names the file, where one is missing, damaged, of another kind, or does not fit.
    """
    folder = path.parent if path.name in (ENCODER, DECODER) else path
    network = DilatedSegmenter()
    for part, name, rules in ((network.encoder, ENCODER, ENCODER_RULES), (network.decoder, DECODER, DECODER_RULES)):
        file = folder / name
        state = _without_synchronisation(strip_prefix(read_state_dict(file)))
        if name == DECODER:
            _check_labels(state, file)
        load_strictly(part, rename(state, rules, str(file)), str(file))
    return AttributeSegmenter(network, RESOLUTION).eval()


def _without_synchronisation(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what the synchronised batch norm of that code keeps beside its statistics, and the unused classifier."""
    return {name: value for name, value in state.items() if not IGNORED.fullmatch(name)}


def _check_labels(state: Mapping[str, Tensor], file: Path) -> None:
    head = state.get("conv_last.4.weight")
    if head is not None and len(head) != len(ATTRIBUTE_LABELS):
        raise WeightsError(
            f"{file} scores {len(head)} labels, expected the {len(ATTRIBUTE_LABELS)} CLEVR attributes: it is another "
            "segmenter of that family."
        )
