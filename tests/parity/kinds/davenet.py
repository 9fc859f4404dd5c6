"""Davenet checkpoints as torch 0.4.1 wrote them: one non-zip torch file with DataParallel names."""

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def write(case: Case) -> None:
    """Write ``model_best_parity.pth.tar`` with everything the original stored beside the weights."""
    state = case.state(case.file_like("model_best"))
    buffers = {
        140000000000000 + 8 * i: {"momentum_buffer": torch.zeros_like(v)}
        for i, v in enumerate(list(state.values())[:3])
    }
    group = {"lr": 1e-3, "momentum": 0.9, "dampening": 0, "weight_decay": 5e-7, "nesterov": False}
    content = {
        "epoch": 12,
        "model_state_dict": state,
        "best_eval": 0.25,
        "recall_now": dict.fromkeys(("A_r1", "A_r5", "A_r10", "I_r1", "I_r5", "I_r10"), 0.125),
        "optimizer": {"state": buffers, "param_groups": [{**group, "params": list(buffers)}]},
    }
    torch.save(content, case.folder / "model_best_parity.pth.tar", _use_new_zipfile_serialization=False)


def groups(case: Case) -> Groups:
    """Load the folder; encode the case's images, and its log-mels."""
    write(case)
    model = load_published("davenet", case.folder)

    @torch.no_grad()
    def image() -> Arrays:
        return {"image_out": model.image(case.tensor("image")).numpy()}

    @torch.no_grad()
    def audio() -> Arrays:
        mel = case.tensor("mel")
        speech = model.speech(mel.squeeze(1) if mel.dim() == 4 else mel)
        return {"audio_out": speech.features.unsqueeze(2).numpy()}  # the original keeps the mel axis, of size one

    return {"image": image, "audio": audio}
