"""The networks of a LatteGAN snapshot: image encoder, generator with the mixed and the right masks, discriminator."""

import torch

from gan.lattegan.layers import Instructions
from published import load_published
from tests.parity.case import Case
from tests.parity.fill import fill_state
from tests.parity.kinds import Arrays, Groups

SCALE = 128.0  # of pixels, so that 255 becomes 0.992


@torch.no_grad()
def groups(case: Case) -> Groups:
    """Write the file, load it, and generate the batch as published, then each sample with its own mask."""
    (name,) = case.files
    entries, salt = case.files[name]["entries"], case.spec["salt"]
    torch.save({part: fill_state(rows, salt) for part, rows in entries.items()}, case.folder / name)
    networks = load_published("lattegan", case.folder / name)
    instructions = Instructions(*(case.tensor(key) for key in ("text_embedding", "word_embeddings", "lengths")))
    previous, target = (case.tensor(key).float() / SCALE - 1 for key in ("prev_u8", "target_u8"))
    noise = case.tensor("z")
    eps = torch.randn(len(noise), 256, generator=torch.Generator().manual_seed(case.hyper["seed"]))
    maps = networks.image_encoder(previous)

    @torch.no_grad()
    def published() -> Arrays:
        networks.generator.mixed_masks = True
        made = networks.generator(noise, instructions, maps, eps)
        critic = {
            ending: networks.discriminator(previous, images, instructions)
            for ending, images in (("", target), ("_fake", made.images))
        }
        arrays = {
            "feature_map": maps[:, ::16],
            "eps": eps,
            "image": made.images[..., ::2, ::2],
            "gate": made.gate[:, ::16],
            "mu": made.mean,
            "logvar": made.log_variance,
        }
        for ending, found in critic.items():
            step = 4 if ending else 2
            arrays |= {f"d_enc{ending}": found.fitting[:, None], f"d_aux{ending}": found.objects}
            arrays[f"d_dec{ending}"] = found.pixels[..., ::step, ::step]
        return {key: value.numpy() for key, value in arrays.items()}

    @torch.no_grad()
    def right() -> Arrays:
        networks.generator.mixed_masks = False
        made = networks.generator(noise, instructions, maps, eps)
        return {"image_rowwise": made.images[..., ::4, ::4].numpy(), "gate_rowwise": made.gate[:, ::32].numpy()}

    return {"published": published} | ({"right": right} if "image_rowwise" in case.outputs else {})
