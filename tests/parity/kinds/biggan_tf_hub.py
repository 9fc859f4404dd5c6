"""Weights converted from TensorFlow Hub, in the converter's intermediate form."""

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the file, load it, draw the latents."""
    (name,) = case.files
    torch.save(case.state(name), case.folder / name)
    generator = load_published("biggan", case.folder / name)

    @torch.no_grad()
    def image() -> Arrays:
        return {"image": generator(case.tensor("z"), case.tensor("y"))[..., ::4, ::4].numpy()}

    return {"image": image}
