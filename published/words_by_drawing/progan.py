"""Generators of the Progressive GAN in their three published forms.

* ``generator.pth`` of surisdi/learning-by-drawing and CSAILVision/gandissect: a state dict, plain or below the key
  ``state_dict``, with ``layerN.conv.weight``, ``layerN.wscale.b`` and ``output_RxR.conv.weight``,
  ``output_RxR.wscale.b``;
* older torch files: ``features.(N-1).conv.weight``, ``features.(N-1).wscale.b``, ``output.conv.weight``, ...;
* variables of the TensorFlow original, by name: ``4x4/Dense/weight``, ``32x32/Conv0_up/bias``, ``ToRGB_lod0/weight``,
  ... Its kernels lie as (H, W, in, out), and as (H, W, out, in) where they double the resolution.

Widths are read off the weights. Weight scales are not stored: they follow from the widths.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gan.progan.generator import FIRST_RESOLUTION, ProganGenerator
from models.weights import WeightsError, as_state_dict, load_strictly, read_torch_file, sized, strip_prefix
from published.key_map import laid_out, rename
from published.writing import write_torch_file

log = logging.getLogger(__name__)
RULES = [
    (r"(layer\d+)\.conv\.weight", r"\1.conv.weight"),
    (r"(layer\d+)\.wscale\.b", r"\1.conv.bias"),
    (r"output_\d+x\d+\.conv\.weight", "output.conv.weight"),
    (r"output_\d+x\d+\.wscale\.b", "output.conv.bias"),
]
TENSORFLOW_LAYER = re.compile(r"(\d+)x\1/(Dense|Conv|Conv0_up|Conv1)/(weight|bias)")
TENSORFLOW_LOWER_OUTPUT = re.compile(r"ToRGB_lod[1-9]\d*/(weight|bias)")
TENSORFLOW_STATE = ("lod",)  # variables that are no weights


def load(path: Path) -> ProganGenerator:
    """Load a generator from a torch or safetensors file in one of the three forms, in evaluation mode on the CPU.

    Raises WeightsError where the file is missing, damaged, of another kind, or does not fit.
    """
    content = read_torch_file(path)
    if isinstance(content, Mapping) and "state_dict" in content:
        content = content["state_dict"]
    return from_state_dict(as_state_dict(content, path), str(path))


def from_state_dict(state: Mapping[str, Tensor], source: str) -> ProganGenerator:
    """Make a generator, in evaluation mode, from weights in one of the three forms.

    Raises WeightsError as :func:`load`.

    ``source`` is where they come from, for messages.
    """
    state = strip_prefix(state)
    with laid_out(source):
        if any("/" in name for name in state):
            own = _from_tensorflow(state, source)
        else:
            own = rename(_from_older(state), RULES, source)
        model = ProganGenerator(*_shape(own, source))
    load_strictly(model, own, source)
    _check_output_name(state, model.resolution, source)
    return model.eval()


def _from_older(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``features.i`` to ``layer(i + 1)``; other names stay."""
    renamed = {}
    for name, value in state.items():
        match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
        new = f"layer{int(match[1]) + 1}.{match[2]}" if match else name
        renamed[re.sub(r"^output\.", "output_0x0.", new)] = value
    return renamed


def _from_tensorflow(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rename TensorFlow variables and lay their kernels as torch does; outputs of lower resolutions are left out."""
    own: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        match = TENSORFLOW_LAYER.fullmatch(name)
        if match:
            own |= _tensorflow_layer(int(match[1]), match[2], match[3], value, f"{source} ({name})")
        elif name == "ToRGB_lod0/weight":
            own["output.conv.weight"] = value.permute(3, 2, 0, 1)
        elif name == "ToRGB_lod0/bias":
            own["output.conv.bias"] = value
        elif name not in TENSORFLOW_STATE and not TENSORFLOW_LOWER_OUTPUT.fullmatch(name):
            unknown.append(name)
    if unknown:
        raise WeightsError(f"{source} holds {len(unknown)} entries that no generator has: {', '.join(unknown[:4])}.")
    return own


def _tensorflow_layer(resolution: int, kind: str, part: str, value: Tensor, source: str) -> dict[str, Tensor]:
    stage = (resolution // FIRST_RESOLUTION).bit_length() - 1
    second = kind in ("Conv", "Conv1")
    layer = f"layer{2 * stage + (2 if second else 1)}"
    if part == "bias":
        return {f"{layer}.conv.bias": value}
    if value.dim() != (2 if kind == "Dense" else 4):
        raise WeightsError(f"{source} has the shape {tuple(value.shape)}, which is not that of a {kind} layer.")
    if kind == "Dense":  # (latent, C * 4 * 4): a 4 x 4 convolution over one position meets its kernel turned round
        kernel = value.reshape(len(value), -1, FIRST_RESOLUTION, FIRST_RESOLUTION).permute(1, 0, 2, 3).flip(2, 3)
    elif kind == "Conv0_up":
        kernel = value.permute(2, 3, 0, 1).flip(2, 3)
    else:
        kernel = value.permute(3, 2, 0, 1)
    return {f"{layer}.conv.weight": kernel.contiguous()}


def _shape(own: Mapping[str, Tensor], source: str) -> tuple[int, list[int]]:
    """Read the latent's size and the widths off layers 1, 3, 5 ..."""
    first = own.get("layer1.conv.weight")
    if first is None or first.dim() != 4:
        raise WeightsError(
            f"{source} holds no layer1.conv.weight (or features.0.conv.weight, or 4x4/Dense/weight): it is not a "
            "generator of the Progressive GAN, or not a whole one."
        )
    widths = []
    while (name := f"layer{2 * len(widths) + 1}.conv.weight") in own:
        widths.append(len(sized(own, name, source)))
    return first.shape[1], widths


def _check_output_name(state: Mapping[str, Tensor], resolution: int, source: str) -> None:
    """Refuse a file whose output's name gives another resolution than its layers make."""
    for name in state:
        match = re.match(r"output_(\d+)x\d+\.", name)
        if match and int(match[1]) != resolution:
            raise WeightsError(f"{source} holds {name}, but its layers make images of {resolution} pixels.")


def save(model: ProganGenerator, path: Path) -> None:
    """Write a fully grown generator as the public code reads it, a plain state dict (its ``generator.pth``).

    Its reader never clips: of a generator that bounds its images to -1 to 1 by clipping it draws unclipped ones, and
    the public GanTester clips them afterwards.
    """
    if model.tanh:
        log.warning("the public reader of %s leaves out the clipping to -1 to 1 that this generator ends with", path)
    resolution = model.resolution
    rules = [
        (r"(layer\d+)\.conv\.weight", r"\1.conv.weight"),
        (r"(layer\d+)\.conv\.bias", r"\1.wscale.b"),
        (r"output\.conv\.weight", f"output_{resolution}x{resolution}.conv.weight"),
        (r"output\.conv\.bias", f"output_{resolution}x{resolution}.wscale.b"),
    ]
    write_torch_file(path, rename(model.state_dict(), rules, "the generator"))
