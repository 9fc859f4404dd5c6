"""The encoders of AttnGAN's matching model, text and image file beside each other."""

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

STRIDES = {"features": 8, "features_gain": 4, "features_gain_align_corners": 16}


def groups(case: Case) -> Groups:
    """Write both files, load them, encode the captions, and the images as they are and amplified."""
    for name in case.files:
        torch.save(case.state(name), case.folder / name)
    model = load_published("damsm", case.folder)
    images = case.tensor("images_u8").float() / 127.5 - 1

    @torch.no_grad()
    def text() -> Arrays:
        found = model.text(case.tensor("captions"), case.tensor("cap_lens"))
        return {"words_emb": found.words.numpy(), "sent_emb": found.sentences.numpy()}

    def image(gain: float, ending: str, align_corners: bool) -> Arrays:
        model.image.align_corners = align_corners
        with torch.no_grad():
            found = model.image(gain * images)
        name = f"features{ending}"
        return {name: found.regions[:, :: STRIDES[name]].numpy(), f"cnn_code{ending}": found.images.numpy()}

    gain = case.hyper["gain"]
    return {
        "text": text,
        "image": lambda: image(1.0, "", False),
        "amplified": lambda: image(gain, "_gain", False),
        "aligned": lambda: image(gain, "_gain_align_corners", True),
    }
