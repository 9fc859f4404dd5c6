"""Losses of LatteGAN and GeNeVA-GAN with their gradients, and the scores of generated scenes."""

import numpy as np
import torch

import losses
from evaluation.object_scores import Objects, confusion, relations, scores_of_images, summarise
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """Both sides of the game, the penalty, the divergence, and the scores of 24 and of 58 classes."""
    real, fake, wrong = (case.tensor(name) for name in ("d_real", "d_fake", "d_wrong"))

    def game() -> Arrays:
        found = {
            "hinge_d": losses.hinge_discriminator(real, fake),
            "hinge_d_wrong": losses.hinge_discriminator(real, fake, wrong, case.hyper["wrong_weight"]),
            "hinge_g": losses.hinge_generator(fake),
            "classical_d": losses.logistic_discriminator(real, fake),
            "classical_g": losses.logistic_generator(fake),
        }
        return {name: value.numpy() for name, value in found.items()}

    def penalty() -> Arrays:
        weights = [case.tensor(name).requires_grad_() for name in ("gp_w1", "gp_w2")]

        def critic(images: torch.Tensor) -> torch.Tensor:
            return (images.flatten(1) @ weights[0]).tanh() @ weights[1]

        found = losses.r1_penalty(critic, case.tensor("gp_x"))
        gradients = torch.autograd.grad(found, weights)
        return {
            "gp": found.detach().numpy(),
            "gp_per_sample": losses.r1_penalty_each(critic, case.tensor("gp_x")).detach().numpy(),
            "gp_grad_w1": gradients[0].numpy(),
            "gp_grad_w2": gradients[1].numpy(),
        }

    def divergence() -> Arrays:
        given = [case.tensor(name).requires_grad_() for name in ("mu", "logvar")]
        found = losses.condition_divergence(*given)
        gradients = torch.autograd.grad(found, given)
        return {
            "kl": found.detach().numpy(),
            "kl_grad_mu": gradients[0].numpy(),
            "kl_grad_logvar": gradients[1].numpy(),
        }

    def scores(end: str) -> Arrays:
        made, truth = (Objects(case.input(f"{p}det{end}"), case.input(f"{p}loc{end}")) for p in ("", "gt_"))
        last = case.input(f"final{end}").astype(bool)
        by_image = scores_of_images(made, truth)
        means = summarise(by_image, last)
        image = int(case.input(f"graph_image_c{end}"))
        common = made.there[image] & truth.there[image]
        graph = relations(truth.locations[image : image + 1])[0][:, common][:, :, common]
        found = {
            "ap": means["precision_all"],
            "ar": means["recall_all"],
            "f1": means["f1_all"],
            "rsim_final": means["rsim_last"],
            "rsim_all": means["rsim_all"],
            "rsim_scenes": by_image["rsim"][last],
            "rsim_images": by_image["rsim"],
            "jss_all": means["jaccard_all"],
            "cosine_all": means["cosine_all"],
            "graph": graph,
            "graph_image": np.int64(image),
            "confusion": confusion(made, truth),
        }
        return {f"{name}_c{end}": np.asarray(value) for name, value in found.items()}

    return {
        "game": game,
        "penalty": penalty,
        "divergence": divergence,
        "scores2": lambda: scores("2"),
        "scores3": lambda: scores("3"),
    }
