"""Finding, inheriting and overriding configs."""

import pytest

import config


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_extends_merges_mappings_and_replaces_nodes_of_another_type(tmp_path):
    write(tmp_path / "base.yaml", "a: {x: 1, y: 2}\nnode: {type: models.A, width: 3}\nlist: [1, 2]\n")
    child = write(
        tmp_path / "child.yaml",
        "extends: base.yaml\na: {y: 5}\nnode: {type: models.B, depth: 1}\nlist: [7]\n",
    )
    assert config.load(child).values == {
        "a": {"x": 1, "y": 5},
        "node": {"type": "models.B", "depth": 1},
        "list": [7],
    }


def test_extends_in_a_circle_is_named(tmp_path):
    write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    with pytest.raises(config.ConfigError, match="goes in a circle"):
        config.load(tmp_path / "a.yaml")


def test_overrides_are_yaml_and_reach_into_lists(tmp_path):
    path = write(tmp_path / "c.yaml", "a: {b: 1}\nlist: [{m: 1}, {m: 2}]\n")
    loaded = config.load(path, ["a.b=[1, x]", "list.1.m=1e-3", "new.key=null", "a.c=true"])
    assert loaded.values == {
        "a": {"b": [1, "x"], "c": True},
        "list": [{"m": 1}, {"m": 0.001}],
        "new": {"key": None},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nonsense", "not of the form key.sub=value"),
        ("list.7=1", "expected a list position from 0 to 1"),
        ("a.b.c=1", "a.b is a value, not a mapping"),
        ("a=[1", "not valid YAML"),
    ],
)
def test_bad_overrides(tmp_path, override, message):
    path = write(tmp_path / "c.yaml", "a: {b: 1}\nlist: [1, 2]\n")
    with pytest.raises(config.ConfigError, match=message):
        config.load(path, [override])


def test_duplicate_keys_and_broken_yaml_name_file_and_line(tmp_path):
    with pytest.raises(config.ConfigError, match=r"d\.yaml, line 2: .*'a' stands twice"):
        config.load(write(tmp_path / "d.yaml", "a: 1\na: 2\n"))
    with pytest.raises(config.ConfigError, match=r"e\.yaml, line [23]: not valid YAML"):
        config.load(write(tmp_path / "e.yaml", "a: 1\nb: [\n"))
    with pytest.raises(config.ConfigError, match="expected a mapping"):
        config.load(write(tmp_path / "f.yaml", "- 1\n"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("01100", "01100"), ("00000", "00000"), ("017", "017"), ("-08", "-08"), ("10011", 10011), ("0", 0),
        ("-12", -12), ("1_000", "1_000"), ("0x1f", 31), ("0.5", 0.5), ("1.", 1.0), ("-1e-3", -0.001), (".5", 0.5),
    ],
)  # fmt: skip
def test_numbers_are_decimal_and_what_begins_with_zeros_is_text(tmp_path, text, value):
    """YAML 1.1 would read 01100, a turn-on code, as the octal number 576."""
    path = write(tmp_path / "c.yaml", f"a: {text}\nb: 1\n")
    loaded = config.load(path, [f"b={text}"]).values
    assert loaded == {"a": value, "b": value}
    assert type(loaded["a"]) is type(value)
    assert config.load(write(tmp_path / "d.yaml", config.dump(loaded))).values == loaded


def test_yaml_cannot_make_objects(tmp_path):
    path = write(tmp_path / "evil.yaml", "a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(config.ConfigError, match="not valid YAML"):
        config.load(path)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(config.ConfigError, match=r"did you mean 'quickstart\.yaml'"):
        config.find("quikstart")
    with pytest.raises(config.ConfigError, match=r"did you mean 'words_by_drawing/dissect\.yaml'"):
        config.find("disect.yaml")
    with pytest.raises(config.ConfigError, match=r"did you mean 'visual_vocab/show\.yaml'"):
        config.find("vocabulary/show.yaml")
    with pytest.raises(config.ConfigError, match=r"nor as a path \("):
        config.find("nothere.yaml")


def test_names_are_found_with_and_without_ending_and_folder():
    assert config.find("quickstart") == config.find("quickstart.yaml")
    assert config.load("quickstart").name == "quickstart"


def test_paths_expand_and_start_at_the_project_root(monkeypatch, tmp_path):
    monkeypatch.setenv("DRAWL_TEST_ROOT", str(tmp_path))
    assert config.resolve_path("$DRAWL_TEST_ROOT/x") == tmp_path / "x"
    assert config.resolve_path("data/x") == config.PROJECT_ROOT / "data/x"
    assert config.resolve_path("~/x").is_absolute()
    with pytest.raises(config.ConfigError, match="DRAWL_NOT_SET, which is not set"):
        config.resolve_path("${DRAWL_NOT_SET}/x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_configs_of_other_editors(tmp_path, encoding):
    (tmp_path / "base.yaml").write_bytes("extends: null\r\nname: caf\u00e9\r\n".encode(encoding))
    (tmp_path / "a.yaml").write_bytes("extends: base.yaml\r\nepochs: 3\r\n".encode(encoding))
    assert config.load(tmp_path / "a.yaml").values == {"name": "caf\u00e9", "epochs": 3}


def test_a_config_in_an_unknown_encoding_is_named(tmp_path):
    (tmp_path / "a.yaml").write_bytes("epochs: 3\nname: caf\u00e9\n".encode("latin-1"))
    with pytest.raises(
        config.ConfigError,
        match=r"a\.yaml is no text in UTF-8: line 2 holds the byte 0xe9 after .*, which is '\u00e9' in Latin-1",
    ):
        config.load(tmp_path / "a.yaml")


def test_nothing_stands_below_an_empty_list():
    with pytest.raises(config.ConfigError, match="found 'folder' below an empty list; give the whole"):
        config.load("quickstart", ["run=[]", "run.folder=x"])
