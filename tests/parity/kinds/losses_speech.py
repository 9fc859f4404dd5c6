"""Similarity matrices, ranking losses with their gradients, and recalls. No weights."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import losses
from evaluation import retrieval
from models.matchmap import aligned_similarity, similarity
from tests.parity.case import Case

Arrays = dict[str, np.ndarray]


def run(case: Case) -> Arrays:
    """Compute every group of outputs."""
    return {**_matrices(case), **_triplets(case), **_wnhsu(case), **_surisdi(case), **_recalls(case)}


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


def _matrices(case: Case) -> Arrays:
    nframes, weight = case.tensor("nframes"), case.tensor("grad_S")
    outputs = {}
    for name, kind in {"MISA": "MISA", "SISA": "SISA", "SIMA": "SIMA", "pooldot": "pooled"}.items():

        def matrix(image: Tensor, audio: Tensor, kind: str = kind, **_: Tensor) -> Tensor:
            return similarity(image, audio.squeeze(2), nframes, kind)

        outputs |= _with_gradients(f"S_{name}", _leaves(case), matrix, weight)
    return outputs


def _triplets(case: Case) -> Arrays:
    margin = case.hyper["margin"]
    outputs = {}
    for way in ("I2A", "A2I"):
        imposters = case.tensor(f"impostors_{way}")

        def sampled(S: Tensor, way: str = way, imposters: Tensor = imposters) -> Tensor:
            return losses.sampled_triplet(S if way == "I2A" else S.T, imposters, margin)

        def semi_hard(S: Tensor, way: str = way) -> Tensor:
            return losses.semi_hard_triplet(S if way == "I2A" else S.T, margin, masking="published")

        for name, loss in (("sampled_triplet", sampled), ("semihardneg", semi_hard)):
            outputs |= _with_gradients(f"{name}_{way}", {"S": case.tensor("S_loss").requires_grad_()}, loss)
    return outputs


def _wnhsu(case: Case) -> Arrays:
    nframes, margin = case.tensor("nframes"), case.hyper["margin"]
    imposters = case.tensor("impostor_image"), case.tensor("impostor_audio")
    outputs = {}
    for kind in ("MISA", "SISA", "SIMA"):

        def loss(image: Tensor, audio: Tensor, kind: str = kind, **_: Tensor) -> Tensor:
            scores = similarity(image, audio.squeeze(2), nframes, kind, min_frames=0)
            return losses.sampled_margin_rank(scores, *imposters, margin).reshape(1)

        outputs |= _with_gradients(f"wnhsu_sampled_margin_rank_{kind}", _leaves(case), loss)
    return outputs


def _surisdi(case: Case) -> Arrays:
    """System 1's losses on MISA with the dot product and with cosine."""
    outputs: Arrays = {}
    for short, measure in {"dot": "dot", "cos": "cosine"}.items():
        margin = case.hyper["margin" if short == "dot" else "margin_cos"]
        for name, loss in _surisdi_losses(case, measure, margin).items():
            outputs |= _with_gradients(f"surisdi_{name}_{short}", _leaves(case), loss)
        each = _edited(case, measure, margin, losses.edited_negatives_each)
        outputs[f"vectorized_negatives_{short}"] = each(**_leaves(case)).detach().numpy()
    return outputs


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


def _surisdi_losses(case: Case, measure: str, margin: float) -> dict[str, Callable[..., Tensor]]:
    """Published name to function of the maps; impostors are mined with the dot product also for cosine."""
    imposters = case.tensor("impostor_image"), case.tensor("impostor_audio")

    def sampled(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
        return losses.sampled_margin_rank(_scores(case, image, audio, measure), *imposters, margin).reshape(1)

    def hard(image: Tensor, audio: Tensor, **_: Tensor) -> Tensor:
        mining = _scores(case, image, audio, "dot")
        return losses.hard_negative(_scores(case, image, audio, measure), margin, mining).reshape(1)

    return {
        "sampled_margin_rank": sampled,
        "hard_negative": hard,
        "negatives": _edited(case, measure, margin, losses.edited_negatives),
        "combined_random_hard_negative": _edited(case, measure, margin, losses.edited_and_hard, mined=True),
        "combined_random_sampled_margin_rank": _edited(case, measure, margin, losses.edited_and_sampled, *imposters),
    }


def _recalls(case: Case) -> Arrays:
    maps = case.tensor("recall_image"), case.tensor("recall_audio").squeeze(2), case.tensor("recall_nframes")
    matrices = {"surisdi": similarity(*maps, "MISA", min_frames=0)}
    matrices |= {name.removeprefix("recalls_"): None for name in case.outputs if name.startswith("recalls_S")}
    outputs = {}
    for name, matrix in matrices.items():
        metrics = retrieval.recall_metrics(retrieval.ranks(case.tensor(name) if matrix is None else matrix))
        outputs[f"recalls_{name}"] = np.asarray([metrics[key] for key in case.hyper["recall_keys"]])
    return outputs
