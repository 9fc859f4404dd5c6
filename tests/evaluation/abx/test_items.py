"""Item files: read, written, made from phone alignments, and every row that cannot be used."""

from decimal import Decimal

import pytest

from evaluation.abx.items import COLUMNS, AbxError, Item, phone_items, read_items, write_items

HEADER = " ".join(COLUMNS)
GOOD = "u1 0.10 0.25 a x y s1"


def written(tmp_path, *lines, header=HEADER):
    path = tmp_path / "test.item"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_columns_in_any_order_and_further_ones(tmp_path):
    header = "onset #file speaker offset #phone next-phone prev-phone word"
    items = read_items(written(tmp_path, "0.10 u1 s1 0.2500 ɐ y x CUBE", "", "1 u2 s2 2 b z z RED", header=header))
    assert items.rows[0] == Item("u1", Decimal("0.10"), Decimal("0.25"), "ɐ", "x", "y", "s1")
    assert items.lines == [2, 4]


def test_what_is_written_is_read(tmp_path):
    rows = [Item("u1", Decimal("0.1"), Decimal("0.25001"), "tʃ", "x", "y", "s1")]
    path = tmp_path / "some" / "new.item"
    assert write_items(path, rows) == 1
    assert path.read_text() == f"{HEADER}\nu1 0.1000 0.2500 tʃ x y s1\n"
    assert read_items(path).rows[0].phone == "tʃ"
    with pytest.raises(AbxError, match="found the name 'a b' in 'u1'; an item file needs names without spaces"):
        write_items(path, [rows[0]._replace(phone="a b")])
    assert path.read_text().count("\n") == 2, "the file that was there stays"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "u1 0.10 0.25 a x y",
            r"test.item, line 3: found 6 fields, expected the 7 of the header; correct or remove it$",
        ),
        ("u1 0.10 0.25 a x y s1 more", r"line 3: found 8 fields"),
        (
            "u1 0.25 0.25 a x y s1",
            r"line 3: found an onset of 0.25 s and an offset of 0.25 s, expected the onset before",
        ),
        ("u1 0.30 0.25 a x y s1", r"line 3: found an onset of 0.30 s"),
        ("u1 zero 0.25 a x y s1", r"line 3: found the times zero and 0.25, expected numbers of seconds;"),
        ("u1 nan 0.25 a x y s1", r"line 3: found the times nan and 0.25, expected numbers of seconds from 0 on"),
        ("u1 -0.1 0.25 a x y s1", r"line 3: found the times -0.1 and 0.25"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, line, message):
    with pytest.raises(AbxError, match=message):
        read_items(written(tmp_path, GOOD, line, GOOD))


def test_further_errors_are_counted(tmp_path):
    with pytest.raises(AbxError, match=r"line 2: found 1 fields, .* \(and 2 more such lines\); correct"):
        read_items(written(tmp_path, "u1", "u1", GOOD, "u1 1 0 a x y s1"))


def test_files_that_are_no_item_files(tmp_path):
    with pytest.raises(AbxError, match=r"There is no item file .*none.item; give one of ZeroSpeech"):
        read_items(tmp_path / "none.item")
    with pytest.raises(
        AbxError, match=r"line 1: found no column speaker; expected the header #file onset offset #phone"
    ):
        read_items(written(tmp_path, GOOD, header=HEADER.replace("speaker", "talker")))
    with pytest.raises(AbxError, match="holds no items, only a header"):
        read_items(written(tmp_path))
    path = tmp_path / "binary.item"
    for content, message in (
        (b"\xff\xfe\x00", r"binary\.item begins as UTF-16-LE and is broken .*\(expected an item file\)"),
        (
            f"{HEADER}\n{GOOD}".replace("u1", "\u00fc1").encode("latin-1"),
            "line 2 holds the byte 0xfc after .*, which is '\u00fc' in Latin",
        ),
        (b"RIFF\0\0\0\0WAVE", "is no text: line 1 holds a zero byte"),
    ):
        path.write_bytes(content)
        with pytest.raises(AbxError, match=message):
            read_items(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_item_files_of_other_programs(tmp_path, encoding):
    path = tmp_path / "a.item"
    path.write_bytes(f"{HEADER}\r\n{GOOD}\r\nu2 1 2 \u0250 y z s1\r\n".encode(encoding))
    items = read_items(path)
    assert items.lines == [2, 3]
    assert items.rows[1] == Item("u2", Decimal(1), Decimal(2), "\u0250", "y", "z", "s1")


def test_decomposed_names_are_the_same(tmp_path):
    items = read_items(written(tmp_path, GOOD.replace("u1", "cafe\u0301")))
    assert items.rows[0].file == "caf\u00e9"
    items.check({"caf\u00e9": 1.0}, "the test")


def test_what_the_utterances_must_be(tmp_path):
    items = read_items(written(tmp_path, GOOD, "u2 0.50 0.90 b x y s1", "u3 0 1 b x y s1"))
    items.check({"u1": 0.25, "u2": 0.90, "u3": 5}, "the folder")
    with pytest.raises(
        AbxError, match=r"line 3: found the file 'u2', which the folder lacks \(as it does 1 of 3 files"
    ):
        items.check({"u1": 0.25, "u3": 1}, "the folder")
    with pytest.raises(
        AbxError, match=r"line 3: found an item from 0.50 to 0.90 s, but u2 is only 0.88 s long; correct"
    ):
        items.check({"u1": 0.25, "u2": 0.88, "u3": 5}, "the folder")


PHONES = [
    (0.0, 0.1, "sil"),
    (0.1, 0.2, "a"),
    (0.2, 0.30009, "b"),
    (0.30009, 0.4, "c"),
    (0.4, 0.5, "d"),
    (0.5, 0.6, "e"),
]


def test_triphones_leave_out_edges_and_pauses():
    found = list(phone_items("u", "s", PHONES))
    assert [item.previous + item.phone + item.following for item in found] == ["abc", "bcd", "cde"]
    assert found[0] == Item("u", Decimal("0.1"), Decimal("0.4"), "b", "a", "c", "s")
    pause = [*PHONES[:3], (0.30009, 0.4, "sil"), *PHONES[4:]]
    assert list(phone_items("u", "s", pause)) == []
    assert len(list(phone_items("u", "s", pause, silences=frozenset()))) == 4


def test_phones_alone_and_gaps():
    found = list(phone_items("u", "s", PHONES, span="phone"))
    assert found[0][1:3] == (Decimal("0.2"), Decimal("0.3000"))
    gap = [*PHONES[:3], (0.31, 0.4, "c"), *PHONES[4:]]
    assert ["".join(item[3:6]) for item in phone_items("u", "s", gap)] == ["dce"]
    assert list(phone_items("u", "s", PHONES[:2])) == []
