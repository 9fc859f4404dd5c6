"""Text files in every Unicode encoding, and one sentence about those in no known one."""

import codecs
import gzip

import pytest

from common.text_files import TextError, decode_text, parse_json, read_text, without_surrogates

TEXT = "name: caf\u00e9 \U0001f600\n\u4e2d\u6587 word\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
        TEXT.replace("\n", "\r\n").encode("utf-16"),
        TEXT.replace("\n", "\r").encode("utf-8-sig"),
    ],
)
def test_unicode_is_read(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_text(tmp_path / "a.txt") == TEXT


def test_nothing_is_text():
    assert decode_text(b"", "a.txt") == ""
    assert decode_text(codecs.BOM_UTF8, "a.txt") == ""
    assert decode_text(b"a", "a.txt") == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\ncaf\u00e9".encode("latin-1"), r"a\.txt is no text .* line 2 .* 0xe9 after 'caf', which is '\u00e9' in"),
        ("\u20ac 3".encode("cp1252"), r"0x80 after '', which is '\u20ac' in Latin-1.*iconv -f LATIN1 -t UTF-8"),
        ("\u65e5\u672c".encode("shift-jis"), r"a\.txt is no text in UTF-8: line 1 holds the byte 0x93"),
        (b"\xed\xa0\x80", "is no text in UTF-8"),  # half a character
        (codecs.BOM_UTF16_LE + b"a\0\0", r"a\.txt begins as UTF-16-LE and is broken \(truncated data\); save it"),
        (b"RIFF\0\0\0\1fmt \0\0\0\0data", r"a\.txt is no text: line 1 holds a zero byte"),
        (b"one\ntwo\nzero \0 byte\n", r"a\.txt is no text: line 3 holds a zero byte; give the text file, in UTF-8"),
    ],
)  # fmt: skip
def test_what_nobody_can_know_is_refused(content, message):
    with pytest.raises(TextError, match=message):
        decode_text(content, "a.txt")


def test_halves_of_characters_are_replaced():
    assert without_surrogates("plain") == "plain"
    assert without_surrogates("caf\u00e9 \U0001f600") == "caf\u00e9 \U0001f600"
    assert without_surrogates("a\ud83d b\udce9") == "a\ufffd b\ufffd"


def test_what_is_no_text_file_at_all(tmp_path):
    (tmp_path / "a.txt").write_bytes(gzip.compress(b"words"))
    with pytest.raises(TextError, match=r"a\.txt is compressed \(gzip\), expected plain text; unpack it first"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(TextError, match=r"the name '.*a\\x00\.txt' holds a NUL character"):
        read_text(tmp_path / "a\0.txt")


def test_a_key_of_json_twice_is_refused():
    with pytest.raises(TextError, match=r"no whole JSON \(the key 'a' stands twice in .*\): make it again"):
        parse_json('{"b": {"a": 1, "a": 2}}', "card.json", "make it again")
