"""Binding configs to signatures: every error at once, nothing outside the allow-list."""

import shlex

import pytest
import torch

import config
from config.resolve import resolve_type


def load(tmp_path, text, overrides=()):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, list(overrides))


TRAIN = """
description: a test
entry: main.train
data: {type: datasets.spoken_captions.SpeechImageData,
  train: &set {type: datasets.spoken_captions.PlacesFiles,
  manifest: m.json, image: {size: 64, resize: 64, random_crop: false}}, validation: *set, batch_size: 4}
task:
  type: tasks.speech_image.SpeechImage
  image_encoder: {type: models.small.SmallImageEncoder}
  speech_encoder: {type: models.small.SmallSpeechEncoder, width: 32}
  objective: {type: tasks.speech_image.Ranking, losses: [{type: losses.sampled_triplet, margin: 1.0}]}
  optimization:
    optimizer: {type: torch.optim.Adam, lr: 1e-3}
trainer: {epochs: 2}
"""


def test_a_good_config_is_completed_with_defaults(tmp_path):
    values = config.check(load(tmp_path, TRAIN))
    assert values["task"]["speech_encoder"]["embedding_dim"] == 128
    assert values["task"]["optimization"]["optimizer"]["betas"] == [0.9, 0.999]
    assert values["trainer"]["checkpoint"] == {
        "every_epochs": 1,
        "every_steps": None,
        "keep": 0,
        "snapshot_every_epochs": None,
    }
    assert config.check(config.Config(tmp_path / "again.yaml", values)) == values


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epoch=3", r"trainer\.epoch \[command line\]: unknown key; did you mean 'epochs'"),
        ("trainer.epochs=ten", r"trainer\.epochs \[command line\]: found 'ten' \(str\), expected int"),
        ("trainer.epochs=2.5", r"found 2\.5 \(float\), expected int"),
        ("trainer.epochs=true", r"found True \(bool\), expected int"),
        ("trainer.epochs=0", r"trainer\.epochs \[command line\]: found 0 \(int\), expected int, greater than 0"),
        ("trainer.precision=bf15", r"found 'bf15' \(str\), expected 'auto' or .*did you mean 'bf16'"),
        ("task.speech_encoder.widht=3", r"task\.speech_encoder\.widht.*did you mean 'width'"),
        (
            "task.speech_encoder.type=models.small.SmallSpechEncoder",
            r"did you mean 'models\.small\.SmallSpeechEncoder'\?$",
        ),
        ("task.speech_encoder.type=models.smal.X", r"no module 'models\.smal'; models\.small has models\.small\.\w+, "),
        ("task.image_encoder=7", r"task\.image_encoder.*found 7"),
        ("task.optimization.optimizer.params=[]", "is given by the program"),
        ("task.optimization.optimizer=3", "expected a node {type: ...} that makes Optimizer"),
        ("task.objective.losses.0.marginn=3", r"task\.objective\.losses\.0\.marginn.*did you mean 'margin'"),
        ("task.optimization.optimizer.lr=-1", r"task\.optimization\.optimizer\.lr \[command line\]: found -1 "),
        ("task.objective.losses.0.type=losses.nonsense", r"does not exist; losses has losses\..*losses\.hard_triplet"),
        (
            "task.objective.losses.0.type=loses.hard_triplet",
            r"types come from datasets, .*did you mean 'losses\.hard_triplet'",
        ),
        ("task.objective.losses.0.type=os.system", r"types come from datasets, [^;]*trainer$"),
        ("context=3", "is given by the program"),
        ("run.name=../x", r"run\.name.*expected the name of a folder below run\.folder"),
        ("run.name=/x", "expected the name of a folder below"),
        ('run.folder=""', r"run\.folder \[command line\]: found '', expected the path of a file or folder"),
        ('data.train.manifest=" "', r"data\.train\.manifest \[command line\]: found ' ', expected the path of a file"),
        ("run.name=q ", "expected the name of a folder below"),
        ("data.workers=100000", r"found 100000 \(int\), expected int, .*less than or equal to 256"),
        ("cpu_threads=100000", r"found 100000 \(int\), expected int, .*less than or equal to 512"),
        ("launch.processes=1000000", "less than or equal to 256"),
        ("seed=1e30", r"found 1e\+30 \(float\), expected int"),
        ("description=3", r"description \[command line\]: found 3, expected one line of text"),
        ("trainer.epochs=10000000000", "at most 1,000,000,000"),
        ("trainer.max_minutes=.inf", r"found inf \(float\)"),
        ("trainer.compile=yes", "found 'yes' .str., expected bool; write true"),
        ("task.speech_encoder.width=70000", r"less than or equal to 65,536"),
        ("task.speech_encoder.width=60000", r"numbers, expected at most"),
        ("task.objective.losses.0.margin=-1", "greater than or equal to 0"),
        ("task.optimization.optimizer.lr=1e30", "less than or equal to 100"),
        ("task.optimization.optimizer.betas=[-0.5, 0.9]", r"betas\.0 \[command line\]: found -0\.5 "),
        ("task.optimization.optimizer.eps=-1", r"optimizer\.eps \[command line\]: found -1 "),
        ("task.optimization.optimizer.capturable=true", "expected False"),
        (
            "task.optimization.optimizer={type: torch.optim.LBFGS}",
            "LBFGS, which computes the loss several times a step",
        ),
        ("task.optimization.optimizer={type: torch.optim.SparseAdam}", "SparseAdam, which is for sparse gradients"),
        ("task.optimization.optimizer={type: torch.optim.Optimizer, defaults: {}}", "is the base of all optimisers"),
        ("task.optimization.schedule={type: torch.optim.lr_scheduler.ReduceLROnPlateau}", "waits for a metric"),
        ("task.optimization.schedule={type: torch.optim.SGD}", "expected what makes LRScheduler"),
        ("task.image_encoder.type=models.weights.WeightsError", "is an exception"),
        ("task.image_encoder.type=engine.task.Task", "only describes a kind of class"),
        ("task.image_encoder={type: evaluation.report.parts.page.write_page}", "expected what makes Module"),
        ("task.image_encoder={type: engine.run_info.git_commit}", "expected what makes Module"),
        ("prepare={type: evaluation.report.retrieval.write_report}", "expected what makes Path and takes dry_folder"),
        ("entry=engine.checkpoint.write", r"entry.*expected a function of main, tasks, datasets that returns nothing"),
        ("entry=torch.optim.Adam", "expected a function of main"),
        ("data.train.manifest=~nobody_of_this_name/x", "home folder of a user that this machine lacks"),
        ("entry=os.system", "not on the allow-list"),
        ("task.type=tasks.speech_image.task.logging", "does not exist"),
        ("task.type=torch.load", "not on the allow-list"),
        ("data.train.manifest=$NOT_SET_AT_ALL/m.json", "NOT_SET_AT_ALL, which is not set"),
    ],
)
def test_errors_are_named(tmp_path, override, message):
    with pytest.raises(config.ConfigError, match=message):
        config.check(load(tmp_path, TRAIN, [override]))


