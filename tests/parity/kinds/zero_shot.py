"""Zero-shot learning from noisy texts, trained and measured in float64 as the public loop does it."""

from functools import partial

import numpy as np
import torch

from datasets.class_features.dataset import ClassFeatures, FeatureSet, HeldOut, Labelled
from evaluation.zero_shot import accuracy, nearest_classes
from models.feature_gan import FeatureDiscriminator, FeatureGenerator
from published.key_map import rename
from tasks.attngan.zero_shot import ZeroShot, ZeroShotMeasure, ZeroShotWeights
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups
from tests.steps import FakeStep

RULES = {
    "netG": [
        (r"rdc_text\.(\w+)", r"reduce.\1"),
        (r"main\.0\.(\w+)", r"hidden.\1"),
        (r"main\.2\.(\w+)", r"features.\1"),
    ],
    "netD": [(r"D_shared\.0\.(\w+)", r"hidden.\1"), (r"D_gan\.(\w+)", r"real.\1"), (r"D_aux\.(\w+)", r"classes.\1")],
}
VALUES = {
    "pivot": "generator_pivot",
    "squares": "generator_squares",
    "lasso": "generator_lasso",
    "generator": "generator",
}


class Stepping(FakeStep):
    """A step that really updates the task's networks, one optimiser at a time."""

    def __init__(self, task: ZeroShot) -> None:
        super().__init__()
        self.task = task

    def update(self, name, loss, retain_graph=False, parts=None):
        optimizer = self.task.optimizers[name]
        optimizer.zero_grad()
        loss.backward(inputs=list(self.task.modules[name].parameters()))
        optimizer.step()


def groups(case: Case) -> Groups:
    """Train, then measure."""

    def training() -> Arrays:
        task = _task(case)
        features, classes = case.tensor("train"), case.tensor("labels")
        found: dict[str, list[float]] = {name: [] for name in (*VALUES, "wasserstein", "penalty")}
        noise, alpha = (iter(case.tensor(name).flatten(0, 1)) for name in ("noise", "alpha"))
        task._noise = lambda _: next(noise)
        task._mix = lambda _: 1 - next(alpha)[:, 0]
        for rows in case.tensor("batches"):
            values = task.train_step([(features[part], classes[part]) for part in rows], Stepping(task))
            for name, ours in VALUES.items():
                found[name].append(values[ours].item())
            found["wasserstein"].append(-values["discriminator_wasserstein"].item())
            found["penalty"].append(values["discriminator_penalty"].item())
        return {name: np.array(values) for name, values in found.items()} | _weights(task) | _measured(case, task)

    return {"training": torch.enable_grad()(training)}


def _task(case: Case) -> ZeroShot:
    """The task with the case's weights and data, in float64."""
    hyper, labels, test = case.hyper, case.input("labels"), case.input("labels_test")
    seen, text = hyper["seen"], case.input("text")
    held = HeldOut(seen + np.arange(hyper["unseen"]), Labelled(case.input("test"), seen + test), None)
    names = [str(row) for row in range(len(text))]
    content = FeatureSet(case.name, names, text, seen, Labelled(case.input("train"), labels), held)
    adam = partial(torch.optim.Adam, lr=hyper["lr"], betas=tuple(hyper["betas"]))
    sizes = {name: hyper[name] for name in ("noise_dim", "reduced_dim", "width")}
    task = ZeroShot(
        partial(FeatureGenerator, **sizes),
        partial(FeatureDiscriminator, width=hyper["width"]),
        adam,
        adam,
        ClassFeatures(content, case.input("batches").shape[-1], scaling="none"),
        torch.device("cpu"),
        ZeroShotWeights(**{name: hyper[name] for name in ("penalty", "pivot", "squares", "lasso")}),
        ZeroShotMeasure(hyper["samples"], hyper["neighbours"]),
    )
    for name, module in (("netG", task.generator), ("netD", task.discriminator)):
        module.double().load_state_dict(rename(case.state(name), RULES[name], case.name))
    return task


def _weights(task: ZeroShot) -> Arrays:
    """Both networks' weights by their published names."""
    found = {}
    for name, module in (("netG", task.generator), ("netD", task.discriminator)):
        theirs = {"netG": ("rdc_text", "main.0", "main.2"), "netD": ("D_shared.0", "D_gan", "D_aux")}[name]
        layers = dict(zip(module.children(), theirs, strict=True))
        found |= {
            f"{name}.{their}.{leaf}": value.detach().numpy()
            for layer, their in layers.items()
            for leaf, value in layer.named_parameters()
        }
    return found


@torch.no_grad()
def _measured(case: Case, task: ZeroShot) -> Arrays:
    """Features made with the case's noise, and what the task's own measurement makes of these."""
    noise, documents = case.tensor("noise_test"), case.tensor("text")
    made = [task.generator(part, row.expand(len(part), -1)).numpy() for part, row in zip(noise, documents, strict=True)]
    generated = np.stack(made)
    task.generate = lambda rows: generated[rows]
    held = task.data.content.test
    metrics, curve = task.measured(held)
    unseen = generated[case.hyper["seen"] :]
    names = np.repeat(held.classes, case.hyper["samples"])
    answers = nearest_classes(held.unseen.features, np.concatenate(unseen), names, case.hyper["neighbours"])
    assert metrics["accuracy"] == accuracy(answers, held.unseen.classes)
    return {
        "generated": generated,
        "accuracy": np.float64(metrics["accuracy"]),
        "area": np.float64(metrics["area_under_curve"]),
        "curve_seen": curve.seen,
        "curve_unseen": curve.unseen,
    }
