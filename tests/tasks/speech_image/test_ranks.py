"""Two gloo processes with half the batch each learn exactly what one process learns with the whole batch."""

from functools import partial
from itertools import islice
from types import SimpleNamespace

import pytest
import torch

from common.errors import UserError
from config import Factory
from datasets.loading.rows import SampleError
from engine.optimization import Length, Optimization
from engine.settings import TrainerSettings
from losses import sampled_triplet, semi_hard_triplet
from models.resdavenet_vq import ResDavenetVq
from models.similarity import Similarity
from models.small import SmallImageEncoder, SmallSpeechEncoder
from models.speech_maps import speech_maps
from models.vector_quantizer import CodebookConfig
from tasks.speech_image import Ranking, SpeechImage
from tasks.speech_image.encode_split import encode_all
from tests.ranks import on_two_ranks
from trainer import Trainer

BATCH, STEPS = 6, 3


def batches(rank, world):
    """STEPS batches; each rank gets its contiguous share."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(STEPS):
        whole = {
            "image": torch.randn(BATCH, 3, 32, 32, generator=generator),
            "mel": -40 + 20 * torch.randn(BATCH, 40, 64, generator=generator),
            "nframes": torch.tensor([64, 50, 33, 64, 20, 41]),
        }
        size = BATCH // world
        yield {name: value[rank * size : (rank + 1) * size] for name, value in whole.items()}


def trainer_of(speech_encoder, kind):
    """A trainer of the task with a small image encoder and SGD."""
    data = SimpleNamespace(
        batch_size=BATCH,
        target_length=None,
        evaluation_target_length=None,
        train_loader=SimpleNamespace(
            steps_per_epoch=STEPS, samples_per_step=BATCH, dataset=SimpleNamespace(image="64 px", train=True)
        ),
        loaders={},
    )
    ranking = [Factory(loss, {"margin": 1.0}, "ranking") for loss in (sampled_triplet, semi_hard_triplet)]
    task = SpeechImage(
        image_encoder=SmallImageEncoder(16, 8),
        speech_encoder=speech_encoder,
        objective=partial(Ranking, ranking),
        optimization=Optimization(lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)),
        data=data,
        device=torch.device("cpu"),
        length=Length(1),
        similarity=Similarity(kind=kind),
    )
    return Trainer(task, TrainerSettings(epochs=1), 5, torch.device("cpu"), None)


def learn(rank, world, kind):
    """Train STEPS steps and return losses, the last gradients and the weights."""
    torch.manual_seed(0)
    loop = trainer_of(SmallSpeechEncoder(16, 8), kind)
    losses = [loop.train_step(batch)["loss"] for batch in batches(rank, world)]
    parameters = [p for module in loop.task.modules.values() for p in module.parameters()]
    return {
        "losses": torch.stack(losses),
        "gradients": torch.cat([p.grad.flatten() for p in parameters]),
        "weights": torch.cat([p.detach().flatten() for p in parameters]),
    }


@pytest.mark.parametrize("kind", ["MISA", "pooled"])
def test_two_processes_equal_one(tmp_path, kind):
    alone = learn(0, 1, kind)
    for together in on_two_ranks(learn, tmp_path, kind):
        for name, value in alone.items():
            # Sums run in another order: equal to float32 rounding, relative to the largest entry of each vector.
            scale = value.abs().max()
            torch.testing.assert_close(together[name] / scale, value / scale, rtol=1e-5, atol=1e-5)


CODEBOOK = {
    "published": CodebookConfig(decay=0.9, nonneg_init=True),
    "placed": CodebookConfig(commitment_cost=0.5, decay=0.9, kmeans_rounds=2, restart_below=0.97),
}


def learn_quantised(rank, world, how):
    """Train two steps; batch norms keep their statistics, which else are those of one rank, and nothing jitters."""
    torch.manual_seed(2)  # no frame is nearly as close to a second code: rounding may not choose another one
    widths, depths = (16, 16, 16, 16, 16), (1, 1, 1, 1)
    network = ResDavenetVq("01100", 24, widths, depths, 3, jitter=0.0, codebook=how, freeze_batch_norm=True)
    loop = trainer_of(network, "pooled")
    loop.task.image_encoder.train()
    network.train()
    message = []
    for batch in islice(batches(rank, world), 2):
        batch["mel"] = (batch["mel"] + 40) / 20  # as a batch norm wants it that keeps mean 0 and variance 1
        message.append(loop.train_step(batch))
    found = {name: value for module in loop.task.modules.values() for name, value in module.state_dict().items()}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in network.named_parameters()}
    for name in ("loss", *(f"{kind}/quant{place}" for kind in ("commitment", "perplexity") for place in (2, 3))):
        found[name] = torch.stack([values[name] for values in message])
    return found


def learn_quantised_both(rank, world):
    return {kind: learn_quantised(rank, world, how) for kind, how in CODEBOOK.items()}


def test_two_processes_equal_one_with_quantisers(tmp_path):
    """Weights, gradients, codebooks and their averages; the ranks have 147 and 125 valid frames."""
    alone = learn_quantised_both(0, 1)
    for together in on_two_ranks(learn_quantised_both, tmp_path):
        for kind, expected in alone.items():
            assert together[kind].keys() == expected.keys()
            for place in (2, 3):
                assert (expected[f"commitment/quant{place}"] > 0.005).all()
                assert (expected[f"perplexity/quant{place}"] > 2).all()
            for name, value in expected.items():
                # Sums run in another order: float32 rounding, relative to the largest entry of each tensor, times ten
                # for gradients of the second step that nearly cancel.
                scale = value.abs().max() if value.is_floating_point() else 1
                assert (together[kind][name].float() - value.float()).abs().max() <= 1e-4 * scale, (kind, name)


def encode_shares(rank, _world, rows):
    """Encode what each rank got; rank r has ``rows[r]`` rows."""
    first = sum(rows[:rank])
    share = torch.arange(first, first + rows[rank])
    found = {"index": share, "mel": share[:, None, None].expand(-1, 40, 64 + 8 * rank).float()}
    loader = SimpleNamespace(
        batches=lambda _epoch: iter([found] if len(share) else []), steps_per_epoch=1, dataset=range(4), skipped={}
    )

    def encode(batch, _dataset):
        mel = batch["mel"]
        return mel[:, :2, :3, None], speech_maps(mel[:, :2, ::8], torch.full((len(mel),), mel.shape[-1]), mel.shape[-1])

    try:
        encoded = encode_all(loader, encode)
    except UserError as error:
        return {"error": str(error)}
    return encoded._asdict()


SHARES = [(3, 0), (0, 3), (2, 1), (0, 0)]


def encode_all_shares(rank, world):
    return {str(rows): encode_shares(rank, world, rows) for rows in SHARES}


def test_maps_that_are_not_finite_name_their_row():
    batch = {"index": torch.tensor([5, 7, 9]), "mel": torch.zeros(3, 2, 8)}
    dataset = SimpleNamespace(unusable=lambda row, error: SampleError(f"row {row}: {error}", row))
    loader = SimpleNamespace(batches=lambda _epoch: iter([batch]), steps_per_epoch=1, dataset=dataset, skipped={})
    for which in ("image", "speech"):
        maps = {"image": torch.zeros(3, 2, 2, 2), "speech": torch.zeros(3, 2, 8)}
        maps[which][1, 0, 1] = float("inf")
        made = maps["image"], speech_maps(maps["speech"], torch.full((3,), 8), 8)
        with pytest.raises(SampleError, match=f"row 7: the {which} map of it is not finite, expected numbers"):
            encode_all(loader, lambda _batch, _dataset, made=made: made)


def test_a_rank_may_have_no_rows(tmp_path):
    for found in on_two_ranks(encode_all_shares, tmp_path):
        for rows in SHARES[:3]:
            encoded = found[str(rows)]
            assert encoded["index"].tolist() == [0, 1, 2], rows
            assert encoded["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
            assert encoded["speech"][:, 0, 0].tolist() == [0, 1, 2]
            assert encoded["speech"].shape[:2] == (3, 2)
            assert encoded["pooling"] == 8
        assert found[str(SHARES[3])]["error"].startswith("none of the 4 rows to evaluate on could be used")
