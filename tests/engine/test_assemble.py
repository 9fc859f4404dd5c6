"""Data that are not there: all reported at once, with their key paths, before anything is made."""

import pytest

import config
from common.errors import UserError
from config import Factory
from datasets.spoken_captions.readers import GanClevr, PlacesFiles
from datasets.world.renders import Renders
from engine.assemble import refuse_missing


def nodes(*overrides):
    """The data and the preparation of the quick start."""
    values = config.check(config.load("quickstart", list(overrides)))

    def factory(name):
        node = dict(values[name])
        return Factory(config.resolve_type(node.pop("type")), node, name)

    return factory("data"), factory("prepare")


def test_every_missing_manifest_is_named_with_its_key_path(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "val.json").write_text("{}")
    (tmp_path / "test.json").write_text("{}")
    paths = {
        "train": tmp_path / "none" / "nope.json",
        "validation": tmp_path / "vall.json",
        "test": tmp_path / "no" / "test.json",
    }
    world = f"prepare.world.folder={tmp_path}/w"
    given = [world, *(f"data.{split}.manifest={path}" for split, path in paths.items())]
    for prepare in (None, nodes(*given)[1]):
        with pytest.raises(UserError, match="3 files of the data are missing") as error:
            refuse_missing(nodes(*given)[0], prepare)
        lines = str(error.value).splitlines()[1:]
        assert lines == [
            f"  data.train.manifest: {tmp_path}/none/nope.json does not exist",
            f"  data.validation.manifest: {tmp_path}/vall.json does not exist; did you mean 'val.json'?",
            f"  data.test.manifest: {tmp_path}/no/test.json does not exist, nor does the folder {tmp_path}/no",
        ]
    with pytest.raises(UserError, match="1 file of the data is missing"):
        rest = [
            f"data.{split}.manifest={tmp_path}/{name}.json" for split, name in (("validation", "val"), ("test", "test"))
        ]
        refuse_missing(nodes("data.train.manifest=/nope.json", *rest)[0])


def test_what_will_be_prepared_may_be_missing(tmp_path):
    splits = {"train": "train", "validation": "val", "test": "test"}
    inside = [f"data.{split}.manifest={tmp_path}/w/places/{name}.json" for split, name in splits.items()]
    data, prepare = nodes(f"prepare.world.folder={tmp_path}/w", *inside)
    refuse_missing(data, prepare)
    with pytest.raises(UserError, match=r"data\.train\.manifest: .*train\.json does not exist"):
        refuse_missing(data)


@pytest.mark.parametrize(
    ("missing", "meant"),
    [
        ("vall.json", "val.json"),
        ("val.jsn", None),  # another ending is another format
        ("picturs.json", None),  # a folder is no manifest
        ("nope", None),  # three letters of "opt" are no mistyped name
        ("lisst", "list"),
    ],
)
def test_only_files_with_the_same_ending_are_offered_for_a_file(tmp_path, missing, meant):
    for file in ("val.json", "val.jpg", "list"):
        (tmp_path / file).write_text("{}")
    for folder in ("pictures.json", "opt"):
        (tmp_path / folder).mkdir()
    node = Factory(PlacesFiles, {"manifest": str(tmp_path / missing)}, "data.train")
    assert offered(node) == meant


@pytest.mark.parametrize(("missing", "meant"), [("wrld", "world"), ("vall", None), ("nope", None)])
def test_only_folders_are_offered_for_a_folder(tmp_path, missing, meant):
    (tmp_path / "val").write_text("{}")
    for folder in ("world", "opt"):
        (tmp_path / folder).mkdir()
    assert offered(Factory(GanClevr, {"folder": str(tmp_path / missing)}, "data.train")) == meant


def offered(node):
    """Return the name that the message suggests, or None."""
    with pytest.raises(UserError, match="1 file of the data is missing") as error:
        refuse_missing(node)
    _, _, meant = str(error.value).partition("; did you mean '")
    return meant.removesuffix("'?") or None


def test_a_folder_in_a_files_place_stands_in_the_same_list(tmp_path):
    (tmp_path / "test.json").write_text("{}")
    paths = {"train": "no/none.json", "validation": "", "test": "test.json"}
    world = f"prepare.world.folder={tmp_path / 'w'}"
    data, prepare = nodes(world, *(f"data.{split}.manifest={tmp_path / name}" for split, name in paths.items()))
    for before in (None, prepare):
        with pytest.raises(UserError) as error:
            refuse_missing(data, before)
        assert str(error.value).splitlines()[1:] == [
            f"  data.train.manifest: {tmp_path}/no/none.json does not exist, nor does the folder {tmp_path}/no",
            f"  data.validation.manifest: {tmp_path} is a folder, expected a file",
        ]
    renders = Factory(Renders, {"folder": str(tmp_path / "test.json")}, "data")
    with pytest.raises(UserError, match=r"data\.folder: .*test\.json is a file, expected a folder"):
        refuse_missing(renders)
