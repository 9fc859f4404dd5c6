"""GeNeVA-GAN's networks with the options that change them: two turns drive the state, one image is made, one judged."""

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
from published.key_map import rename
from tests.parity.case import Case
from tests.parity.fill import fill_state
from tests.parity.kinds import Arrays, Groups
from tests.parity.kinds.lattegan import SCALE

SPECTRAL = [
    (r"(.+)\.weight_orig", r"\1.parametrizations.weight.original"),
    (r"(.+)\.weight_([uv])", r"\1.parametrizations.weight.0._\2"),
    (r"(.+)", r"\1"),
]
BLOCK = [
    (r"(.*)conv_shortcut\.(.+)", r"\1shortcut.\2"),
    (r"(.*)self_attention\.f_x\.(.+)", r"\1attention.key.\2"),
    (r"(.*)self_attention\.g_x\.(.+)", r"\1attention.query.\2"),
    (r"(.*)self_attention\.h_x\.(.+)", r"\1attention.value.\2"),
    (r"(.*)self_attention\.(.+)", r"\1attention.\2"),
    (r"(resup.*)\.bn(\d)\.bn\.(.+)", r"\1.norm\2.norm.\3"),
    (r"(resup.*)\.bn(\d)\.(.+)", r"\1.norm\2.\3"),
    (r"(.+)", r"\1"),
]
GENERATOR = [
    *((rf"resup{number}\.(.+)", rf"text.{number - 1}.\1") for number in (1, 2)),
    *((rf"resup{number}\.(.+)", rf"image.{number - 3}.\1") for number in (3, 4, 5)),
    (r"condition_projector\.(.+)", r"augmentation.\1"),
    (r"fc1\.(.+)", r"fc.\1"),
    (r"bn\.(.+)", r"norm.\1"),
    (r"((?:conv|gate)\..+)", r"\1"),
]
DISCRIMINATOR = [
    *((rf"resdown{number}\.(.+)", rf"each.{number - 1}.\1") for number in (1, 2, 3)),
    *((rf"resdown{number}\.(.+)", rf"both.{number - 4}.\1") for number in (4, 5, 6)),
    (r"linear\.(.+)", r"logit.\1"),
    (r"condition_projector\.(.+)", r"condition.\1"),
    (r"aux_objective\.(.+)", r"objects.\1"),
]
RULES = {
    "generator": GENERATOR,
    "discriminator": DISCRIMINATOR,
    "image_encoder": [(r"image_encoder\.(.+)", r"blocks.\1")],
    "sentence_encoder": [(r"gru\.(.+)", r"rnn.\1"), (r"layer_norm\.(.+)", r"norm.\1")],
}
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
    states = {
        key.removesuffix("_state_dict"): {
            entry.removeprefix("module."): value for entry, value in fill_state(rows, case.spec["salt"]).items()
        }
        for key, rows in entries.items()
    }
    for part, rules in RULES.items():
        state = {key: value for key, value in states[part].items() if not key.startswith("object_detector")}
        if part == "generator" and options["gen_fusion"] != "gate":  # there, and not used
            state = {key: value for key, value in state.items() if not key.startswith("gate.")}
        for step in (BLOCK, rules, SPECTRAL):
            state = rename(state, step, name)
        load_strictly(networks[part], state, name)
    parts = {"text_projection": "project", "bn": "norm"}
    state = {
        f"{parts[key.split('.')[0]]}.{key.split('.', 1)[1]}": value
        for key, value in states["condition_encoder"].items()
    }
    state |= {f"rnn.{key}": value for key, value in states["rnn"].items()}
    state |= {f"output.{key}": value for key, value in states["layer_norm"].items()}
    load_strictly(networks["dialogue"], state, name)
    return {key: network.eval() for key, network in networks.items()}
