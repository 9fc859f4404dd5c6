"""Limits of values and impossible combinations: in the one list of errors, before anything is built."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from pydantic import PositiveInt

import config
from config.validate import value_errors

TRAIN = """
description: a test
entry: main.train
prepare: {type: datasets.world.build.ensure_world, world: {folder: w, scenes: 10}}
data: {type: datasets.spoken_captions.SpeechImageData, batch_size: 4,
  train: {type: datasets.spoken_captions.PlacesFiles, manifest: m.json, max_frames: 500,
    image: {size: 64, resize: 64, random_crop: false}},
  validation: {type: datasets.spoken_captions.PlacesFiles, manifest: m.json, max_frames: 500,
    image: {size: 64, resize: 64, random_crop: false}}}
task: {type: tasks.toy.Toy}
trainer: {epochs: 2}
"""

RANKING = "{{type: tasks.speech_image.Ranking, losses: [{}]}}"


def errors_of(tmp_path, *overrides):
    """The lines of the message, one for each error; none of the files that the config names exists."""
    path = tmp_path / "c.yaml"
    path.write_text(TRAIN, encoding="utf-8")
    with pytest.raises(config.ConfigError) as error:
        config.check(config.load(path, ["task={}", *overrides]))
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_combinations_of_several_nodes_and_a_typo_are_reported_at_once(tmp_path):
    overrides = {
        "trainer.epoch=3": "trainer.epoch [command line]: unknown key; did you mean 'epochs'",
        "trainer.epochs=-1": "trainer.epochs [command line]: found -1 (int), expected int, greater than 0",
        "trainer.clip_norm=0": "found 0 (int), expected float, greater than 0 or null",
        "trainer.ema.decay=1.5": "trainer.ema.decay [command line]: found 1.5 (float), expected float, greater",
        "prepare.world.layouts=[place]": "did you mean 'places'?",
        "prepare.world.splits=[0.5, 0.1, 0.1]": "found [0.5, 0.1, 0.1] (list), expected three shares of train, val and",
        "prepare.world.min_objects=4": "min_objects [command line]: found 4, expected at most max_objects, 2",
        "prepare.world.max_objects=2": "",
        "data.target_length=400": "data.train.max_frames: found 500, expected at most target_length, 400",
        "data.train.image.size=128": "data.train.image.size [command line]: found 128, expected at most resize, 64",
        "data.train.features=device": "",
        "data.train.spec_augment={freq_masks: 1, freq_width: 4, time_masks: 1, time_width: 9}": "features: worker",
    }
    lines = errors_of(tmp_path, *overrides)
    for message in filter(None, overrides.values()):
        assert sum(message in line for line in lines) == 1, (message, lines)


def test_the_constructors_of_networks_and_optimisers_are_tried(tmp_path):
    task = (
        "task={type: tasks.speech_image.SpeechImage,"
        " image_encoder: {type: models.small.SmallImageEncoder, downsample: 6},"
        " speech_encoder: {type: models.resdavenet.ResDavenet, layer_widths: [1, 2], kernel: 4},"
        " objective: {type: tasks.speech_image.Ranking, losses: [{type: losses.hard_triplet, margin: 1}]},"
        " optimization: {optimizer: {type: torch.optim.SGD, lr: -1.0, nesterov: true}}}"
    )
    lines = errors_of(tmp_path, task)
    found = {line.split(" ")[0]: line for line in lines}
    assert "a multiple of 4, got 32, 128 and 6" in found["task.image_encoder"]
    assert "five positive layer_widths" in found["task.speech_encoder"]
    assert "Nesterov momentum" in found["task.optimization.optimizer"]
    assert "found -1.0 (float), expected float, greater than" in found["task.optimization.optimizer.lr"]


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        ("", "task.speech_encoder [command line]: found none of speech_encoder and text_encoder, expected exactly one"),
        ("speech_encoder: *s, text_encoder: {type: models.text_encoders.DavenetText}", "found both of"),
        ("speech_encoder: *s", "found maps of 64 channels, expected 128, as image_encoder makes"),
        (
            "speech_encoder: {type: models.resdavenet.ResDavenet, layer_widths: [1, 2, 3, 4, 5]}",
            "task.speech_encoder [command line]: found maps of 5 channels, expected 128, as image_encoder makes",
        ),
    ],
)
def test_encoders_that_do_not_meet_are_reported_before_they_are_built(tmp_path, encoders, message):
    encoders = encoders.replace("*s", "{type: models.small.SmallSpeechEncoder, embedding_dim: 64}")
    task = (
        "task={type: tasks.speech_image.SpeechImage, image_encoder: {type: models.small.SmallImageEncoder},"
        " objective: {type: tasks.speech_image.Ranking, losses: [{type: losses.hard_triplet, margin: 1}]},"
        f" optimization: {{optimizer: {{type: torch.optim.SGD, lr: 0.1}}}}, {encoders}}}"
    )
    (line,) = errors_of(tmp_path, task)
    assert message in line


@pytest.mark.parametrize(
    ("task", "overrides", "reported"),
    [
        (
            "tasks.speech_image.SpeechImage",
            ["batch_size=1"],
            "data.batch_size [command line]: found 1, expected at",
        ),
        (
            "tasks.speech_image.SpeechImage",
            ["train.image=null"],
            "data.train.image [command line]: found null, but",
        ),
    ],
)
def test_data_that_a_task_cannot_use_are_reported_before_they_are_loaded(tmp_path, task, overrides, reported):
    """Whatever else is wrong with the task or the data; none of the files exists."""
    task = f"task={{type: {task}, image_encoder: {{type: models.small.SmallImageEncoder, width: thin}}}}"
    lines = errors_of(tmp_path, task, "data.workers=-1", *(f"data.{override}" for override in overrides))
    assert sum(reported in line for line in lines) == 1, lines
    assert any("data.workers" in line for line in lines)
    assert any("task.image_encoder.width" in line for line in lines)


def test_a_task_without_a_loss_is_reported_with_the_other_errors(tmp_path):
    lines = errors_of(
        tmp_path,
        "task={type: tasks.speech_image.SpeechImage, objective: {type: tasks.speech_image.Ranking, losses: []}}",
        "trainer.epoch=3",
    )
    reported = (
        "task.objective.losses [command line]: found [] (list), expected a list of a node {type: ...} that makes "
        "Tensor, of a length of at least 1"
    )
    assert reported in lines
    assert any("trainer.epoch " in line for line in lines)
    growing = errors_of(tmp_path, "task={type: tasks.gan.progan.Progan, phases: []}")
    assert any(line.startswith("task.phases [command line]: found [] (list)") for line in growing)


def test_the_temperature_of_a_softmax_is_above_zero(tmp_path):
    for found in (0, -0.5):
        softmax = f"{{type: losses.masked_margin_softmax, temperature: {found}}}"
        ranking = RANKING.format(f"{{type: losses.hard_triplet, margin: wide}}, {softmax}")
        lines = errors_of(tmp_path, f"task={{type: tasks.speech_image.SpeechImage, objective: {ranking}}}")
        reported = f"found {found} ({type(found).__name__}), expected float, greater than 0"
        assert f"task.objective.losses.1.temperature [command line]: {reported}" in lines
        assert any(line.startswith("task.objective.losses.0.margin") for line in lines)


def test_a_task_that_draws_its_images_needs_none_in_the_data(tmp_path):
    images = "{type: tasks.words_by_drawing.GeneratedImages, generator: x}"
    drawn = f"task={{type: tasks.speech_image.SpeechImage, images: {images}}}"
    lines = errors_of(tmp_path, drawn, "data.train.image=null")
    assert lines
    assert not any(line.startswith("data.") for line in lines), lines


@pytest.mark.parametrize(
    ("override", "reported"),
    [
        ("task.image_encoder.type=models.small", ", models.small.SmallImageEncoder"),
        ("task.type=torch.optim", "torch.optim.SGD"),
        ("data.type=datasets.world", "a class or function of a module in it: datasets.world."),
        ("entry=main", "'main' is a module, expected a class or function in it: main.train, main.evaluate"),
        ("task.type=losses", "losses.masked_margin_softmax"),
    ],
)
def test_a_module_in_the_place_of_a_class_is_reported_with_what_is_in_it(tmp_path, override, reported):
    place, _, found = override.partition("=")
    (line,) = [line for line in errors_of(tmp_path, override) if line.startswith(f"{place} [command line]")]
    assert f"'{found}' is a module" in line
    assert reported in line
    assert len(line) < 800


@pytest.mark.parametrize(
    ("override", "near"),
    [
        (
            "task.type=tasks.speech_image.task.SpechImage",
            "task.type [command line]: 'tasks.speech_image.task.SpechImage' does",
        ),
        ("entry=main.trian", "entry [command line]: 'main.trian' does not exist; did you mean 'main.train'?"),
        ("data.type=datasets.speech_imag.SpeechImageData", "data.type [command line]: 'datasets.speech_imag.SpeechIm"),
    ],
)
def test_an_unknown_type_hides_no_other_error(tmp_path, override, near):
    """Below it and elsewhere; keywords that an unknown owner would give are not missed."""
    task = (
        "task={type: tasks.speech_image.SpeechImage,"
        " image_encoder: {type: models.small.SmallImageEncoder, width: 2.5},"
        " optimization: {optimizer: {type: torch.optim.SGD, lrr: 0.1}},"
        " objective: {type: tasks.speech_image.Ranking, losses: [{type: losses.hard_triplet, margin: wide}]}}"
    )
    others = ["data.train.max_frames=0", "data.validation.type=datasets.spoken_captions.readers.PlaceFiles"]
    lines = errors_of(tmp_path, task, override, *others)
    for reported in (
        near,
        "task.image_encoder.width [command line]: found 2.5 (float), expected int",
        "task.optimization.optimizer.lrr [command line]: unknown key; did you mean 'lr'?",
        "task.objective.losses.0.margin [command line]: found 'wide' (str), expected float",
        "data.train.max_frames [command line]: found 0 (int), expected int, greater than 0",
        "data.validation.type [command line]: 'datasets.spoken_captions.readers.PlaceFiles' does not exist; did you",
    ):
        assert sum(reported in line for line in lines) == 1, (reported, lines)
    assert not any(
        "missing" in line for line in lines if "task.objective.losses" in line or "task.optimization.opt" in line
    )


def test_nodes_below_an_unknown_key_and_beside_an_unknown_encoder_are_checked(tmp_path):
    task = (
        "task={type: tasks.speech_image.SpeechImage, image_encoder: {type: models.small.SmalImageEncoder},"
        " speech_encodr: {type: models.small.SmallSpeechEncoder, widht: 3}}"
    )
    lines = errors_of(tmp_path, task)
    for reported in (
        "task.image_encoder.type [command line]: 'models.small.SmalImageEncoder' does not exist; did you mean 'models.",
        "task.speech_encodr [command line]: unknown key; did you mean 'speech_encoder'?",
        "task.speech_encodr.widht [command line]: unknown key; did you mean 'width'?",
        "task.speech_encoder [command line]: found none of speech_encoder and text_encoder, expected exactly one",
    ):
        assert sum(reported in line for line in lines) == 1, (reported, lines)


def test_trials_read_no_weights_and_leave_the_random_state(tmp_path):
    import torch

    path = tmp_path / "c.yaml"
    path.write_text("description: x\nentry: main.train\n")
    before = torch.get_rng_state()
    encoder = {"type": "models.image_encoders.Vgg16Encoder", "pretrained": "nowhere.pth"}
    with pytest.raises(config.ConfigError) as error:
        config.check(config.Config(path, {"entry": "main.train", "task": {"image_encoder": encoder}}))
    assert "nowhere.pth" not in str(error.value)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("annotation", "value", "where", "message"),
    [
        (tuple[Literal["a", "places"], ...], ["place"], "k.0", "expected 'a' or 'places'; did you mean 'places'?"),
        (list[Literal["places"]] | None, ["places", "plac"], "k.1", "did you mean 'places'?"),
        (Literal["auto"] | bool, "aut", "k", "found 'aut' (str), expected 'auto' or bool; did you mean 'auto'?"),
        (dict[str, Literal["MISA"]], {"x": "MIS"}, "k.x", "did you mean 'MISA'?"),
        (dict[str, list[Literal["MISA"]]], {"x": ["MIS"]}, "k.x.0", "did you mean 'MISA'?"),
        (tuple[float, float], [1.0], "k", "found [1.0] (list), expected a list of 2: float, float"),
        (list[int], "x", "k", "expected a list of int"),
        (Path | None, 3, "k", "found 3 (int), expected Path or null"),
        (PositiveInt, None, "k", "found null, expected int, greater than 0"),
    ],
)
def test_expectations_are_reported_in_words(annotation, value, where, message):
    ((path, reported),) = value_errors(annotation, value, "k")
    assert path == where
    assert message in reported


@dataclass
class Inner:
    """A group in a group."""

    size: PositiveInt = 1


@dataclass
class Window:
    """Two fields that depend on each other."""

    length: PositiveInt
    hop: PositiveInt
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None

    def __post_init__(self) -> None:
        config.check_values(self)

    @staticmethod
    def validate(length: int, hop: int) -> Iterator[config.Problem]:
        """Refuse gaps."""
        if hop > length:
            yield "hop", f"found {hop}, expected at most length, {length}"


def test_a_dataclass_refuses_the_same_when_python_makes_it():
    Window(4, 4, other=Inner(2))
    with pytest.raises(config.RefusedValues, match="inner: found 3 "):
        Window(4, 4, inner=3)
    with pytest.raises(config.RefusedValues, match="Window: hop: found 5, expected at most length, 4"):
        Window(4, 5)
    with pytest.raises(ValueError, match=r"length: found 0 .*; hop: found -1 "):
        Window(0, -1)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("0110", "'0110' (str)"),
        ("01120", "'01120' (str)"),
        ("1100", "1100 (int)"),
        ("'0,1,1,0,0'", "'0,1,1,0,0' (str)"),
    ],
)
def test_turn_on_codes_are_five_digits(tmp_path, code, found):
    encoder = f"speech_encoder: {{type: models.resdavenet_vq.ResDavenetVq, turn_on: {code}}}"
    lines = errors_of(tmp_path, f"task={{type: tasks.speech_image.SpeechImage, {encoder}}}")
    reported = [line for line in lines if line.startswith("task.speech_encoder.turn_on [command line]")]
    assert reported == [
        f"task.speech_encoder.turn_on [command line]: found {found}, expected five digits of 0 and 1, for the first "
        "convolution and each of the four layers, such as '01100' for quantisers 2 and 3"
    ]


def test_a_group_that_lacks_a_value_with_an_error_is_not_tried():
    """Without its decay an average cannot be made, which would be a second error of the same value."""
    with pytest.raises(config.ConfigError, match=r": 1 error\n  trainer\.ema\.decay .*found 0 ") as refused:
        config.check(config.load(config.PROJECT_ROOT / "tests/assets/configs/tiny.yaml", ["trainer.ema={decay: 0}"]))
    assert "missing" not in str(refused.value)
