"""The learning task of system 1: every loss learns, ranks agree, active pairs change places, errors are named."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import losses
from common import distributed
from common.errors import UserError
from datasets.images import ImageTransform
from datasets.spoken_captions.active_learning import ActivePair, write_active
from engine.optimization import Optimization
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from gan.editing.regenerate import generate
from gan.editing.regions import heat, region, resized_region
from gan.hooks import LayerNameError
from gan.images import encoder_input, to_uint8
from gan.latents import LatentError, latents
from losses import draw_impostors
from models.matchmap import matchmaps
from models.similarity import Similarity
from models.small import SmallImageEncoder, SmallSpeechEncoder
from models.speech_maps import SpeechMaps
from tasks.words_by_drawing.clustering import Clustering
from tasks.words_by_drawing.negatives import NegativeConfig
from tests.ranks import on_two_ranks
from tests.steps import FakeStep
from tests.tasks.words_by_drawing.generated_data import (
    DIM,
    LATENT_DIM,
    generated,
    make_data,
    make_generator,
    make_task,
    write_captions,
)
from trainer import Trainer

LOSSES = ["regular", "negatives_edited", "negatives_hard", "negatives_both"]
NEGATIVES = NegativeConfig(layers=["layer3", "layer4"], max_retries=1)
CLUSTERED = NegativeConfig(["layer3"], 1, Clustering(epochs_clustering=2, datapoints=6, clusters=3, samples=6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six captions of latents 0 to 5."""
    return write_captions(tmp_path_factory.mktemp("captions"), [str(number) for number in range(6)])


def fit(task, epochs):
    loop = Trainer(task, TrainerSettings(epochs=epochs), 0, torch.device("cpu"), None)
    values = []
    for epoch in range(epochs):
        task.begin_epoch(epoch)
        values += [loop.train_step(batch) for batch in task.batches(epoch, 0)]
    return values


@pytest.mark.parametrize("impostors", ["sampled", "all"])
@pytest.mark.parametrize("loss_type", LOSSES)
def test_every_loss_learns_the_pairs(folder, loss_type, impostors):
    task = make_task(make_data(folder), loss_type, negatives=NEGATIVES, loss={"impostors": impostors})
    values = fit(task, 25)
    first, last = (sum(float(value["loss"]) for value in part) / 4 for part in (values[:4], values[-4:]))
    assert last < 0.6 * first
    assert task.evaluate()["n"] == 6
    parts = {
        "regular": {"regular"},
        "negatives_edited": {"regular", "edited"},
        "negatives_hard": {"regular", "hard"},
        "negatives_both": {"regular", "edited_or_hard"},
    }[loss_type]
    assert {name for name in values[0] if "/" not in name} == parts | {"loss"}


def test_what_is_reported_of_negatives_is_what_they_are(folder):
    """One attempt after the first; the bar is 0.95, with each attempt, before it is compared, perhaps lower by 0.01."""
    task = make_task(make_data(folder), "negatives_edited", negatives=NEGATIVES)
    batch = next(iter(task.batches(0, 0)))
    batch = task.images.prepared(batch)
    with torch.no_grad():
        image, speech = task.encode(batch, task.data.train_loader.dataset)
    step = FakeStep(7)
    made = []
    edit = task.companion.negatives
    task.companion.negatives = lambda *given: made.append(edit(*given)) or made[0]
    _, notes = task.companion.similarity(image, speech, batch, step)
    (negatives,) = made
    positives = batch["generated"].images
    found = heat(matchmaps(image, speech.features), speech.nframes)
    size = tuple(positives.shape[2:])
    first = resized_region(region(found, 0.95), size, found.peaks)
    change = []
    for before, after, mask in zip(encoder_input(positives), encoder_input(negatives.images), first, strict=True):
        change.append((after - before)[:, mask].norm() / before[:, mask].norm())
    change = torch.stack(change)
    torch.testing.assert_close(notes["negatives/change"], change.mean())
    certain, impossible = change >= 0.95, change < 0.93
    assert certain.any()
    assert impossible.any()
    assert negatives.reached[certain].all()
    assert not negatives.reached[impossible].any()
    assert (negatives.retries[impossible] == 1).all()
    assert set(negatives.retries.tolist()) == {0, 1}
    torch.testing.assert_close(notes["negatives/reached"], negatives.reached.float().mean())
    torch.testing.assert_close(notes["negatives/retries"], negatives.retries.float().mean())


