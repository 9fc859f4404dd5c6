"""Experiment folders of ResDAVEnet-VQ, with quantisers or without."""

import pickle
from argparse import Namespace
from collections import OrderedDict
from functools import partial

import numpy as np
import torch

from models.resdavenet_vq import ResDavenetVq
from models.speech_maps import pooled_lengths
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def write(case: Case) -> None:
    """Write ``args.pkl`` and the two state dicts into the case's folder."""
    (case.folder / "models").mkdir()
    with (case.folder / "args.pkl").open("wb") as file:
        pickle.dump(Namespace(**case.hyper["args"]), file)
    for name in ("models/best_audio_model.pth", "models/best_image_model.pth"):
        torch.save(OrderedDict(case.state(name)), case.folder / name)


def groups(case: Case) -> Groups:
    """Load the folder; encode the case's images and log-mels, and look into every quantiser."""
    write(case)
    model = load_published("resdavenet_vq", case.folder)

    @torch.no_grad()
    def image() -> Arrays:
        maps = model.image(case.tensor("image"))
        return {"image_out": maps[:, :: case.hyper.get("image_channel_stride", 1)].numpy()}

    @torch.no_grad()
    def audio() -> Arrays:
        return {"audio_out": model.speech(case.tensor("mel")).features.unsqueeze(2).numpy()}

    return {"image": image, "audio": audio} | {
        name: partial(_layer, case, model.speech, name) for name in case.hyper.get("enabled_layers", [])
    }


@torch.no_grad()
def _layer(case: Case, speech: ResDavenetVq, name: str) -> Arrays:
    """Features, codes and losses of one quantiser, with all frames and with the valid ones only."""
    rows, features = slice(None, None, case.hyper["row_stride"]), slice(None, None, case.hyper["feat_stride"])
    mel, nframes, stage = case.tensor("mel"), case.tensor("nframes"), int(name[-1]) - 1
    before, made = list(speech.run_stages(mel))[stage]
    masked = list(speech.run_stages(mel, nframes))[stage][1]

    def flat(maps: torch.Tensor) -> np.ndarray:
        return maps.transpose(1, 2).flatten(0, 1)[rows, features].numpy()

    codebook = speech.quantizers[name].codebook.double()
    nearest = torch.cdist(before.transpose(1, 2).double(), codebook[None]).square().topk(2, largest=False).values
    valid = pooled_lengths(nframes, mel.shape[-1], before.shape[-1])
    return {
        f"codes_{name}": made.codes.numpy(),
        f"pre_{name}": flat(before),
        f"post_{name}": flat(made.values),
        f"loss_{name}": made.loss.numpy(),
        f"loss_nframes_{name}": masked.loss.numpy(),
        f"frames_nframes_{name}": valid.sum().numpy(),
        f"margin_{name}": (nearest[..., 1] - nearest[..., 0]).float().numpy(),
    }
