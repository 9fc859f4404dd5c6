import os

import pytest
import torch
from torchvision.models import vgg

from common.errors import UserError
from engine.init_from import InitFrom, start_from
from models.davenet import DavenetSpeech
from models.image_encoders import Vgg16Encoder
from models.weights import WeightsError
from published import UnknownKindError, load_published
from tasks.speech_image.task import SpeechImage
from tests.models.networks import mel
from tests.published.reference import davenet_speech, random_kernel, random_norm

IMAGE, SPEECH = "module.model_image.image_model.", "module.model_audio.audio_model."
HIDDEN = {"small": [256, 512, 512], "large": [256, 512, 512, 512, 512, 512]}


@pytest.fixture(scope="module")
def image_state():
    """VGG16's layers by index, and an embedding of 10 at index 30."""
    state = dict(vgg.make_layers(vgg.cfgs["D"], batch_norm=False).state_dict())
    return {**state, "30.weight": random_kernel(10, 512, 3, 3), "30.bias": torch.zeros(10)}


def speech_state(size, embedding_dim=10):
    state = {"1.weight": random_kernel(128, 1, 40, 1), "1.bias": 0.1 * torch.randn(128)}
    random_norm(state, "0", 1)
    width_in = 128
    for index, width in enumerate([*HIDDEN[size], embedding_dim]):
        state[f"{3 + 3 * index}.weight"] = random_kernel(width, width_in, 1, 11 if index == 0 else 17)
        state[f"{3 + 3 * index}.bias"] = 0.1 * torch.randn(width)
        width_in = width
    return state


def write(path, image, speech, zipped=False, **more):
    state = {IMAGE + name: value for name, value in image.items()}
    state |= {SPEECH + name: value for name, value in speech.items()}
    content = {"epoch": 3, "model_state_dict": state, "best_eval": 0.5, "recall_now": {"A_r1": 0.25}, **more}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


@pytest.mark.parametrize(("size", "zipped"), [("small", True), ("large", False)])
def test_forward_as_published(tmp_path, image_state, size, zipped):
    torch.manual_seed(0)
    speech = speech_state(size)
    write(tmp_path / "model_best_x.pth.tar", image_state, speech, zipped)
    model = load_published("davenet", tmp_path)
    assert model.speech.size == size
    assert model.speech.embedding_dim == model.image.embedding_dim == 10
    assert model.details == {"epoch": 3, "best_eval": 0.5, "recall_now": {"A_r1": 0.25}}
    spectrogram, nframes = mel(2, 200), torch.tensor([200, 111])
    with torch.no_grad():
        maps = model.speech(spectrogram, nframes)
        expected = davenet_speech(spectrogram.unsqueeze(1), speech).squeeze(2)
        assert torch.allclose(maps.features, expected, rtol=1e-4, atol=1e-4)
        assert expected.std() > 0.01
        assert model.image(torch.zeros(1, 3, 32, 48)).shape == (1, 10, 2, 3)
    assert not model.speech.training


def test_old_file_without_counters(tmp_path, image_state):
    speech = speech_state("small")
    del speech["0.num_batches_tracked"]
    write(tmp_path / "checkpoint_x.pth.tar", image_state, speech)
    assert load_published("davenet", str(tmp_path / "checkpoint_x.pth.tar")).speech.size == "small"
    assert load_published("davenet", tmp_path).source.name == "checkpoint_x.pth.tar"


def test_files_that_do_not_fit(tmp_path, image_state):
    speech, path = speech_state("small"), tmp_path / "model_best_x.pth.tar"
    write(path, image_state, {name: value for name, value in speech.items() if name != "6.bias"})
    with pytest.raises(WeightsError, match=r"1 missing: convs.1.bias\."):
        load_published("davenet", path)
    write(path, image_state, {**speech, "5.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"1 entries this kind does not have: 5.weight"):
        load_published("davenet", path)
    write(path, image_state, {**speech, "3.weight": torch.ones(256, 128, 1, 9)})
    with pytest.raises(WeightsError, match=r"convs.0.weight \(256, 128, 9\) instead of \(256, 128, 11\)"):
        load_published("davenet", path)
    write(path, image_state, {})
    with pytest.raises(WeightsError, match=r"has no model_audio.audio_model.12.weight"):
        load_published("davenet", path)
    write(path, {**image_state, "30.weight": torch.tensor(1.0)}, speech)
    with pytest.raises(WeightsError, match=r"embedder\.weight has the shape \(\), expected two axes or more"):
        load_published("davenet", path)
    write(path, image_state, {**speech, "1.weight": speech["1.weight"] * 1j})
    with pytest.raises(WeightsError, match=r"1 of another type: stem\.weight is torch\.complex64"):
        load_published("davenet", path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(WeightsError, match="has no entry model_state_dict"):
        load_published("davenet", path)
    torch.save({"model_state_dict": {"module.generator.weight": torch.ones(1)}}, path)
    with pytest.raises(WeightsError, match=r"holds 'generator.weight', expected model_image"):
        load_published("davenet", path)


def test_missing_and_truncated_files(tmp_path, image_state):
    with pytest.raises(WeightsError, match=r"holds no model_best_\*.pth.tar and no checkpoint"):
        load_published("davenet", tmp_path)
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_published("davenet", tmp_path / "model_best_x.pth.tar")
    for name in ("a", "b"):
        write(tmp_path / f"model_best_{name}.pth.tar", {}, {})
    with pytest.raises(WeightsError, match=r"several checkpoints \(model_best_a.pth.tar, model_best_b.pth.tar\)"):
        load_published("davenet", tmp_path)
    write(tmp_path / "model_best_a.pth.tar", image_state, speech_state("small"))
    os.truncate(tmp_path / "model_best_a.pth.tar", 10**6)
    with pytest.raises(WeightsError, match=r"model_best_a.pth.tar \(1000000 bytes\) is not a complete torch file"):
        load_published("davenet", tmp_path / "model_best_a.pth.tar")


def test_unknown_kind(tmp_path):
    with pytest.raises(UnknownKindError, match=r"no published kind 'dalle': choose one of .*davenet, "):
        load_published("dalle", tmp_path)


class Task:
    """A task with both encoders, as init_from sees it."""

    read_published = staticmethod(SpeechImage.read_published)

    def __init__(self, dim=10):
        self.modules = {"image": Vgg16Encoder(embedding_dim=dim), "speech": DavenetSpeech("small", embedding_dim=dim)}


@pytest.mark.parametrize("modules", [None, ["speech"]])
def test_training_starts_from_a_published_file(tmp_path, image_state, modules):
    """The original's ``seed``, with and without ``submodels_load``; the published files are of torch's old format."""
    path = tmp_path / "model_best_x.pth.tar"
    write(path, image_state, speech_state("small"), zipped=False)
    published, task = load_published("davenet", path), Task()
    own = task.modules["image"].embedder.weight.clone()
    start_from(InitFrom(path, modules=modules), task)
    for key, value in task.modules["speech"].state_dict().items():
        assert torch.equal(value, published.speech.state_dict()[key])
    expected = published.image.embedder.weight if modules is None else own
    assert torch.equal(task.modules["image"].embedder.weight, expected)


def test_a_published_file_of_another_size_is_refused(tmp_path, image_state):
    path = tmp_path / "model_best_x.pth.tar"
    write(path, image_state, speech_state("small"))
    with pytest.raises(UserError, match=r"(?s)does not fit this model \(\d entries\).*embedder.weight: shape"):
        start_from(InitFrom(path), Task(dim=12))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="is not a complete torch file"):
        start_from(InitFrom(path), Task())