@pytest.mark.parametrize("loss_type", ["regular", "negatives_edited"])
def test_tensorboard_shows_the_first_pair_of_a_step(folder, tmp_path, loss_type):
    task = make_task(make_data(folder, batch_size=3), loss_type, negatives=NEGATIVES)
    made, generated = [], []
    if loss_type == "negatives_edited":
        edit = task.companion.negatives
        task.companion.negatives = lambda *given: made.append(edit(*given)) or made[-1]
    generate = task.images.generate
    task.images.generate = lambda batch: generated.append(generate(batch)) or generated[-1]
    settings = TrainerSettings(epochs=2, show_every_steps=3, evaluate_every_epochs=2)
    run = RunFolder(tmp_path / "run", "auto")
    Trainer(task, settings, 0, torch.device("cpu"), run).fit()
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    steps = [values for values in generated if len(values.images) == 3][:3]
    expected = {"positive": to_uint8(steps[2].images[0]).numpy()}
    if loss_type == "negatives_edited":
        expected["negative"] = to_uint8(made[2].images[0]).numpy()
        inside = resized_region(made[2].measured[:1], 16)[0].numpy()
        assert 0 < inside.sum() < 256
        expected["Images/region"] = np.stack([255 * inside.astype(np.uint8)] * 3, axis=2)
    shown = {name for name in events.Tags()["images"] if not name.startswith("example")}
    assert shown == set(expected)
    for name, image in expected.items():
        (event,) = events.Images(name)
        assert event.step == 3
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(event.encoded_image_string))), image)


def test_losses_are_the_published_formulas(folder):
    task = make_task(
        make_data(folder), "negatives_both", negatives=NEGATIVES, loss={"margin": 2.0, "largest_loss": 0.5}
    )
    batch = next(iter(task.batches(0, 0)))
    batch = task.images.prepared(batch)

    image, speech = task.encode(batch, task.data.train_loader.dataset)
    scores = task.similarity.of_all_ranks(image, speech)
    drawn = FakeStep(4)
    impostors = [draw_impostors(6, drawn.generator) for _ in range(2)]
    state = drawn.generator.get_state()
    edited, _ = task.companion.similarity(image, speech, batch, drawn)
    for loss_type, name, expected in [
        ("regular", "regular", losses.sampled_margin_rank(scores, *impostors, 2.0)),
        ("negatives_hard", "hard", losses.hard_negative(scores, 2.0)),
        ("negatives_edited", "edited", losses.edited_negatives(scores, edited, 2.0)),
        ("negatives_both", "edited_or_hard", losses.edited_and_hard(scores, edited, 2.0).clamp(max=0.5)),
    ]:
        settings = {"margin": 2.0} | ({"largest_loss": 0.5} if loss_type == "negatives_both" else {})
        other = make_task(make_data(folder), loss_type, negatives=NEGATIVES, loss=settings)
        other.image_encoder.load_state_dict(task.image_encoder.state_dict())
        parts = other.objective(image, speech, batch, FakeStep(4)).parts
        torch.testing.assert_close(parts[name], expected)
    assert float(parts["regular"].detach()) == 0.5
    assert not torch.equal(state, drawn.generator.get_state())


def test_all_impostors_take_the_place_of_the_sampled_one_and_are_not_cut(folder):
    task = make_task(
        make_data(folder), "negatives_both", negatives=NEGATIVES, loss={"impostors": "all", "largest_loss": 0.5}
    )
    least = torch.full((6,), -9.0)
    task.companion.similarity = lambda *_: (least, {})
    batch = next(iter(task.batches(0, 0)))
    image, speech = task.encode(batch, task.data.train_loader.dataset)
    scores = task.similarity.of_all_ranks(image, speech)
    step = FakeStep(4)
    before = step.generator.get_state()
    found = task.objective(image, speech, batch, step).parts
    expected = losses.masked_margin_softmax(scores, 1.0) + losses.masked_margin_softmax(scores.T, 1.0)
    assert float(expected.detach()) > 0.5
    torch.testing.assert_close(found["regular"], expected)
    assert float(found["edited_or_hard"].detach()) == 0.5
    assert torch.equal(step.generator.get_state(), before)
    task.objective.largest_loss = None
    edited = losses.edited_and_hard(scores, least, 1.0)
    torch.testing.assert_close(task.objective(image, speech, batch, step).parts["edited_or_hard"], edited)


