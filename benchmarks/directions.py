"""Layer-selective directions of many latents at once, against one latent and one direction at a time, as published.

    python -m benchmarks.directions                      # 8 latents x 8 directions x 10 steps, about a minute
    python -m benchmarks.directions --latents 32 --steps 50

A BigGAN with random weights; the directions are the same both ways. The public code makes the directions of a layer one
after the other, each with all of its steps.
"""

import torch
from torch import Tensor, nn

from benchmarks.table import Row, best_times, devices, options, print_table
from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from gan.directions.directions import numbers_of
from gan.directions.layer_selective import LayerSelective, Objective


def one_at_a_time(
    generator: nn.Module, latents: Tensor, classes: Tensor, layer: str, starts: Tensor, steps: int, lr: float
) -> Tensor:
    """Optimise each direction (Z, K, D) of one layer by itself from ``starts``, of each latent by itself."""
    objective = Objective(generator, layer)
    found = []
    for latent, of_class, own in zip(latents.split(1), classes.split(1), starts, strict=True):
        with torch.no_grad():
            before = objective.outputs(latent, of_class)
        for start in own.split(1):
            parameter = nn.Parameter(start.clone())
            optimizer = torch.optim.Adam([parameter], lr=lr)
            for _ in range(steps):
                unit = nn.functional.normalize(parameter, dim=1)
                optimizer.zero_grad()
                objective.of(latent, unit, of_class, *before).sum().backward()
                optimizer.step()
            found.append(nn.functional.normalize(parameter.detach(), dim=1))
    return torch.cat(found).view_as(starts)


def measure(widths: list[int], number: int, per_layer: int, steps: int, batch_size: int, device: str) -> Row:
    """Measure one device."""
    torch.manual_seed(0)
    generator = BigganGenerator(widths, latent_dim=20 * len(widths), num_classes=10, class_dim=32)
    generator = generator.to(device).eval().requires_grad_(False)
    latents, classes = (one.to(device) for one in draw(generator, number, seed=0))
    layer, lr = "layer1", 0.01
    method = LayerSelective(layer, layer, per_layer=per_layer, steps=steps, lr=lr, batch_size=batch_size)
    starts = torch.randn(number, per_layer, latents.shape[1], generator=numbers_of(0)).to(device)
    together, alone = best_times(
        lambda: method.find(generator, latents, classes, seed=0),
        lambda: one_at_a_time(generator, latents, classes, layer, starts, steps, lr),
        repeats=2,
        device=device,
    )
    sizes = f"{number} latents x {per_layer} directions x {steps} steps, {generator.resolution} pixels"
    return Row(
        f"layer-selective directions, {device}", together, alone, note=f"{sizes}; one latent and direction at a time"
    )


def main() -> None:
    """Measure and print."""
    sizes = options(
        __doc__,
        {
            "latents": (8, "latents"),
            "directions": (8, "directions of each latent"),
            "steps": (10, "steps of Adam"),
            "width": (64, "channels of the first layer"),
            "batch": (64, "pairs of a latent and a direction at a time"),
        },
    )
    widths = [sizes.width, sizes.width, max(1, sizes.width // 2), max(1, sizes.width // 4), max(1, sizes.width // 8)]
    for device in devices():
        row = measure(widths, sizes.latents, sizes.directions, sizes.steps, sizes.batch, device)
        print_table(f"directions on {device}, {sizes.threads} threads", [row])


if __name__ == "__main__":
    main()
