"""Words of annotations: spelling and basic forms by libraries that bring their data."""

import builtins

import pytest

from gan.directions.words import EnglishWords, WordsError, _lemmatizer, _spell_checker


def test_plain_words_need_nothing():
    assert EnglishWords(spelling=False, lemmas=False)("More RED cubes, re-lit!") == ["more", "red", "cubes", "re-lit"]


def test_spelling_and_basic_forms():
    pytest.importorskip("spellchecker", reason="the extra of requirements-language.txt")
    pytest.importorskip("simplemma", reason="the extra of requirements-language.txt")
    words = EnglishWords()
    assert words("mroe trees") == ["more", "tree"]
    assert words("windos") == ["window"]
    assert words("Red cubes") == ["red", "cube"]
    assert EnglishWords(lemmas=False)("mroe trees") == ["more", "trees"]
    assert EnglishWords(keep=["mroe"])("mroe trees") == ["mroe", "tree"]
    assert words("zzzzqqq") == ["zzzzqqq"]  # nothing is near


def test_missing_programs_are_one_sentence(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name in ("spellchecker", "simplemma"):
            raise ImportError(f"no module named {name}", name=name)
        return real(name, *rest)

    _spell_checker.cache_clear()
    _lemmatizer.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WordsError, match=r"by spellchecker, which cannot be imported .* requirements-language\.txt"):
        EnglishWords()
    assert EnglishWords(spelling=False, lemmas=False)("red") == ["red"]