@pytest.mark.parametrize(("loss_type", "name"), [("negatives_hard", "hard"), ("negatives_both", "edited_or_hard")])
def test_published_mining_is_by_the_dot_product_whatever_the_loss_compares(folder, loss_type, name):
    """The long map of image 0 is everybody's hardest impostor by dot product, and nobody's by cosine."""
    cosine, least = Similarity(kind="SISA", measure="cosine"), torch.full((6,), -9.0)
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(6, 16, 2, 2, generator=generator)
    image[0] = 50 * torch.tensor([1.0] * 8 + [0.1] * 8)[:, None, None]
    features = torch.rand(6, 16, 3, generator=generator)
    features[1:, :8] *= 0.2
    speech = SpeechMaps(features, torch.full((6,), 3))
    scores, mined = cosine.of_all_ranks(image, speech), Similarity().of_all_ranks(image, speech)
    assert losses.hardest(mined.T).tolist()[1:] == [0] * 5
    assert 0 not in losses.hardest(scores.T)
    found = {}
    for mining in ("configured", "published"):
        task = make_task(make_data(folder), loss_type, negatives=NEGATIVES, similarity=cosine, loss={"mining": mining})
        if task.companion is not None:
            task.companion.similarity = lambda *_: (least, {})
        step = FakeStep(0)
        found[mining] = task.objective(image, speech, {}, step).parts[name]
    torch.testing.assert_close(found["configured"], losses.hard_negative(scores, 1.0))
    torch.testing.assert_close(found["published"], losses.hard_negative(scores, 1.0, mined))
    assert found["published"] < found["configured"]  # what was mined is no hard impostor of this loss


def test_images_are_those_of_the_latents(folder):
    data = make_data(folder)
    task = make_task(data, "regular")
    batch = next(iter(data.train_loader.batches(0)))
    generator = make_generator()
    expected = generate(generator, latents(6, LATENT_DIM)[batch["latent"]]).images
    torch.testing.assert_close(task.images.images(batch), encoder_input(expected))
    dataset = data.train_loader.dataset
    assert dataset.record(2).uttid == "2"
    shown = task.images.image_u8(dataset, 2)
    assert shown.shape == (16, 16, 3)
    np.testing.assert_array_equal(shown, to_uint8(generate(generator, latents(3, LATENT_DIM)[2:]).images[0]).numpy())
    assert len(task.examples()) == 3


def test_nothing_of_the_generator_is_trained(folder):
    task = make_task(make_data(folder), "negatives_edited", negatives=NEGATIVES)
    before = {name: value.clone() for name, value in task.images.generator.state_dict().items()}
    fit(task, 2)
    assert all(torch.equal(value, before[name]) for name, value in task.images.generator.state_dict().items())
    assert "generator" not in task.modules
    assert not any(layer._forward_hooks for layer in task.images.generator.modules())


class InFloat64(nn.Module):
    """An encoder that computes in float64, and gives float32.

    Ranks add in another order than one process. In float32 that moves activations by up to 2e-5, and one of the 170,000
    ReLU inputs of three steps within that of zero is enough to change the gradient by a thousandth.
    """

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.embedding_dim = encoder.double(), encoder.embedding_dim

    def forward(self, given, *more):
        found = self.encoder(given.double(), *more)
        return found.float() if isinstance(found, torch.Tensor) else found._replace(features=found.features.float())


def learn(rank, world, folder):
    """Three steps of this rank's share, with two losses and with clusters; what was learned."""
    learned = {}
    for case, loss_type, editing in [
        ("regular", "regular", NEGATIVES),
        ("random", "negatives_edited", NEGATIVES),
        ("clusters", "negatives_edited", CLUSTERED),
    ]:
        # Not Adam: it divides rounding errors by gradients that are themselves nothing but rounding errors.
        plain = Optimization(lambda params: torch.optim.SGD(params, lr=0.01, momentum=0.9))
        torch.manual_seed(0)
        encoders = {
            "image_encoder": SmallImageEncoder(DIM, 8, downsample=4),
            "speech_encoder": SmallSpeechEncoder(DIM, 8),
        }
        encoders = {name: InFloat64(encoder) for name, encoder in encoders.items()}
        data = make_data(folder, rank=rank, world=world)
        task = make_task(data, loss_type, negatives=editing, optimization=plain, **encoders)
        values = fit(task, 3)
        weights = [p.detach().flatten() for name in ("image", "speech") for p in task.modules[name].parameters()]
        learned[f"{case} losses"] = torch.stack([value["loss"] for value in values])
        learned[f"{case} weights"] = torch.cat(weights)
        if loss_type == "negatives_edited":
            retries = torch.stack([value["negatives/retries"] for value in values])
            learned[f"{case} retries"] = distributed.gather_rows(retries[None]).mean(0)
            assert 0 < learned[f"{case} retries"].mean() < 1  # some images are edited a second time, others not
    found = task.companion.clusters.found.get()
    return learned | {"centroids": found.centroids, "units": found.units["layer3"].float()}


