"""GeNeVA-GAN's networks with the options that change them: two turns drive the state, one image is made, one judged."""

from pathlib import Path

import torch
from torch import nn

from gan.lattegan.geneva import (
    GenevaDialogue,
    GenevaDiscriminator,
    GenevaGenerator,
    GenevaImageEncoder,
    GenevaSentenceEncoder,
)
from models.weights import load_strictly
from published.lattegan.geneva import own_states
from tests.parity.case import Case
from tests.parity.fill import fill_state
from tests.parity.kinds import Arrays, Groups
from tests.parity.kinds.lattegan import SCALE

WIDTH = 4


def groups(case: Case) -> Groups:
    """Build each variant, load its state dicts, and run it."""
    words, lengths, noise = (case.tensor(name) for name in ("words", "lengths", "z"))
    previous, target = (case.tensor(key).float() / SCALE - 1 for key in ("prev_u8", "target_u8"))
    seed = torch.Generator().manual_seed(case.hyper["seed"])
    eps = torch.randn(len(noise), case.hyper["conditioning_dim"], generator=seed)

    @torch.no_grad()
    def variant(name: str) -> Arrays:
        networks = loaded(case, name)
        dialogue = networks["dialogue"]
        state = dialogue.start(len(noise), noise.device)
        for turn in range(len(words)):
            told, state = dialogue(networks["sentence_encoder"](words[turn], lengths[turn]), state)
        maps = networks["image_encoder"](previous)
        made = networks["generator"](noise, told, maps, eps)
        judged = networks["discriminator"](previous, target, told)
        arrays = {
            "state": told,
            "maps": maps[:, ::4, ::2, ::2],
            "image": made.images[..., ::16, ::16],
            "fitting": judged.fitting,
            "probabilities": judged.objects.sigmoid(),
        }
        if case.hyper["variants"][name]["cond_kl_reg"] is not None:
            arrays |= {"mu": made.mean, "logvar": made.log_variance}
        if made.gate is not None:
            arrays["sigma"] = made.gate
        return {f"{key}_{name}": value.numpy() for key, value in arrays.items()}

    return {name: lambda name=name: variant(name) for name in case.hyper["variants"]}


def loaded(case: Case, name: str) -> dict[str, nn.Module]:
    """Networks of a variant's options with its weights, in evaluation mode."""
    options = case.hyper["variants"][name]
    gaussian = options["cond_kl_reg"] is not None
    networks = {
        "image_encoder": GenevaImageEncoder(
            options["image_feat_dim"], WIDTH, {"conv": "conv", "res_blocks": "residual"}[options["img_encoder_type"]]
        ),
        "sentence_encoder": GenevaSentenceEncoder(6, options["embedding_dim"]),
        "dialogue": GenevaDialogue(options["embedding_dim"], options["hidden_dim"], options["projected_text_dim"]),
        "generator": GenevaGenerator(
            options["hidden_dim"], options["image_feat_dim"], WIDTH, options["conditioning_dim"], options["noise_dim"],
            128, options["gen_fusion"], gaussian, options["generator_sn"], options["activation"],
            options["self_attention"],
        ),
        "discriminator": GenevaDiscriminator(
            options["hidden_dim"], options["num_objects"], WIDTH, 128,
            options["disc_img_conditioning"] if options["use_fd"] else "none", options["conditioning"],
            options["disc_cond_channels"], options["disc_sn"], options["activation"], options["self_attention"],
        ),
    }  # fmt: skip
    entries = case.files[f"{name}.pth"]["entries"]
    published = {key.removesuffix("_state_dict"): fill_state(rows, case.spec["salt"]) for key, rows in entries.items()}
    for part, state in own_states(published, options["gen_fusion"] == "gate", Path(name)).items():
        load_strictly(networks[part], state, name)
    return {key: network.eval() for key, network in networks.items()}
