"""Generators of the Progressive GAN as their file holds them: plain, or below the key ``state_dict``."""

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

FILE = "generator.pth"


def groups(case: Case) -> Groups:
    """Write the file, load it, draw the case's latents."""
    state = case.state(FILE)
    wrapped = isinstance(case.files[FILE].get("wrapper"), dict)
    torch.save({"state_dict": state} if wrapped else state, case.folder / FILE)
    generator = load_published("progan", case.folder / FILE)

    @torch.no_grad()
    def image() -> Arrays:
        return {"image": generator(case.tensor("z")).numpy()}

    return {"image": image}
