"""Training of GeNeVA-GAN on coloured squares: it goes on after a stop, and two processes are one."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.splits import DialogueData
from datasets.dialogue.texts import WordVectors
from engine.settings import EmaSettings, TrainerSettings
from gan.lattegan.geneva import (
    GenevaDialogue,
    GenevaDiscriminator,
    GenevaGenerator,
    GenevaImageEncoder,
    GenevaSentenceEncoder,
)
from gan.lattegan.objectives import GenevaAdversarial
from gan.lattegan.rollout import RollOuts
from run import main
from tasks.lattegan.geneva import Geneva
from tests.ranks import on_two_ranks
from tests.steps import FakeStep
from tests.tasks.lattegan.drawers import write_embedded
from tests.tasks.lattegan.worlds import COLOURS, write_squares
from trainer import Trainer

CPU = torch.device("cpu")
SPLITS = {"train": "train", "validation": "val", "test": "test"}
WORDS = ("unk", "add", "a", "cube", *COLOURS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for seed, (split, count) in enumerate((("train", 4), ("val", 3), ("test", 2))):
        write_squares(folder, split, count, seed)
        write_embedded(folder, split)
    draws = np.random.default_rng(0)
    lines = [f"{word} {' '.join(f'{value:.3f}' for value in draws.standard_normal(6))}\n" for word in WORDS]
    (folder / "glove.txt").write_text("".join(lines))
    return folder


def splits(folder, rank=0, world=1, train=Dialogues, texts=True, batch_size=4):
    def node(kind, split, **given):
        name = {"val": "valid"}.get(split, split)
        reader = WordVectors(folder / "glove.txt", max_words=6, max_previous=1) if texts else None
        return kind(
            path=folder / f"clevr_{split}.h5", embeddings=folder / f"iclevr_{name}_embeddings_x.h5", resolution=64,
            texts=reader, **given,
        )  # fmt: skip

    return DialogueData(
        partial(node, train, "train"), partial(node, Dialogues, "val"), batch_size, seed=5, rank=rank, world_size=world
    )


def task(data, **changed):
    torch.manual_seed(3)
    sgd = partial(torch.optim.SGD, lr=0.01)
    parts = {
        "sentence_encoder": partial(GenevaSentenceEncoder, text_dim=8),
        "dialogue": partial(GenevaDialogue, state_dim=8, projected_dim=6),
        "image_encoder": GenevaImageEncoder(image_dim=16, width=2),
        "generator": partial(GenevaGenerator, image_dim=16, width=2, condition_dim=3, noise_dim=4, resolution=64),
        "discriminator": partial(GenevaDiscriminator, width=2, resolution=64),
    }
    parts |= {f"{name}_optimizer": sgd for name in ("generator", "discriminator", "recurrent", "feature", "text")}
    return Geneva(**(parts | changed), data=data, device=CPU)


def learn(rank, world, folder):
    """Train an epoch in float64: gradients that nearly cancel, before batch norms, are rounded otherwise in float32."""
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(7)
        made = task(splits(folder, rank, world))
        shorten(made)
        made.evaluate = lambda *_: {"image_distance": 0.0, "negative_image_distance": 0.0}
        Trainer(made, TrainerSettings(epochs=1, precision="fp32", ema=EmaSettings(0.5)), 1, CPU, None).fit()
    finally:
        torch.set_default_dtype(torch.float32)
    return {f"{n}.{k}": v.clone() for n, m in made.modules.items() for k, v in m.state_dict().items()}


def shorten(made):
    """Let the first dialogues of every batch end early, and have its numbers in float64."""
    batches = made.batches

    def cut(epoch, start):
        for batch in batches(epoch, start):
            short = torch.tensor([1 if row < 2 else 3 for row in batch["index"].tolist()])
            wide = {name: value.double() for name, value in batch.items() if value.is_floating_point()}
            yield batch | wide | {"nturns": torch.minimum(batch["nturns"], short)}

    made.batches = cut


def test_two_processes_train_the_same_networks(data, tmp_path):
    alone = learn(0, 1, data)
    for together in on_two_ranks(learn, tmp_path, data):
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=1e-9, atol=1e-9, msg=name)


def test_an_ended_dialogue_counts_nowhere_but_in_batch_norms(data):
    made = task(splits(data), image_noise=0.0)
    batch = next(iter(made.batches(0, 0))) | {"nturns": torch.tensor([3, 1, 2, 3])}
    turns = list(made._turns(batch, FakeStep()))
    assert [turn.rows.tolist() for turn in turns] == [[0, 1, 2, 3], [0, 2, 3], [0, 3]]
    assert [turn.share for turn in turns] == [1.0] * 3
    assert torch.equal(turns[0].others(turns[0].real), turns[0].real.roll(-1, 0))
    assert torch.equal(turns[2].real[1], turns[0].real[1])  # its last turn again
    assert torch.equal(turns[2].previous[1], turns[0].previous[1])
    assert torch.equal(turns[1].previous[0], turns[0].real[0])
    assert turns[1].added.sum(dim=1).tolist() == [1, 1, 1, 1]
    assert turns[2].objects.sum(dim=1).tolist() == [3, 1, 2, 3]


@pytest.mark.parametrize("choice", ["embeddings", "own images", "no image"])
def test_options(data, choice):
    changed = {
        "embeddings": {"sentence_encoder": None, "text_optimizer": None},
        "own images": {"teacher_forcing": False, "objective": GenevaAdversarial("classical", penalty=0.0)},
        "no image": {
            "generator": partial(
                GenevaGenerator, image_dim=16, width=2, condition_dim=3, noise_dim=4, resolution=64, fusion="none"
            )
        },
    }[choice]
    made = task(splits(data, texts=choice != "embeddings"), **changed)
    before = {name: [value.clone() for value in module.parameters()] for name, module in made.modules.items()}
    metrics = Trainer(made, TrainerSettings(epochs=1, precision="fp32"), 1, CPU, None).fit()
    assert np.isfinite(metrics["image_distance"])
    moved = {
        name
        for name, module in made.modules.items()
        if any(not torch.equal(a, b) for a, b in zip(before[name], module.parameters(), strict=True))
    }
    assert set(made.modules) - moved == ({"image_encoder"} if choice == "no image" else set())


def run(folder, data, *arguments):
    paths = [
        f"data.{split}.{key}={value}"
        for split, name in SPLITS.items()
        for key, value in (
            ("path", data / f"clevr_{name}.h5"),
            ("texts.path", data / "glove.txt"),
            ("resolution", 64),
        )
    ]
    small = [
        "task.image_encoder.image_dim=16", "task.image_encoder.width=2", "task.generator.image_dim=16",
        "task.generator.width=2", "task.generator.condition_dim=3", "task.generator.noise_dim=4",
        "task.generator.resolution=64", "task.discriminator.width=2", "task.discriminator.resolution=64",
        "task.sentence_encoder.text_dim=8", "task.dialogue.state_dim=8", "task.dialogue.projected_dim=6",
        "task.localizer=null", "data.batch_size=2", "data.workers=0", "cpu_threads=1", "trainer.log_every_steps=1",
        f"run.folder={folder}",
    ]  # fmt: skip
    assert main(["-f", "lattegan/geneva_iclevr.yaml", *paths, *small, *arguments]) == 0
    return folder / "lattegan" / "geneva_iclevr"


def test_a_run_goes_on_bit_for_bit(data, tmp_path):
    whole = run(tmp_path / "whole", data, "trainer.max_steps=3")
    run(tmp_path / "begun", data, "trainer.max_steps=1")
    begun = run(tmp_path / "begun", data, "trainer.max_steps=3")
    one, other = (
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["modules"] for folder in (whole, begun)
    )
    assert one.keys() == set(Geneva.module_names)
    for name, state in one.items():
        for key, value in state.items():
            assert torch.equal(value, other[name][key]), f"{name}.{key}"
    metrics = json.loads((begun / "metrics.json").read_text())
    assert metrics["negative_image_distance"] == -metrics["image_distance"] < 0
    assert (begun / "samples" / "samples_0000.png").is_file()
    assert len(list((begun / "images_test").glob("*_gt"))) == 2


def test_what_tensorboard_shows(data):
    made = task(splits(data))
    step = FakeStep(wants_images=True)
    made.train_step(next(iter(made.batches(0, 0))), step)
    (sheet,) = step.shown.values()
    assert sheet.shape == (8 * 64, 3 * 64, 3)
    assert {name: len(values) for name, values in step.values.items()} == {"D(x)": 12, "D(G(z))": 12}


def test_candidates_are_judged_by_the_state(data):
    made = task(splits(data), rollouts=RollOuts(candidates=2))
    one, two, _ = list(made.draw("validation"))
    assert one.drawn.images.shape == (3, 3, 64, 64)
    assert one.drawn.scores.shape == (3,)
    assert not torch.equal(one.drawn.images, two.drawn.images)


def test_errors(data):
    with pytest.raises(UserError, match=r"data\.train is Turns, expected Dialogues: whole dialogues are learned from"):
        task(splits(data, train=Turns))
    with pytest.raises(UserError, match=r"data\.train has no reader of texts, task\.sentence_encoder takes word vec"):
        task(splits(data, texts=False))
    with pytest.raises(UserError, match=r"task\.text_optimizer is missing"):
        task(splits(data), text_optimizer=None)
    problems = list(Geneva.validate_with_siblings({"batch_size": 1}))
    assert problems[0][0] == "data.batch_size"


def test_half_precision_is_refused():
    """Scaled gradients overflow at first, and whoever they are passed on to cannot skip its step."""
    (found,) = Geneva.validate_with_siblings({"batch_size": 2}, {"precision": "fp16"})
    assert found[0] == "trainer.precision"
    assert "the first overflow ends the run; expected auto, bf16 or fp32" in found[1]
    assert not list(Geneva.validate_with_siblings({"batch_size": 2}, {"precision": "bf16"}))
