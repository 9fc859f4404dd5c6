"""Words of chat messages, as the public code of GeNeVA's data has them (NLTK's ``word_tokenize``, Penn Treebank).

Sentences end at ``.``, ``?`` or ``!`` before a space; then punctuation stands alone, and contractions are two words:
``don't`` is ``do n't``, ``it's`` is ``it 's``.
"""

import re

SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
RULES = [
    (r'^"', r"`` "),
    (r"(``)", r" \1 "),
    (r'([ (\[{<])("|\'{2})', r"\1 `` "),
    (r"([^.])(\.)([\])}>\"' ]*)\s*$", r"\1 \2 \3 "),
    (r"([:,])([^\d])", r" \1 \2"),
    (r"([:,])$", r" \1 "),
    (r"\.{2,}", r" \g<0> "),
    (r"[;@#$%&]", r" \g<0> "),
    (r"[?!]", r" \g<0> "),
    (r"([^'])' ", r"\1 ' "),
    (r"[*]", r" \g<0> "),
    (r"[\]\[(){}<>]", r" \g<0> "),
    (r"--", r" -- "),
]
ENDINGS = [
    (r"''", " '' "),
    (r'"', " '' "),
    (r"([^' ])('s|'m|'d|') ", r"\1 \2 "),
    (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
    (r"\b(can)(not)\b", r" \1 \2 "),
    (r"\b(d)('ye)\b", r" \1 \2 "),
    (r"\b(gim|lem)(me)\b", r" \1 \2 "),
    (r"\b(gon|wan)(na)\b", r" \1 \2 "),
    (r"\b(got)(ta)\b", r" \1 \2 "),
    (r"\b(more)('n)\b", r" \1 \2 "),
    (r" ('t)(is|was)\b", r" \1 \2 "),
]


def words_of(text: str) -> list[str]:
    """Return the words and marks of a text."""
    found: list[str] = []
    for sentence in SENTENCE_END.split(text.strip()):
        for pattern, replacement in RULES:
            sentence = re.sub(pattern, replacement, sentence)
        sentence = f" {sentence} "
        for pattern, replacement in ENDINGS:
            sentence = re.sub(pattern, replacement, sentence, flags=re.IGNORECASE)
        found += sentence.split()
    return found
