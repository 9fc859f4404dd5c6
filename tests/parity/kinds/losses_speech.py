"""Similarity matrices, ranking losses with their gradients, and recalls. No weights."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

import losses
from evaluation.retrieval import recall as retrieval
from models.matchmap import aligned_similarity, similarity
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """One group for each matrix, each loss with its gradients, and the recalls of each matrix."""
    return _matrices(case) | _triplets(case) | _wnhsu(case) | _surisdi(case) | _recalls(case)


def _leaves(case: Case) -> dict[str, Tensor]:
    names = {"image": "image_outputs", "audio": "audio_outputs", "negative": "negative_outputs"}
    return {short: case.tensor(name).requires_grad_() for short, name in names.items()}


def _with_gradients(
    name: str, leaves: dict[str, Tensor], compute: Callable[..., Tensor], weight: Tensor | None = None
) -> Arrays:
    """The value of ``compute(**leaves)``, and the gradients of its (weighted) sum where there is one."""
    value = compute(**leaves)
    total = (value if weight is None else value * weight).sum()
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    outputs = {name: value.detach().numpy()}
    for leaf, gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            outputs[f"{name}.grad_{leaf}"] = gradient.numpy()
    return outputs


def _matrices(case: Case) -> Groups:
    def compute(name: str, kind: str) -> Arrays:
        nframes, weight = case.tensor("nframes"), case.tensor("grad_S")

        def matrix(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
            return similarity(image, audio.squeeze(2), nframes, kind)

        return _with_gradients(f"S_{name}", _leaves(case), matrix, weight)

    kinds = {"MISA": "MISA", "SISA": "SISA", "SIMA": "SIMA", "pooldot": "pooled"}
    return {f"S_{name}": partial(compute, name, kind) for name, kind in kinds.items()}


def _triplets(case: Case) -> Groups:
    def sampled(S: Tensor, way: str) -> Tensor:
        return losses.sampled_triplet(S, case.tensor(f"impostors_{way}"), case.hyper["margin"])

    def semi_hard(S: Tensor, way: str) -> Tensor:
        return losses.semi_hard_triplet(S, case.hyper["margin"], masking="published")

    def compute(name: str, way: str, loss: Callable[[Tensor, str], Tensor]) -> Arrays:
        leaves = {"S": case.tensor("S_loss").requires_grad_()}
        return _with_gradients(name, leaves, lambda S: loss(S if way == "I2A" else S.T, way))

    chosen = {"sampled_triplet": sampled, "semihardneg": semi_hard}
    names = {f"{name}_{way}": (way, loss) for way in ("I2A", "A2I") for name, loss in chosen.items()}
    return {name: partial(compute, name, *how) for name, how in names.items()}


def _wnhsu(case: Case) -> Groups:
    def compute(name: str, kind: str) -> Arrays:
        impostors = case.tensor("impostor_image"), case.tensor("impostor_audio")

        def loss(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
            scores = similarity(image, audio.squeeze(2), case.tensor("nframes"), kind, min_frames=0)
            return losses.sampled_margin_rank(scores, *impostors, case.hyper["margin"]).reshape(1)

        return _with_gradients(name, _leaves(case), loss)

    names = {f"wnhsu_sampled_margin_rank_{kind}": kind for kind in ("MISA", "SISA", "SIMA")}
    return {name: partial(compute, name, kind) for name, kind in names.items()}


def _surisdi(case: Case) -> Groups:
    """System 1's losses on MISA with the dot product and with cosine."""

    def margin(measure: str) -> float:
        return case.hyper["margin" if measure == "dot" else "margin_cos"]

    def compute(name: str, loss: Callable[..., Callable[..., Tensor]], measure: str) -> Arrays:
        return _with_gradients(name, _leaves(case), loss(case, measure, margin(measure)))

    def each(name: str, measure: str) -> Arrays:
        loss = _edited(case, measure, margin(measure), losses.edited_negatives_each)
        return {name: loss(**_leaves(case)).detach().numpy()}

    groups: Groups = {}
    for short, measure in {"dot": "dot", "cos": "cosine"}.items():
        for loss_name, loss in SURISDI.items():
            name = f"surisdi_{loss_name}_{short}"
            groups[name] = partial(compute, name, loss, measure)
        groups[f"vectorized_negatives_{short}"] = partial(each, f"vectorized_negatives_{short}", measure)
    return groups


def _scores(case: Case, image: Tensor, audio: Tensor, measure: str) -> Tensor:
    return similarity(image, audio.squeeze(2), case.tensor("nframes"), "MISA", measure, min_frames=0)


def _edited(case: Case, measure: str, margin: float, loss: Callable[..., Tensor], *more: Tensor, mined: bool = False):
    """A loss that takes the similarity matrix and the similarities with the edited images, ``loss(S, E, ...)``."""

    def compute(image: Tensor, audio: Tensor, negative: Tensor) -> Tensor:
        edited = aligned_similarity(negative, audio.squeeze(2), case.tensor("nframes"), "MISA", measure, min_frames=0)
        mining = {"mining": _scores(case, image, audio, "dot")} if mined else {}
        value = loss(_scores(case, image, audio, measure), edited, *more, margin=margin, **mining)
        return torch.atleast_1d(value)

    return compute


def _impostors(case: Case) -> tuple[Tensor, Tensor]:
    return case.tensor("impostor_image"), case.tensor("impostor_audio")


def _sampled(case: Case, measure: str, margin: float) -> Callable[..., Tensor]:
    def sampled(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
        return losses.sampled_margin_rank(_scores(case, image, audio, measure), *_impostors(case), margin).reshape(1)

    return sampled


def _hard(case: Case, measure: str, margin: float) -> Callable[..., Tensor]:
    """Impostors are mined with the dot product also for cosine."""

    def hard(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
        mining = _scores(case, image, audio, "dot")
        return losses.hard_negative(_scores(case, image, audio, measure), margin, mining).reshape(1)

    return hard


SURISDI: dict[str, Callable[[Case, str, float], Callable[..., Tensor]]] = {
    "sampled_margin_rank": _sampled,
    "hard_negative": _hard,
    "negatives": lambda *how: _edited(*how, losses.edited_negatives),
    "combined_random_hard_negative": lambda *how: _edited(*how, losses.edited_and_hard, mined=True),
    "combined_random_sampled_margin_rank": lambda *how: _edited(*how, losses.edited_and_sampled, *_impostors(how[0])),
}


def _recalls(case: Case) -> Groups:
    def compute(name: str) -> Arrays:
        if name == "surisdi":
            maps = case.tensor("recall_image"), case.tensor("recall_audio").squeeze(2), case.tensor("recall_nframes")
            matrix = similarity(*maps, "MISA", min_frames=0)
        else:
            matrix = case.tensor(name)
        metrics = retrieval.recall_metrics(retrieval.ranks(matrix))
        return {f"recalls_{name}": np.asarray([metrics[key] for key in case.hyper["recall_keys"]])}

    stored = [name.removeprefix("recalls_") for name in case.outputs if name.startswith("recalls_S")]
    return {f"recalls_{name}": partial(compute, name) for name in ["surisdi", *stored]}
