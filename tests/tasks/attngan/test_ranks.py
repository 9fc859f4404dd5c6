"""Two processes learn what one does: the matching model, and the generator with networks without batch norm."""

from types import SimpleNamespace

import torch

from common import distributed
from config import Factory
from datasets.text_image.vocabulary import Vocabulary
from engine.optimization import Length, Optimization
from engine.settings import TrainerSettings
from evaluation.frechet import RandomFeatures
from gan.attngan.objectives import RelativisticMatching
from gan.attngan.one_stage import OneStageGenerator
from gan.attngan.residual_discriminator import ResidualDiscriminator
from gan.augment import DiffAugment
from models.damsm import CaptionEncoder
from models.region_encoders import SmallRegionEncoder
from tasks.attngan.damsm import Damsm
from tasks.attngan.task import Attngan, Measure
from tasks.attngan.trained import TextImageSource, Words, save_export
from tests.ranks import on_two_ranks
from trainer import Trainer

BATCH, STEPS, RESOLUTION = 6, 2, 16
CPU = torch.device("cpu")
VOCABULARY = Vocabulary(["red", "green", "blue", "left", "right"])


def batches(rank, world):
    """STEPS batches of captions of different lengths; each rank gets its contiguous share."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([4, 2, 1, 3, 1, 2])
    for _ in range(STEPS):
        tokens = torch.randint(1, len(VOCABULARY), (BATCH, 4), generator=generator)
        whole = {
            f"image_{RESOLUTION}": torch.randn(BATCH, 3, RESOLUTION, RESOLUTION, generator=generator),
            "tokens": tokens * (torch.arange(4) < lengths[:, None]),
            "ntokens": lengths,
            "class": torch.tensor([0, 1, 1, 2, 0, 3]),
        }
        size = BATCH // world
        yield {name: value[rank * size : (rank + 1) * size] for name, value in whole.items()}


def data_of():
    dataset = SimpleNamespace(resolutions=[RESOLUTION], max_words=4, train=True, captions_of=lambda _row: [])
    loader = SimpleNamespace(steps_per_epoch=STEPS, samples_per_step=BATCH, dataset=dataset)
    return SimpleNamespace(batch_size=BATCH, train_loader=loader, loaders={}, vocabulary=VOCABULARY)


def learn(task, rank, world):
    """Train two steps by SGD; return all weights and losses."""
    loop = Trainer(task, TrainerSettings(epochs=1, precision="fp32"), 5, CPU, None)
    for module in task.modules.values():
        module.train()
    values = [loop.train_step(batch) for batch in batches(rank, world)]
    found = {name: value for module in task.modules.values() for name, value in module.state_dict().items()}
    return found | {"loss": torch.stack([distributed.gather_rows(one["loss"][None]).mean() for one in values])}


def learn_damsm(rank, world):
    torch.manual_seed(2)
    task = Damsm(
        text_encoder=Factory(CaptionEncoder, {"embedding_dim": 8, "word_dim": 6, "dropout": 0.0}, "text"),
        image_encoder=Factory(SmallRegionEncoder, {"width": 4, "stages": 2}, "image"),
        optimization=Optimization(lambda params: torch.optim.SGD(params, lr=0.05)),
        data=data_of(),
        device=CPU,
        length=Length(1),
    )
    return learn(task, rank, world)


def learn_generator(rank, world, source):
    torch.manual_seed(2)
    task = Attngan(
        generator=Factory(OneStageGenerator, {"resolution": RESOLUTION, "width": 4, "noise_dim": 5}, "generator"),
        discriminators=[Factory(ResidualDiscriminator, {"resolution": RESOLUTION, "width": 4}, "discriminator")],
        damsm=source,
        objective=RelativisticMatching(every=2, mismatched=0.0),  # ranks pair wrong sentences among their own rows
        generator_optimizer=lambda params: torch.optim.SGD(params, lr=0.05),
        discriminator_optimizer=lambda params: torch.optim.SGD(params, lr=0.05),
        measure=Measure(RandomFeatures(width=4, size=RESOLUTION)),
        augment=DiffAugment(),
        data=data_of(),
        device=CPU,
    )
    return learn(task, rank, world)


def assert_equal(alone, ranks):
    for together in ranks:
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            scale = value.abs().max().clamp(min=1e-3) if value.is_floating_point() else 1
            assert (together[name].float() - value.float()).abs().max() <= 2e-4 * scale, name


def test_two_processes_train_the_same_matching_model(tmp_path):
    assert_equal(learn_damsm(0, 1), on_two_ranks(learn_damsm, tmp_path))


def test_two_processes_train_the_same_generator(tmp_path):
    torch.manual_seed(0)
    nodes = {
        "text": {"type": "models.damsm.CaptionEncoder", "vocab_size": 6, "embedding_dim": 8, "word_dim": 6},
        "image": {"type": "models.region_encoders.SmallRegionEncoder", "embedding_dim": 8, "width": 4, "stages": 2},
    }
    networks = {"text": CaptionEncoder(6, 8, 6), "image": SmallRegionEncoder(8, 4, 2)}
    save_export(tmp_path / "damsm.json", networks, Words(VOCABULARY, 4), nodes, {})
    source = TextImageSource(run=tmp_path / "damsm.json")
    assert_equal(learn_generator(0, 1, source), on_two_ranks(learn_generator, tmp_path, source))
