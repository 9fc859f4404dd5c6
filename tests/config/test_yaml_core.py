"""YAML 1.2: what a text means, that arguments lose nothing, and that no text takes long or ends in a stack trace."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from config.yaml_core import DEEPEST, parse_argument, parse_yaml

TEXT = [
    "12:30", "1:20:59", "190:20:30.15", "-1:30", "yes", "No", "on", "OFF", "y", "n", "2024-01-01",
    "2001-12-14 21:59:43Z",
    "017", "0o8", "0b101", "1_000", "0x1_f", "+0x1f", "=", "1e", ".", "e3", "+.nan", "nan", "inf", "True_", "nUll",
    "1.2.3",
]  # fmt: skip
VALUES = {
    "true": True, "False": False, "TRUE": True, "null": None, "~": None, "Null": None, "0": 0, "-0": 0, "+12": 12,
    "0o17": 15, "0x1F": 31, "1e3": 1000.0, "1.": 1.0, ".5": 0.5, "-.inf": -math.inf, "18446744073709551615": 2**64 - 1,
}  # fmt: skip


def same(found, value):
    return type(found) is type(value) and found == value


@pytest.mark.parametrize("text", TEXT)
def test_text_stays_text_wherever_it_stands(text):
    for value in (parse_yaml(text, "x"), parse_argument(text, "x"), parse_yaml(config.dump({"a": text}), "x")["a"]):
        assert same(value, text)
    for parse in (parse_yaml, parse_argument):
        assert parse(f"[{{a: {text}}}, [{text}], '{text}']", "x") == [{"a": text}, [text], text]
    assert parse_yaml(f"{text}: 1", "x") == {text: 1}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_numbers_flags_and_null_are_those_of_the_core_schema(text, value):
    for found in (parse_yaml(text, "x"), parse_argument(text, "x"), parse_argument(f"[{text}]", "x")[0]):
        assert same(found, value)
    assert same(parse_yaml(config.dump({"a": value}), "x")["a"], value)
    assert same(parse_yaml(f"'{text}'", "x"), text)
    assert same(parse_yaml(config.dump({"a": text}), "x")["a"], text)
    assert math.isnan(parse_yaml(".nan", "x"))


@pytest.mark.parametrize(
    "text",
    ["q #2", "#5", "q\t# x", "a: b", "- x", "? x", "&x 3", "*x", "!x", "!!str 3", "| x", "> x", "--- q", "%TAG ! x",
    "@x",
     "`x", "x: [1, 2] # y", "q ", " q", "a\nb", "x'y", 'q"', "...", "<<"],
)  # fmt: skip
def test_an_argument_is_taken_as_it_stands(text):
    assert parse_argument(text, "x") == text


def test_a_runs_name_is_never_cut(tmp_path):
    (tmp_path / "c.yaml").write_text("description: x\nrun: {name: r}\n", encoding="utf-8")
    assert config.load(tmp_path / "c.yaml", ["run.name=q #2"]).values["run"] == {"name": "q #2"}
    assert config.load(tmp_path / "c.yaml", ["run={name: 12:30}"]).values["run"] == {"name": "12:30"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x has no value: write null"), ("  ", "has no value"), ("[1, 2] # two", "a comment"),
        ("'q' #2", "a comment"),
        ("{a: q #2}", "a comment"), ("[a, #b\n]", "a comment"), ("{a: [b #c\n]}", "a comment"), ("[&x 1]", "an anchor"),
        ("[*x]", "an anchor"), ("{a: !x b}", "an anchor"), ("[! 12]", "an anchor"), ("['a\n b']", "several lines"),
        ("[a\n b]", "several lines"), ("[1", "not valid YAML"), ("'q", "not valid YAML"), ("'q' r", "not valid YAML"),
        ("99999999999999999999", "beyond 64 bits"), ("9" * 5000, "beyond 64 bits"),
        ("0x" + "f" * 5000, "beyond 64 bits"),
        ("1e999", "beyond the largest"), ("a\x00b", "character"), ("a\udcffb", "character"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_as_it_stands_is_refused(text, message):
    with pytest.raises(config.ConfigError, match=message):
        parse_argument(text, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int x", "tag '!!int'"), ("a: !!int 12:30", "tag '!!int'"), ("a: !!bool yes", "tag '!!bool'"),
        ("a: !!binary aGk=", "tag '!!binary'"), ("a: !!timestamp 2024-01-01", "tag '!!timestamp'"),
        ("a: !!set {b, c}", "tag '!!set'"), ("a: !!omap [b: 1]", "tag '!!omap'"), ("a: !!map [b]", "not valid YAML"),
        ("a: !!python/name:os.system x", "python/name"), ("a: !!seq {b: 1}", "not valid YAML"), ("a: !x y", "tag '!x'"),
        ("<<: {a: 1}", "merge keys"), ("a: &x {b: 1}\nc: {<<: *x}", "line 2.*merge keys"),
        ("a: 1\na: 2", "stands twice"),
        ("~: 1", "no name"), ("? [a]\n: 1", "no name"), ("? {a: b}\n: 1", "no name"), ("a: [1]]", "not valid YAML"),
        ('a: "\\UFFFFFFFF"', "not valid YAML"), ('a: "\\ud800"', "character"), ('a: "\\0"', "character"),
        ("a: \x00", "YAML"),
        (f"%YAML 1.{'9' * 5000}\n---\na: 1", "not valid YAML"), ("a: &x [*x]", "within what it repeats"),
        ("a: &x {b: *x}", "within what it repeats"), ("a: 1\n---\nb: 1", "not valid YAML"),
        (f"a: {'9' * 5000}", "64 bits"),
    ],
)  # fmt: skip
def test_files_hold_plain_values_only(text, message):
    with pytest.raises(config.ConfigError, match=message):
        parse_yaml(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "{a: " * 100_000, "- " * 50_000 + "x", "? " * 50_000, "a: " + "[" * 500 + "]" * 500,
        "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)),
        "\n".join(["a: &a0 {x: y}", *(f"a{i}: &a{i} {{b: *a{i - 1}, c: *a{i - 1}}}" for i in range(1, 39))]),
        f"a: &a {'x' * 500_000}\nb: [*a, *a, *a]", "x" * 2_000_000,
    ],
    ids=range(9),
)  # fmt: skip
def test_deep_and_growing_documents_are_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(config.ConfigError, match=r"levels of lists|more values than|at most"):
        parse_yaml(text, "x")
    assert time.process_time() - start < 5


def test_as_many_levels_and_aliases_as_a_config_needs():
    text = "[" * (DEEPEST - 2) + "]" * (DEEPEST - 2)
    value = {"a": parse_yaml(text, "x")}
    assert parse_yaml(config.dump(value), "x") == value
    found = parse_yaml("a: &x {b: [1]}\nc: *x", "x")
    found["a"]["b"].append(2)
    assert found == {"a": {"b": [1, 2]}, "c": {"b": [1]}}


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=12)
LEAVES = PLAIN | st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)


@settings(max_examples=60)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3)))
def test_what_is_written_is_read_again(value):
    assert parse_yaml(config.dump({"a": value}), "x") == {"a": value}


@settings(max_examples=60)
@given(PLAIN.filter(str.strip))
def test_a_text_as_an_argument_is_itself_a_number_or_refused(text):
    try:
        found = parse_argument(text, "x")
    except config.ConfigError:
        assert text.strip()[0] in "[{\"'" or text.strip().strip("+-").replace(".", "").isalnum()
        return
    assert found == text or not isinstance(found, str) or text.strip()[0] in "\"'"
