"""AttnGAN's discriminators, each of a file of its own."""

from functools import partial

import torch

from published import load_published
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Write the files; one group for each."""
    for name in case.files:
        torch.save(case.state(name), case.folder / name)
    return {name: partial(_scores, case, name) for name in case.files}


@torch.no_grad()
def _scores(case: Case, file: str) -> Arrays:
    """Features and probabilities of one discriminator."""
    (model,) = load_published("attngan_discriminators", case.folder / file)
    name = file.removesuffix(".pth")
    features = model(case.tensor(f"images{model.resolution}_u8").float() / 127.5 - 1)
    found = {
        f"{name}_features": features[:, ::4],
        f"{name}_cond": model.with_sentence(features, case.tensor("sent_emb")).sigmoid(),
    }
    if model.alone is not None:
        found[f"{name}_uncond"] = model.alone(features).sigmoid()
    return {name: value.numpy() for name, value in found.items()}
