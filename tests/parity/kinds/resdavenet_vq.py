"""Experiment folders of ResDAVEnet-VQ whose quantisers are all off."""

import pickle
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import UnknownKindError


def write(case: Case) -> None:
    """Write ``args.pkl`` and the two state dicts into the case's folder."""
    (case.folder / "models").mkdir()
    with (case.folder / "args.pkl").open("wb") as file:
        pickle.dump(Namespace(**case.hyper["args"]), file)
    for name in ("models/best_audio_model.pth", "models/best_image_model.pth"):
        torch.save(OrderedDict(case.state(name)), case.folder / name)


@torch.no_grad()
def run(case: Case) -> dict[str, np.ndarray]:
    """Load the folder and encode the case's images and log-mels."""
    flags = case.hyper["args"]["VQ_turnon"]
    if any(int(flag) for flag in flags.split(",")):
        raise UnknownKindError(
            f"kind resdavenet_vq with VQ_turnon {flags}: only the non-quantised form is known so far"
        )
    write(case)
    model = load_published("resdavenet_vq", case.folder)
    image = model.image(case.tensor("image"))[:, :: case.hyper.get("image_channel_stride", 1)]
    features = model.speech(case.tensor("mel")).features
    return {"image_out": image.numpy(), "audio_out": features.unsqueeze(2).numpy()}
