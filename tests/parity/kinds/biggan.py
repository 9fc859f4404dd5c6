"""Generators of BigGAN as their file holds them, the layers that enter their blocks, and a step of a direction."""

import torch

from gan.directions.layer_selective import Objective
from gan.hooks import recorded
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the two files, load them, draw the latents, plain and moved."""
    (name,) = case.files
    torch.save(case.state(name), case.folder / name)
    torch.save({"config": case.hyper | {"G_activation": torch.nn.ReLU()}, "itr": 1}, case.folder / "state_dict.pth")
    generator = load_published("biggan", case.folder / name)
    z, y, direction = (case.tensor(name) for name in ("z", "y", "direction"))

    @torch.no_grad()
    def image() -> Arrays:
        with recorded(generator, ["layer0", "layer1", "layer2"]) as layers:
            made = generator(z, y)
        thinned = {name: maps[..., ::2, ::2].numpy() for name, maps in layers.items() if name != "layer0"}
        layer0 = {"layer0": layers["layer0"].numpy(), "shared_y": generator.classes(y).numpy()}
        moved = generator(z + 6 * direction / direction.norm(), y)
        return (
            {"image": made[..., ::4, ::4].numpy(), "image_direction": moved[..., ::8, ::8].numpy()} | thinned | layer0
        )

    def step() -> Arrays:
        leaf = direction[None].clone().requires_grad_()
        loss = Objective(generator, "layer1").of(z[:1], leaf / leaf.norm(), y[:1]).sum()
        loss.backward()
        return {"lsd_loss": loss.detach().numpy(), "lsd_grad": leaf.grad.numpy()}

    return {"image": image, "step": step}