@pytest.mark.parametrize(
    ("overrides", "key_path", "meant"),
    [
        (["optimizer.lr=1"], "optimizer", "'task.optimization.optimizer.lr'?"),  # ends like all of it
        (["task.optimizer.lr=1"], "task.optimizer", "'task.optimization.optimizer.lr'?"),
        (["trainer.lr=1"], "trainer.lr", "'task.optimization.optimizer.lr'?"),
        (["lr=1"], "lr", "'task.optimization.optimizer.lr'?"),
        (["batch_size=8"], "batch_size", "'data.batch_size'?"),
        (["train.batch_size=8"], "train", "'data.batch_size'?"),
        (["optimizer.lr=1", "optimizer.eps=1"], "optimizer", "'task.optimization.optimizer'?"),
        (["ema.decay=0.9"], "ema", "'trainer.ema'?"),  # null as yet, so that nothing ends like all of it
        (["width=8"], "width", "'task.image_encoder.width' or 'task.speech_encoder.width'?"),
        (
            ["type=x"],
            "type",
            "'data.type', 'task.type' or 'data.train.type'? (6 more end so)",
        ),  # the nearest to the top
        (["batchsize=8"], "batchsize", "'data.batch_size'?"),
        (["optimzer.x=8"], "optimzer", "'task.optimization.optimizer'?"),
        (["trainer.epoch=8"], "trainer.epoch", "'epochs'?"),  # of its owner, which is nearer
    ],
)
def test_an_unknown_key_is_looked_for_in_the_whole_config(tmp_path, overrides, key_path, meant):
    with pytest.raises(config.ConfigError) as error:
        config.check(load(tmp_path, TRAIN, overrides))
    line = next(line for line in str(error.value).splitlines() if line.startswith(f"  {key_path} ["))
    assert f": unknown key; did you mean {meant} (" in line


