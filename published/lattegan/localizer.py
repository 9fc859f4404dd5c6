"""The localiser of Maluuba/GeNeVA: ``codraw_inception_best_checkpoint.pth``, ``clevr_inception_best_checkpoint.pth``.

A dict whose ``state_dict`` holds the weights and whose ``num_classes`` says how many coordinates there are. LatteGAN
names the second file ``iclevr_...``.
"""

from collections.abc import Mapping
from pathlib import Path

from models.damsm import TOP, TRUNK
from models.object_localizer import InceptionTrunk, ObjectLocalizer
from models.weights import WeightsError, as_state_dict, load_strictly, read_torch_file, strip_prefix
from published.key_map import Rule, rename

COORDINATES = (2, 3)
RULES: list[Rule] = [
    (rf"inception3\.({'|'.join(TRUNK)})\.(.+)", r"trunk.trunk.\1.\2"),
    (rf"inception3\.({'|'.join(TOP)})\.(.+)", r"trunk.top.\1.\2"),
    (r"inception3\.AuxLogits\.(.+)", r"trunk.auxiliary.\1"),
    (r"inception3\.(fc\..+)", r"trunk.\1"),
    (r"((?:detector|localizer)\.[01]\.(?:weight|bias))", r"\1"),
]


def load(path: Path) -> ObjectLocalizer:
    """Load a localiser, in evaluation mode on the CPU.

    Classes and coordinates are read off the weights. Raises WeightsError where the file is missing, damaged, of another
    kind, or does not fit.
    """
    content = read_torch_file(path)
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise WeightsError(f"{path} holds no state_dict: expected a checkpoint of Maluuba/GeNeVA's localiser")
    own = rename(strip_prefix(as_state_dict(content["state_dict"], path)), RULES, str(path))
    for name in ("detector.1.weight", "localizer.1.weight"):
        if name not in own or own[name].dim() != 2:
            raise WeightsError(f"{path} lacks {name}: it is a checkpoint of another kind.")
    classes, numbers = len(own["detector.1.weight"]), len(own["localizer.1.weight"])
    if numbers not in (classes * count for count in COORDINATES):
        raise WeightsError(f"{path} has {numbers} numbers for {classes} classes, expected 2 or 3 coordinates each.")
    model = ObjectLocalizer(classes, numbers // classes, InceptionTrunk())
    load_strictly(model, own, str(path))
    return model.eval()
