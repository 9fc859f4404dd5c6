"""Features and codes of utterances: those of each utterance alone, whatever it is batched with."""

import numpy as np
import pytest
import torch
from torchvision.models import resnet50

from common.errors import UserError
from config import RefusedValues
from datasets.loading.rows import SampleError
from datasets.spoken_captions.readers import PlacesFiles, PlacesHDF5
from datasets.spoken_captions.records import Records
from tasks.resdavenet_vq.extraction import extract, extract_all
from tasks.resdavenet_vq.layers import LayerError, SpeechModel, load_speech
from tasks.speech_image.trained import ModelError, ModelSource
from tests.published.reference import resdavenet, resdavenet_folder
from tests.tasks.resdavenet_vq.conftest import PLAIN, SMALL, write_run

CPU = torch.device("cpu")


@pytest.fixture
def model(vq_run):
    return load_speech(ModelSource(run=vq_run), CPU)


@pytest.fixture
def repeated(places):
    """Seven utterances: some are equally long, the file order is not the order of lengths."""
    records = [places.record(row) for row in (2, 0, 1, 0, 3, 2, 0)]
    places.records = Records(records)
    return places


def test_every_layer_is_that_of_the_utterance_alone(model, repeated):
    layers = model.layers()
    assert layers == ["logmel", "conv1", "conv2", "conv3", "conv4", "conv5", "quant2", "quant3"]
    found = extract_all(model, repeated, layers, batch_size=3)
    assert [one.row for one in found] == list(range(7))
    for one in found:
        mel = repeated[one.row]["mel"]
        assert one.nframes == mel.shape[1]
        np.testing.assert_array_equal(one.layers["logmel"].features, mel.t().numpy())
        for name in layers[1:]:
            expected = model.speech.layer(name, mel[None])[0].features[0].t()
            np.testing.assert_allclose(one.layers[name].features, expected.numpy(), rtol=1e-5, atol=1e-5)
            halvings = int(name[-1]) - 1
            assert one.layers[name].seconds == pytest.approx(0.01 * 2**halvings)
            assert len(one.layers[name].features) == -(-mel.shape[1] // 2**halvings)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_batch_size_does_not_matter(model, repeated, workers):
    """The published ABX program pads batches to their longest: here that would change the ends of the utterances."""
    alone = extract_all(model, repeated, ["quant2", "quant3"], codes=True, batch_size=1)
    together = extract_all(model, repeated, ["quant2", "quant3"], codes=True, batch_size=16, workers=workers)
    for one, other in zip(alone, together, strict=True):
        for name in ("quant2", "quant3"):
            np.testing.assert_array_equal(one.layers[name].codes, other.layers[name].codes)
            np.testing.assert_allclose(one.layers[name].features, other.layers[name].features, rtol=1e-5, atol=1e-5)
    used = {code for one in alone for code in one.layers["quant3"].codes}
    assert len(used) > 3
    mel, other = repeated[2]["mel"], repeated[0]["mel"]
    assert mel.shape[1] < other.shape[1]
    padded = torch.nn.functional.pad(mel, (0, other.shape[1] - mel.shape[1]))
    leaked = model.speech.layer("conv3", padded[None])[0].features[0, :, : len(alone[2].layers["quant3"].codes)]
    clean = model.speech.layer("conv3", mel[None])[0].features[0]
    assert not torch.allclose(leaked, clean, atol=1e-3)


def test_the_longest_come_first_and_rows_can_be_chosen(model, repeated):
    lengths = [one.nframes for one in extract(model, repeated, ["logmel"])]
    assert lengths == sorted(lengths, reverse=True)
    assert [one.row for one in extract_all(model, repeated, ["logmel"], rows=[5, 1])] == [1, 5]


def test_whole_frames_as_the_published_features(model, repeated):
    repeated.max_frames = 71  # 71 frames fill 17 frames of 4 and a part
    every = next(extract(model, repeated, ["quant3"], codes=True))
    whole = next(extract(model, repeated, ["quant3"], codes=True, whole_frames=True))
    assert (len(every.layers["quant3"].codes), len(whole.layers["quant3"].codes)) == (18, 17)
    np.testing.assert_array_equal(every.layers["quant3"].features[:17], whole.layers["quant3"].features)
    repeated.max_frames = 3
    assert len(next(extract(model, repeated, ["conv4"], whole_frames=True)).layers["conv4"].features) == 1


def test_what_is_not_asked_for_is_not_kept(model, places):
    frames = next(extract(model, places, ["quant2"], features=False, codes=True)).layers["quant2"]
    assert frames.features is None
    assert frames.codes.dtype == np.int64
    assert next(extract(model, places, ["quant2"])).layers["quant2"].codes is None


def test_hdf5_and_features_on_the_device_give_the_same(model, places, assets):
    folder = assets / "formats" / "places"
    device = PlacesFiles(folder / "metadata.json", image=None, train=False, features="device")
    hdf5 = PlacesHDF5(folder / "metadata_hdf5.json", image=None, train=False)
    layers = ["logmel", "conv3"]
    expected = extract_all(model, places, layers)
    for dataset in (device, hdf5):
        for one, other in zip(expected, extract_all(model, dataset, layers), strict=True):
            for name in layers:
                a, b = one.layers[name].features, other.layers[name].features
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=0.02)