@pytest.mark.parametrize(
    "override", ["qqq=1", "task={type: tasks.nowhere.X, objective: {type: losses.hard_triplet, qqq: 1}}"]
)
def test_what_resembles_nothing_is_not_guessed_at_nor_found_at_itself(tmp_path, override):
    """A node whose owner is unknown is kept as it is, with its unknown keys."""
    with pytest.raises(config.ConfigError, match=r"qqq \[command line\]: unknown key \("):
        config.check(load(tmp_path, TRAIN, [override]))


@pytest.mark.parametrize(
    ("key", "dotted", "meant"),
    [
        ("task.objective.losses.0.type", "losses.triplett", "losses.hard_triplet"),
        ("task.objective.losses.0.type", "loses.hard_triplet", "losses.hard_triplet"),
        ("task.optimization.optimizer.type", "optim.Adm", "torch.optim.Adam"),
        ("task.optimization.optimizer.type", "torch.optm.Adamw", "torch.optim.AdamW"),
        ("task.type", "tasks.speech_imag.SpeechImage", "tasks.speech_image.SpeechImage"),
        (
            "data.train.type",
            "datasets.spoken_caption.readers.PlaceFiles",
            "datasets.spoken_captions.readers.PlacesFiles",
        ),
        ("entry", "mian.train", "main.train"),
    ],
)
def test_a_suggested_type_works_when_it_is_pasted(tmp_path, key, dotted, meant):
    with pytest.raises(config.ConfigError, match=rf"did you mean '{meant}'\?$"):
        config.check(load(tmp_path, TRAIN, [f"{key}={dotted}"]))
    config.check(load(tmp_path, TRAIN, [f"{key}={meant}"]))


def test_what_does_not_suit_its_place_is_not_suggested(tmp_path):
    """An encoder's name is near, but an optimiser is wanted."""
    override = "task.optimization.optimizer.type=models.small.SmallSpechEncoder"
    with pytest.raises(config.ConfigError, match=r"Encoder' does not exist; models\.small has models\.small\."):
        config.check(load(tmp_path, TRAIN, [override]))


@pytest.mark.parametrize("key", ["run.name", "data.train.manifest"])
@pytest.mark.parametrize(("text", "read"), [("0x10", "16"), ("1e3", "1000.0"), (".5", "0.5"), ("true", "True")])
def test_what_reads_as_a_number_or_flag_is_text_in_quotes(tmp_path, key, text, read):
    with pytest.raises(config.ConfigError, match=rf"{key} .*found {read} \(\w+\), expected (str|Path)") as error:
        config.check(load(tmp_path, TRAIN, [f"{key}={text}"]))
    line = str(error.value).splitlines()[-1]
    found, _, remedy = line.rpartition(", ")
    assert found.endswith("put it in quotes to make it text")
    (override,) = shlex.split(remedy)  # as a shell hands it over
    loaded = load(tmp_path, TRAIN, [override])
    assert text in (loaded.values["run"]["name"] if key == "run.name" else loaded.values["data"]["train"]["manifest"])
    config.check(loaded)


def test_in_a_file_too(tmp_path):
    with pytest.raises(config.ConfigError, match=r"run\.name: found 7 \(int\), .*put it in quotes to make it text$"):
        config.check(load(tmp_path, TRAIN + "run: {name: 7}\n"))
    with pytest.raises(
        config.ConfigError, match=r"manifest \[command line\]: found null, expected Path; put it in quotes"
    ):
        config.check(load(tmp_path, TRAIN, ["data.train={type: datasets.spoken_captions.PlacesFiles, manifest: null}"]))


