"""Experiment folders of ResDAVEnet-VQ whose quantisers are all off."""

import pickle
from argparse import Namespace
from collections import OrderedDict

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups, UnknownKindError


def write(case: Case) -> None:
    """Write ``args.pkl`` and the two state dicts into the case's folder."""
    (case.folder / "models").mkdir()
    with (case.folder / "args.pkl").open("wb") as file:
        pickle.dump(Namespace(**case.hyper["args"]), file)
    for name in ("models/best_audio_model.pth", "models/best_image_model.pth"):
        torch.save(OrderedDict(case.state(name)), case.folder / name)


def groups(case: Case) -> Groups:
    """Load the folder; encode the case's images, and its log-mels."""
    flags = case.hyper["args"]["VQ_turnon"]
    if any(int(flag) for flag in flags.split(",")):
        raise UnknownKindError(
            f"kind resdavenet_vq with VQ_turnon {flags}: only the non-quantised form is known so far"
        )
    write(case)
    model = load_published("resdavenet_vq", case.folder)

    @torch.no_grad()
    def image() -> Arrays:
        maps = model.image(case.tensor("image"))
        return {"image_out": maps[:, :: case.hyper.get("image_channel_stride", 1)].numpy()}

    @torch.no_grad()
    def audio() -> Arrays:
        return {"audio_out": model.speech(case.tensor("mel")).features.unsqueeze(2).numpy()}

    return {"image": image, "audio": audio}
