"""The door to trained models: sound to units and embeddings, image to maps, latent to image."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import config
from app.api import ApiError, load_encoder, load_generator, load_pair, load_segmenter, load_text_to_image
from common.errors import UserError
from models.weights import WeightsError
from published.resdavenet_vq import experiment
from published.words_by_drawing import davenet
from tests.tasks.attngan.random_models import write_random_export
from tests.tasks.resdavenet_vq.conftest import SMALL, VQ, write_run

RATE = 16000


def tone(seconds=1.0, rate=RATE):
    """Two tones, one after the other, full scale 1."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * np.where(time < seconds / 2, 300, 1200) * time)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("resdavenet_vq_world")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small", SMALL)


def test_units_cover_the_sound_without_gaps(encoder):
    frames = encoder.units(tone(), RATE, merged=False)
    assert [unit.start for unit in frames] == [round(0.02 * index, 6) for index in range(len(frames))]
    assert len(frames) == 51  # 101 frames of 10 ms, of which quant2 takes two at a time
    units = encoder.units(tone(), RATE)
    assert 1 < len(units) < len(frames)
    assert all(before.end == after.start and before.code != after.code for before, after in pairwise(units))
    spread = [code for unit in units for code in [unit.code] * round((unit.end - unit.start) / 0.02)]
    assert spread == [unit.code for unit in frames]


def test_a_file_and_its_waveform_give_the_same_units(encoder, tmp_path):
    soundfile.write(tmp_path / "tone.wav", tone(), RATE, subtype="FLOAT")
    assert encoder.units(tmp_path / "tone.wav") == encoder.units(torch.from_numpy(tone()), RATE)


def test_channels_and_other_rates_are_mixed_and_resampled(encoder):
    both = np.stack([tone(rate=48000), tone(rate=48000)], axis=1)
    assert len(encoder.units(both, 48000, merged=False)) == 51


def test_units_are_those_of_the_layer_named(encoder):
    assert encoder.quantised == ["quant2", "quant3"]
    assert len(encoder.units(tone(), RATE, layer="quant3", merged=False)) == 26
    with pytest.raises(UserError, match="found the layer 'quant4'"):
        encoder.units(tone(), RATE, layer="quant4")


def test_the_embedding_is_the_mean_of_the_output(encoder):
    features = encoder.features(tone(), RATE)
    assert features.shape[1] == 256
    np.testing.assert_allclose(encoder.embedding(tone(), RATE), features.mean(0), rtol=1e-6)
    assert encoder.features(tone(), RATE, layer="conv2").shape == (51, 128)


def test_an_encoder_of_a_run_without_quantisers_has_no_units(run):
    encoder = load_encoder(run)
    assert encoder.embedding(tone(), RATE).shape == (16,)
    with pytest.raises(UserError, match="has no quantisers"):
        encoder.units(tone(), RATE)


@pytest.mark.parametrize(
    ("wave", "rate", "message"),
    [
        (tone(), None, "found rate=None for a waveform; expected its sample rate in Hz"),
        (
            (tone() * 32767).astype(np.int16),
            RATE,
            "found samples of type int16, expected floats; divide int16 by",
        ),
        (tone()[None], RATE, r"found a waveform \(1, 16000\), expected \(N,\) or \(N, channels\)"),
        (np.zeros(0, np.float32), RATE, r"found a waveform \(0,\)"),
        (np.full(RATE, np.nan, np.float32), RATE, "holds NaN or infinity"),
        (np.zeros(RATE, np.float32), RATE, "the waveform: holds only silence"),
        ("nowhere.wav", RATE, "found rate=16000 with the file nowhere.wav, which has its own; leave rate out"),
    ],
)
def test_waveforms_that_cannot_be_used_are_refused(encoder, wave, rate, message):
    with pytest.raises(UserError, match=message):
        encoder.units(wave, rate)


