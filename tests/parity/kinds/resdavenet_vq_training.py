"""A small ResDAVEnet-VQ trained in float64 as the public loop trains it: this project's task, losses and schedule."""

from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

import losses
from config import Factory
from engine.schedules import step_decay
from evaluation.retrieval.recall import recall_metrics, retrieve
from models.resdavenet_vq import ResDavenetVq
from models.similarity import Similarity
from models.vector_quantizer import CodebookConfig
from published.key_map import convolutions_1d, rename
from published.resdavenet_vq.experiment import SPEECH_RULES, UNUSED
from tasks.speech_image import Ranking
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups
from tests.steps import FakeStep

QUANTIZERS = ("quant2", "quant3")


def groups(case: Case) -> Groups:
    """Train, then look at all pairs."""

    def training() -> Arrays:
        image, speech = _networks(case)
        return _trained(case, image, speech) | _evaluated(case, image.eval(), speech.eval())

    return {"training": torch.enable_grad()(training)}


def _networks(case: Case) -> tuple[nn.Module, ResDavenetVq]:
    """Both networks with the case's weights, in float64."""
    hyper = case.hyper
    sizes = {name: tuple(hyper[name]) for name in ("layer_widths", "layer_depths")}
    how = CodebookConfig(commitment_cost=hyper["commitment_cost"])
    settings = {"kernel": hyper["kernel"], "jitter": 0.0, "codebook": how}
    speech = ResDavenetVq(hyper["turn_on"], hyper["codes"], **sizes, **settings)
    state = {name: value for name, value in case.state("audio_model").items() if not name.startswith(UNUSED)}
    own = convolutions_1d(rename(state, SPEECH_RULES, case.name))
    speech.load_state_dict(own | {f"quantizers.{name}.placed": torch.tensor(True) for name in QUANTIZERS})
    image = nn.Conv2d(3, hyper["layer_widths"][-1], 4, stride=4)
    image.load_state_dict(case.state("image_model"))
    return image.double(), speech.double()


def _trained(case: Case, image: nn.Module, speech: ResDavenetVq) -> Arrays:
    """Losses and learning rates of all steps."""
    hyper, mel, images, nframes = case.hyper, case.tensor("mel"), case.tensor("image"), case.tensor("nframes")
    weights = [*speech.parameters(), *image.parameters()]
    optimizer = torch.optim.Adam(weights, lr=hyper["lr"], weight_decay=hyper["weight_decay"])
    decay = {"every_epochs": hyper["lr_decay"], "factor": hyper["lr_decay_multiplier"], "first_epoch": 1}
    schedule = step_decay(optimizer, hyper["steps_per_epoch"], **decay)
    margin = {"margin": hyper["margin"]}
    ranking = [Factory(loss, margin, "ranking") for loss in (losses.sampled_triplet, losses.semi_hard_triplet)]
    similarity = Similarity("pooled", "dot")
    parts = SimpleNamespace(scores=lambda maps, captions, *_: similarity.of_all_ranks(maps, captions))
    objective = Ranking(ranking, parts)
    found: dict[str, list] = {"loss": [], "commitment": [], "learning_rate": []}
    for step, drawn in enumerate(case.tensor("impostors")):
        rows = (step * hyper["batch_step"] + torch.arange(hyper["batch_size"])) % len(mel)
        found["learning_rate"].append(optimizer.param_groups[0]["lr"])
        maps, captions = image(images[rows]), speech(mel[rows], nframes[rows])
        with mock.patch("tasks.speech_image.objective.draw_impostors", side_effect=list(drawn)):
            values = objective(maps, captions, {}, FakeStep()).parts
        loss = sum(values.values()) + sum(captions.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        found["loss"].append(loss.detach())
        found["commitment"].append(torch.stack([captions.losses[f"commitment/{name}"] for name in QUANTIZERS]).detach())
    rates = torch.tensor(found.pop("learning_rate"), dtype=torch.float64)
    return {name: torch.stack(values).numpy() for name, values in found.items()} | {"learning_rate": rates.numpy()}


@torch.no_grad()
def _evaluated(case: Case, image: nn.Module, speech: ResDavenetVq) -> Arrays:
    """Codes, codebooks and a kernel; similarities and recalls of all pairs."""
    mel, nframes = case.tensor("mel"), case.tensor("nframes")
    maps, captions = image(case.tensor("image")), speech(mel, nframes)
    compare = Similarity("pooled", "dot")
    retrieval = retrieve(maps, captions.features, captions.nframes, compare)
    metrics = recall_metrics(retrieval)
    found = {
        "S": compare(maps, captions.features, captions.nframes),
        "recalls": torch.tensor([metrics[f"{way}_r{k}"] for way in "AI" for k in (1, 5, 10)], dtype=torch.float64),
        "conv1": speech.stages[0][0].weight.unsqueeze(1),
    }
    for name in QUANTIZERS:
        found[f"codes_{name}"] = speech.layer(name, mel)[1]
        found[f"codebook_{name}"] = speech.quantizers[name].codebook
    return {name: value.numpy() for name, value in found.items()}
