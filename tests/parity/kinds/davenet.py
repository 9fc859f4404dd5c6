"""Davenet checkpoints as torch 0.4.1 wrote them: one non-zip torch file with DataParallel names."""

import numpy as np
import torch

from published import load_published
from tests.parity.case import Case


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


@torch.no_grad()
def run(case: Case) -> dict[str, np.ndarray]:
    """Load the folder and encode the case's images and log-mels."""
    write(case)
    model = load_published("davenet", case.folder)
    mel = case.tensor("mel")
    speech = model.speech(mel.squeeze(1) if mel.dim() == 4 else mel)
    return {
        "image_out": model.image(case.tensor("image")).numpy(),
        "audio_out": speech.features.unsqueeze(2).numpy(),  # the original keeps the mel axis, of size one
    }