def test_a_matchmap_has_a_value_for_each_place_and_frame(run):
    pair = load_pair(run, image_size=32)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    maps = pair.image_map(image)
    assert maps.shape == (16, 4, 4)  # an eighth of 32 pixels
    found = pair.matchmap(Image.fromarray(image), tone(2.0), RATE)
    assert found.values.shape == (4, 4, 25)  # 201 of the 256 frames of 10 ms, eight at a time
    assert found.seconds == pytest.approx(0.08)
    speech = load_encoder(run)
    assert pair.trained.similarity.measure == "dot"
    assert speech.model.speech.embedding_dim == len(maps)


def test_images_of_runs_without_images_from_files_keep_their_size(run):
    assert load_pair(run).image_map(np.zeros((64, 64, 3), np.uint8)).shape == (16, 8, 8)


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)])
def test_arrays_that_are_no_images_are_refused(run, image):
    with pytest.raises(ApiError, match=r"expected \(H, W, 3\) uint8"):
        load_pair(run).image_map(image)


def test_a_latent_gives_the_same_image_every_time():
    generator = load_generator()
    images = generator.images(generator.latents(2))
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8
    # the means of the channels over the four quarters of latent 0, of tests/gan/test_shipped.py, on the scale of 0-255
    expected = (np.array([0.073, 0.032, 0.078, 0.156]).mean() + 1) * 127.5
    assert images[0, ..., 0].mean() == pytest.approx(expected, abs=0.5)
    with pytest.raises(ApiError, match=r"found latents \(128,\), expected \(B, 128\)"):
        generator.images(generator.latents(1)[0])


def test_label_maps_name_what_is_in_an_image():
    generator = load_generator()
    labels = load_segmenter().label_maps(generator.images(generator.latents(1))[0])
    seen = {name for name, mask in labels.items() if mask.mean() > 0.005}
    assert {"small", "cyan", "rubber", "cube"} <= seen  # the first of tests/gan/test_shipped.py
    assert "red" not in seen


def test_a_caption_gives_images_and_attention(tmp_path):
    model = load_text_to_image(write_random_export(tmp_path / "model.json"))
    first, second = model.generate(["a small red cube"], copies=2, seed=1)
    assert [image.shape for image in first.images] == [(8, 8, 3), (16, 16, 3), (32, 32, 3)]
    assert first.maps(1).shape == (4, 32, 32)
    assert (first.images[-1] != second.images[-1]).any()


@pytest.mark.parametrize("load", [load_encoder, load_pair, load_generator, load_segmenter, load_text_to_image])
def test_a_model_that_does_not_exist_is_named(load, tmp_path):
    with pytest.raises(ApiError, match=r"there is no model .*nothing; expected the path"):
        load(tmp_path / "nothing")


def test_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "encoder.json"
    path.write_text("{}")
    with pytest.raises(WeightsError, match="does not describe a speech encoder"):
        load_encoder(path)


NETWORKS = {
    "RDVQ_01100": ({"type": "models.image_encoders.Resnet50Encoder", "embedding_dim": 16, "pretrained": None}, VQ, 16),
    "model_best_x.pth.tar": (
        {"type": "models.image_encoders.Vgg16Encoder", "embedding_dim": 1024, "pretrained": None},
        {"type": "models.davenet.DavenetSpeech", "size": "small", "embedding_dim": 1024},
        1024,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_published_encoders_are_loaded_whatever_their_system(tmp_path, name):
    image, speech, dim = NETWORKS[name]
    save = davenet.save if name.endswith("tar") else experiment.save
    save(config.build(dict(image)), config.build(dict(speech)), tmp_path / name)
    encoder = load_encoder(tmp_path / name)
    assert encoder.embedding(tone(), RATE).shape == (dim,)
    assert encoder.quantised == (["quant2", "quant3"] if dim == 16 else [])
    found = load_pair(tmp_path / name, image_size=64).matchmap(np.full((64, 64, 3), 9, np.uint8), tone(), RATE)
    assert found.values.shape[:2] == ((2, 2) if dim == 16 else (4, 4))
    assert np.isfinite(found.values).all()