def test_two_ranks_learn_what_one_process_learns(folder, tmp_path):
    alone = learn(0, 1, folder)
    for together in on_two_ranks(learn, tmp_path, folder):
        for name, value in alone.items():
            scale = value.abs().max()
            torch.testing.assert_close(together[name] / scale, value / scale, rtol=1e-4, atol=1e-4, msg=name)


def active_folder(path, layer="layer4"):
    """A selection with one edited image, of latent 1: all units of a layer off in the left half."""
    region = np.zeros((16, 16), np.float32)
    region[:, :8] = 1
    pair = ActivePair(1, np.arange(12), region, region)
    write_active(path, [pair], layer, {})
    return path


def test_captions_of_edited_images_swap_positive_and_negative(tmp_path):
    data = make_data(write_captions(tmp_path, ["0", "1", "active/1"]), batch_size=3)
    editing = NegativeConfig(["layer4"], max_retries=0, active_learning=active_folder(tmp_path / "selection"))
    task = make_task(data, "negatives_edited", negatives=editing)
    seen = []
    task.image_encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    (batch,) = task.batches(0, 0)
    row = int(batch["active"].nonzero())
    other = int(((batch["latent"] == 1) & ~batch["active"]).nonzero())
    Trainer(task, TrainerSettings(epochs=1), 0, torch.device("cpu"), None).train_step(batch)
    positives, negatives = seen
    torch.testing.assert_close(negatives[row], positives[other])  # the image before the edit
    assert not torch.allclose(positives[row], positives[other])
    difference = (positives[row] - positives[other]).abs().mean((0, 1))
    assert difference[:4].min() > difference[12:].max()  # edited in the left half
    dataset = data.train_loader.dataset
    names = [dataset.record(index).uttid for index in range(3)]
    assert names[2] == "active/1"
    assert not np.array_equal(task.images.image_u8(dataset, 1), task.images.image_u8(dataset, 2))


def with_images(folder):
    data = make_data(folder)
    data.train_loader.dataset.image = ImageTransform(size=16, resize=16, random_crop=False)
    return data


@pytest.mark.parametrize(
    ("loss_type", "changed", "error", "message"),
    [
        (
            "negatives_edited",
            {"negatives": NegativeConfig(["layer9"])},
            LayerNameError,
            "layer9.*layer1, layer2.*layer6, output",
        ),
        ("negatives_both", {"images": None, "negatives": NEGATIVES}, UserError, "task.images: found null"),
        ("regular", {"images": None}, UserError, "image: null"),
        ("regular", {"images": generated(latents=4)}, LatentError, "id [45] is out of range"),
        (
            "regular",
            {"images": generated(SmallImageEncoder(8, 8))},
            LatentError,
            "SmallImageEncoder has no latent_dim;",
        ),
    ],
)
def test_errors_are_named(folder, loss_type, changed, error, message):
    with pytest.raises(error, match=message):
        make_task(make_data(folder), loss_type, **changed)