def test_what_begins_with_zeros_is_text(tmp_path):
    assert config.check(load(tmp_path, TRAIN, ["run.name=007"]))["run"]["name"] == "007"


PAGE = "{type: evaluation.report.parts.page.write_page}"


@pytest.mark.parametrize("name", ["quickstart", "quickstart_evaluate", "words_by_drawing/compare", "world/build"])
def test_every_key_refuses_values_of_another_kind_in_a_line_of_one_list(name):
    keys = [key for key in config.load(name).values if key not in ("entry", "description", "seeds", "folder")]
    for value in ("[1]", PAGE):
        with pytest.raises(config.ConfigError) as error:
            config.check(config.load(name, [f"{key}={value}" for key in keys]))
        found = str(error.value)
        assert all(f"\n  {key} [command line]: " in found or f"\n  {key}." in found for key in keys), found
    for entry in ("os.system", "main", "[]", "{}", "null", "main..train", "config.load"):
        with pytest.raises(config.ConfigError, match=r"1 error\n  entry \[command line\]: "):
            config.check(config.load(name, [f"entry={entry}"]))


def test_all_errors_come_at_once(tmp_path):
    task = ["task.speech_encoder.width=wide", "task.optimization.optimizer.lr=[1]"]
    overrides = ["trainer.epochs=x", "trainer.nonsense=1", *task]
    with pytest.raises(config.ConfigError) as error:
        config.check(load(tmp_path, TRAIN, overrides))
    text = str(error.value)
    assert "4 errors" in text
    for key in ("trainer.epochs", "trainer.nonsense", "task.speech_encoder.width", "task.optimization.optimizer.lr"):
        assert key in text


def test_missing_keys_are_named(tmp_path):
    with pytest.raises(config.ConfigError, match=r"trainer: missing: main\.train needs TrainerSettings"):
        config.check(load(tmp_path, "description: x\nentry: main.train\n"))
    with pytest.raises(config.ConfigError, match=r"(?s)description: missing.*entry: missing"):
        config.check(load(tmp_path, "seed: 1\n"))


@pytest.mark.parametrize(
    "dotted",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "torch.hub.load",
        "tasks.speech_image.task.torch.load",
        "config.load",
    ],
)
def test_only_project_types_resolve(dotted):
    with pytest.raises(config.ConfigError):
        resolve_type(dotted)


def test_functions_imported_into_a_module_are_refused():
    # trainer imports dataclass from the standard library: reachable as an attribute, but not defined here.
    with pytest.raises(config.ConfigError, match="not on the allow-list"):
        resolve_type("trainer.dataclass")


def test_build_makes_objects_and_factories(tmp_path):
    values = config.check(load(tmp_path, TRAIN))
    encoder = config.build(values["task"]["speech_encoder"])
    assert encoder(torch.zeros(1, 40, 64)).features.shape == (1, 128, 8)
    factory = config.Factory(resolve_type("torch.optim.Adam"), {"lr": 1}, "task.optimization.optimizer")
    optimizer = factory(params=encoder.parameters(), not_declared=3)
    assert optimizer.param_groups[0]["lr"] == 1


def test_constructor_errors_name_the_key_path():
    with pytest.raises(config.ConfigError, match=r"task\.speech_encoder: SmallSpeechEncoder needs positive"):
        config.build({"type": "models.small.SmallSpeechEncoder", "width": 0}, "task.speech_encoder")


def test_every_config_of_the_project_is_valid():
    paths = config.list_configs()
    assert len(paths) >= 3
    for path in paths:
        config.check(config.load(path))


def test_an_error_of_a_whole_node_names_the_command_line_beside_the_file_below(tmp_path):
    (tmp_path / "base.yaml").write_text(TRAIN, encoding="utf-8")
    child = "description: x\nextends: base.yaml\n"
    with pytest.raises(config.ConfigError, match=r"task\.image_encoder \[\S*base\.yaml, command line\]: SmallImage"):
        config.check(load(tmp_path, child, ["task.image_encoder.downsample=6"]))
