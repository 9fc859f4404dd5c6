"""The text encoders of AttnGAN's variants with a noise-reducing layer (linear, rdc_text)."""

import torch

from models.damsm import ImageRegionEncoder
from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups

NAMES = {"trunk.": "", "top.": "", "region.": "emb_features.", "image.": "emb_cnn_code."}


def groups(case: Case) -> Groups:
    """Write the file, and a random image encoder that makes it a pair, load both, encode the captions."""
    name = case.file_like("text_encoder")
    torch.save(case.state(name), case.folder / name)
    images = {}
    for entry, value in ImageRegionEncoder(case.hyper["nhidden"]).state_dict().items():
        ours = next(ours for ours in NAMES if entry.startswith(ours))
        images[NAMES[ours] + entry.removeprefix(ours)] = value
    torch.save(images, case.folder / name.replace("text", "image"))
    text = load_published("damsm", case.folder).text

    @torch.no_grad()
    def encoded(training: bool) -> Arrays:
        found = text.train(training)(case.tensor("captions"), case.tensor("cap_lens"))
        ending = "_training" if training else ""
        return {f"words_emb{ending}": found.words.numpy(), f"sent_emb{ending}": found.sentences.numpy()}

    made = {"evaluation": lambda: encoded(False)}
    if case.hyper["dropout"] is None:
        made["training"] = lambda: encoded(True)
    return made
