"""The localiser as its file holds it, on images and, so that the trunk reacts, on images of 10,000 times the range."""

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the file, load it, read the images."""
    (name,) = case.files
    torch.save(case.files[name]["extra"] | {"state_dict": case.state(name)}, case.folder / name)
    localizer = load_published("geneva_localizer", case.folder / name)
    images = case.tensor("images_u8").float() / 255

    @torch.no_grad()
    def read() -> Arrays:
        found = {"": localizer(images), "_gain": localizer(case.hyper["gain"] * images)}
        arrays: Arrays = {}
        for ending, readings in found.items():
            arrays[f"detections{ending}"] = readings.probabilities.numpy()
            arrays[f"locations{ending}"] = readings.locations.numpy()
        return arrays

    return {"read": read}