def test_layers_that_are_not_finite_name_the_utterance(model, places):
    with torch.no_grad():
        next(model.speech.parameters())[0] = float("nan")
    with pytest.raises(SampleError, match=r"^row \d \(.*\) of .*: conv1, conv2 of it is not finite, .*model's weights"):
        extract_all(model, places, ["logmel", "conv1", "conv2"])
    assert len(extract_all(model, places, ["logmel"])) == len(places)
    with pytest.raises(UserError, match=r"^x: the weights .* of its speech encoder hold NaN or infinity, expected"):
        SpeechModel(model.speech, CPU, "x")


def test_models_without_quantisers(tmp_path, places):
    plain = load_speech(ModelSource(run=write_run(tmp_path / "plain", PLAIN)), CPU)
    mel = places[0]["mel"]
    found = extract_all(plain, places, ["conv2", "conv5"], rows=[0])[0]
    for name, stage in (("conv2", 1), ("conv5", 4)):
        expected = list(plain.speech.stage_outputs(mel[None]))[stage][0].t()
        np.testing.assert_allclose(found.layers[name].features, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(LayerError, match="plain has no quantisers, so its frames have no codes; expected a model"):
        extract_all(plain, places, ["conv3"], codes=True)
    small = load_speech(ModelSource(run=write_run(tmp_path / "small", SMALL)), CPU)
    with pytest.raises(LayerError, match="found the layer 'quant3'; the layers of small are logmel, output"):
        extract_all(small, places, ["quant3"])
    found = extract_all(small, places, ["output"], rows=[0])[0].layers["output"]
    assert found.seconds == pytest.approx(0.08)
    np.testing.assert_allclose(found.features, small.speech(mel[None]).features[0].t().numpy(), rtol=1e-4, atol=1e-5)


def test_layers_that_there_are_not(model, places):
    with pytest.raises(LayerError, match=r"found the layer 'conv9'; the layers of vq are logmel, conv1, .*, quant3$"):
        extract_all(model, places, ["conv9"])
    with pytest.raises(LayerError, match="the layer conv3 has no codes; those of vq that do: quant2, quant3"):
        extract_all(model, places, ["conv3"], codes=True)
    nothing = load_speech(None, CPU)
    assert extract_all(nothing, places, ["logmel"])[3].layers["logmel"].seconds == 0.01
    with pytest.raises(LayerError, match="the layers of the input alone are logmel"):
        extract_all(nothing, places, ["quant2"])


def test_unreadable_utterances(model, places):
    broken = places.record(1).__class__("broken", audio_path=places.source)
    places.records = Records([places.record(0), broken, places.record(2)])
    with pytest.raises(SampleError, match=r"row 1 \(broken\)"):
        extract_all(model, places, ["quant2"])
    places.on_error = "skip"
    assert [one.row for one in extract_all(model, places, ["quant2"])] == [0, 2]
    assert list(places.skipped) == [1]


def test_a_published_experiment(tmp_path, places):
    torch.manual_seed(0)
    image = {name: value for name, value in resnet50(weights=None).state_dict().items() if not name.startswith("fc.")}
    image |= {"embedder.weight": torch.randn(12, 2048, 1, 1) / 45, "embedder.bias": torch.zeros(12)}
    codebook = torch.randn(7, 8).abs()
    averages = {"_embedding.weight": codebook, "_ema_w": codebook, "_ema_cluster_size": torch.ones(7)}
    speech = {f"quant2.{name}": value for name, value in averages.items()}
    state = resdavenet_folder(tmp_path, image, "{}_model.e9", speech, VQ_turnon="0,1,0,0,0", VQ_sizes="7,7,7,7,7")
    mel = places[0]["mel"][None]
    for path in (tmp_path, tmp_path / "models" / "audio_model.e9.pth"):
        model = load_speech(ModelSource(published=path), CPU)
        assert model.quantised() == ["quant2"]
        found = extract_all(model, places, ["conv2", "quant2"], rows=[0])[0]
        stem = resdavenet(mel, state, [1], 5).squeeze(2)[0].t()
        np.testing.assert_allclose(found.layers["conv2"].features, stem.numpy(), rtol=1e-4, atol=1e-4)
        nearest = torch.cdist(stem, codebook).argmin(1)
        np.testing.assert_allclose(found.layers["quant2"].features, codebook[nearest].numpy())


def test_where_a_model_comes_from(tmp_path, vq_run):
    with pytest.raises(RefusedValues, match="found none of run and published"):
        ModelSource()
    with pytest.raises(RefusedValues, match="found both of run and published"):
        ModelSource(run=tmp_path, published=tmp_path)
    with pytest.raises(ModelError, match=r"There is no trained run at .*nowhere"):
        load_speech(ModelSource(run=tmp_path / "nowhere"), CPU)
    best = load_speech(ModelSource(run=vq_run / "checkpoints" / "best.pt"), CPU)
    assert isinstance(best, SpeechModel)
    assert best.name == "vq/best.pt"