def test_data_that_do_not_fit_the_generator_are_named(folder, tmp_path):
    with pytest.raises(UserError, match=r"reads image files.*set image: null"):
        make_task(with_images(folder), "regular")
    one = make_data(folder, batch_size=1)
    with pytest.raises(UserError, match="batch_size: found 1, expected at least 2"):
        make_task(one, "regular")
    selection = active_folder(tmp_path, layer="layer3")
    with pytest.raises(UserError, match=r"holds edits of layer3, but task.objective.negatives.layers is \['layer4'\]"):
        make_task(
            make_data(folder), "negatives_edited", negatives=NegativeConfig(["layer4"], active_learning=selection)
        )
    with pytest.raises(UserError, match="active learning keeps the units of one layer"):
        make_task(
            make_data(folder), "negatives_edited", negatives=NegativeConfig(["layer3", "layer4"], 0, None, selection)
        )
    lacking = make_data(write_captions(tmp_path / "more", ["0", "active/2"]), batch_size=2)
    with pytest.raises(UserError, match="a caption active/2, but no edited image of latent 2 among the 1"):
        make_task(lacking, "negatives_edited", negatives=NegativeConfig(["layer3"], 0, None, selection))
    pair = ActivePair(1, np.array([3, 999]), np.ones((16, 16), np.float32), np.ones((16, 16), np.float32))
    write_active(tmp_path / "larger", [pair], "layer4", {})
    editing = NegativeConfig(["layer4"], active_learning=tmp_path / "larger")
    with pytest.raises(UserError, match=r"edit of latent 1 switches off unit 999, but layer4 .* has the units 0 to 11"):
        make_task(make_data(folder), "negatives_edited", negatives=editing)
    finer = pair._replace(units=np.array([3]), cells=np.ones((16, 16), np.float32))
    write_active(tmp_path / "larger", [finer], "layer4", {})
    with pytest.raises(UserError, match=r"a layer of 16 x 16 cells, but layer4 of this generator has 8 x 8; give the"):
        make_task(make_data(folder), "negatives_edited", negatives=editing)


def test_a_caption_with_a_slip_in_its_id_does_not_fill_the_memory(tmp_path):
    data = make_data(write_captions(tmp_path, ["0", "1", "99999999999"]), batch_size=3)
    with pytest.raises(LatentError, match=r"caption 99999999999 asks for .*set task\.images\.latents"):
        make_task(data, "regular")


def test_kept_images_are_those_that_are_generated(folder):
    data = make_data(folder)
    anew = make_task(data, "regular", negatives=NEGATIVES).images
    kept = make_task(data, "regular", negatives=NEGATIVES, images=generated(kept=4)).images
    calls = []
    kept.generator.register_forward_hook(lambda _module, given, _out: calls.append(len(given[0])))
    for ids in ([0, 1, 2], [2, 3, 0], [5, 4, 3], [3, 2, 1, 0]):
        batch = {"latent": torch.tensor(ids)}
        torch.testing.assert_close(kept.generate(batch).images, anew.generate(batch).images)
        assert kept.generate(batch).positives.shapes == anew.generate(batch).positives.shapes
        calls.append("next")
    assert calls == [
        16,
        "next",
        16,
        "next",
        16,
        16,
        "next",
        "next",
    ]  # always as many at once, see tasks/words_by_drawing/generated_images.py


def test_captions_of_the_same_latent_are_of_the_same_image(tmp_path):
    data = make_data(write_captions(tmp_path, ["1", "2", "01", "3", "02", "4"]))
    task = make_task(data, "regular", same_image="left_out")
    dataset = data.train_loader.dataset
    assert task.images.image_ids(dataset, range(6)).tolist() == [2, 4, 2, 6, 4, 8]
    batch = next(iter(task.batches(0, 0)))
    masked = task.objective.parts.without_same_image(torch.zeros(6, 6), batch)
    latent = batch["latent"]
    same = (latent[:, None] == latent) & ~torch.eye(6, dtype=torch.bool)
    assert int(same.sum()) == 4
    assert torch.equal(masked < 0, same)
    metrics = task.evaluate()
    assert (metrics["n"], metrics["n_captions"]) == (4, 6)
    other = make_task(data, "regular")
    assert torch.equal(other.objective.parts.without_same_image(torch.zeros(6, 6), batch), torch.zeros(6, 6))


@pytest.mark.parametrize("loss_type", LOSSES)
def test_one_image_for_all_captions_teaches_nothing(tmp_path, loss_type):
    data = make_data(write_captions(tmp_path, ["5", "05", "005"]), batch_size=3)
    loss = {"mining": "published"} if loss_type in ("negatives_hard", "negatives_both") else {}
    task = make_task(data, loss_type, negatives=NEGATIVES, same_image="left_out", loss=loss)
    values = float(fit(task, 1)[0]["gradient_norm/encoders"])
    assert (values > 0) == (loss_type in ("negatives_edited", "negatives_both"))  # the edited image is another one
