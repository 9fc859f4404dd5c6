"""Discriminators of BigGAN as their file holds them: logits and two blocks."""

import torch

from gan.hooks import recorded
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the file, load it, score the images."""
    (name,) = case.files
    torch.save(case.state(name), case.folder / name)
    critic = load_published("biggan_discriminator", case.folder / name)

    @torch.no_grad()
    def scores() -> Arrays:
        with recorded(critic, ["blocks.0", "blocks.3"]) as layers:
            logits = critic(case.tensor("x"), case.tensor("y"))
        block0 = layers["blocks.0"][..., ::4, ::4]
        return {"logits": logits.numpy(), "block0": block0.numpy(), "block3": layers["blocks.3"].numpy()}

    return {"scores": scores}
