"""Generators of AttnGAN, with the right masks and with those of the public code, and row by row."""

import numpy as np
import torch

from gan.attngan.generator import AttnganGenerator, GeneratedBatch
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the file, load it, draw the batch as published, then each row alone and the batch with the right masks."""
    (name,) = case.files
    torch.save(case.state(name), case.folder / name)
    model = load_published("attngan", case.folder / name)
    eps = torch.randn(
        case.input("z").shape[0], model.condition_dim, generator=torch.Generator().manual_seed(case.hyper["seed"])
    )

    def published() -> Arrays:
        model.mixed_masks = True
        found = draw(model, case, eps)
        condition = found.mean + eps * (found.log_variance / 2).exp()
        return shown(found) | {
            "mu": found.mean.numpy(),
            "logvar": found.log_variance.numpy(),
            "eps": eps.numpy(),
            "c_code": condition.numpy(),
        }

    def right() -> Arrays:
        model.mixed_masks = False
        found = draw(model, case, eps)
        return {
            "image256_rowwise": found.images[-1][..., ::8, ::8].numpy(),
            "att1_rowwise": found.attention[0][..., ::4, ::4].numpy(),
            "att2_rowwise": found.attention[1][..., ::8, ::8].numpy(),
        }

    return {"published": published} | ({"right": right} if "image256_rowwise" in case.outputs else {})


@torch.no_grad()
def draw(model: AttnganGenerator, case: Case, eps: torch.Tensor) -> GeneratedBatch:
    """Draw the case's batch."""
    inputs = [case.tensor(name) for name in ("z", "sent_emb", "word_embs")]
    return model(*inputs, case.tensor("captions") == 0, eps)


def shown(found: GeneratedBatch) -> dict[str, np.ndarray]:
    """Images of 64 pixels and words' weights of 16 by their names in the cases."""
    images = {f"image{image.shape[-1]}": thinned(image, 64) for image in found.images}
    return images | {f"att{place}": thinned(maps, 16) for place, maps in enumerate(found.attention, start=1)}


def thinned(maps: torch.Tensor, resolution: int) -> np.ndarray:
    """Every so many places, so that a side is left."""
    step = maps.shape[-1] // resolution
    return maps[..., ::step, ::step].numpy()
