"""Networks of LatteGAN that no published parameter file names, each variant in a snapshot of its own, narrow."""

import torch

from gan.lattegan.attention import MultiHeadAttention
from gan.lattegan.layers import Instructions
from published import load_published
from tests.parity.case import Case
from tests.parity.fill import fill_state
from tests.parity.kinds import Arrays, Groups
from tests.parity.kinds.lattegan import SCALE


def groups(case: Case) -> Groups:
    """Write each snapshot, load it, generate and judge as published."""
    instructions = Instructions(*(case.tensor(key) for key in ("text_embedding", "word_embeddings", "lengths")))
    previous, target = (case.tensor(key).float() / SCALE - 1 for key in ("prev_u8", "target_u8"))
    noise = case.tensor("z")
    generator = torch.Generator().manual_seed(case.hyper["seed"])
    eps = torch.randn(len(noise), case.hyper["condaug_out_dim"], generator=generator)

    @torch.no_grad()
    def variant(name: str) -> Arrays:
        path = case.folder / f"{name}.pth"
        entries = case.files[path.name]["entries"]
        torch.save({part: fill_state(rows, case.spec["salt"]) for part, rows in entries.items()}, path)
        networks = load_published("lattegan", path)
        for network in networks:
            for part in network.modules():
                if isinstance(part, MultiHeadAttention):
                    part.mixed_masks = True
        made = networks.generator(noise, instructions, networks.image_encoder(previous), eps)
        judged = networks.discriminator(previous, target, instructions)
        arrays = {
            "image": made.images[..., ::16, ::16],
            "fitting": judged.fitting[:, None],
            "objects": judged.objects,
        }
        if made.gate is not None:
            arrays["gate"] = made.gate[:, ::4, ::2, ::2]
        if judged.pixels is not None:
            arrays["pixels"] = judged.pixels[..., ::16, ::16]
        return {f"{key}_{name}": value.numpy() for key, value in arrays.items()}

    return {name: lambda name=name: variant(name) for name in case.hyper["variants"]}
