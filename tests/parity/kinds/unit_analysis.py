"""Codes against time-aligned words; inputs and results are in the JSON, the npz repeats three numbers."""

from typing import Any

import numpy as np

from datasets.spoken_captions.records import Word, parse_alignment
from evaluation.word_detection.detect import DetectionRules, Detector, WordDetection, detect_words
from evaluation.word_detection.segments import code_runs, frames_between
from tests.parity.case import Case
from tests.parity.kinds import Groups

MIN_OCC = "min_occ_"


def groups(case: Case) -> Groups:
    """The whole analysis at once."""
    hyper, expected = case.hyper, case.spec["results"]
    utterances = case.spec["data"]["utterances"]
    codes = [np.array(one["codes"]) for one in utterances]
    alignments = [words_of(one.get("text_alignment")) for one in utterances]

    def analysis() -> dict[str, Any]:
        found = detect_words(codes, alignments, hyper["spf"], detecting(hyper), checked=False)
        made = numbers(found) | {
            "words": {str(row): words and [[*word] for word in words] for row, words in enumerate(alignments)},
            **tables(found),
            "high_prec_words": found.high_precision_words(),
            "top10_avg_f1_percent": 100 * found.mean_f1(10),
            "count_high_f1_words_at": {
                text: found.words_above(float(text)) for text in expected.get("count_high_f1_words_at", ())
            },
            "sparse_alignments_of_first_three": [
                [list(run) for run in code_runs(one, hyper["spf"])] for one in codes[:3]
            ],
            "segments": [segment(codes, hyper["spf"], asked) for asked in expected.get("segments", ())],
        }
        for key in expected:
            if key.startswith(MIN_OCC):
                fewer = WordDetection(found.counts, detecting(hyper, int(key.removeprefix(MIN_OCC))))
                made[key] = {"n_words_with_codes": len(fewer.best)} | numbers(fewer)
        scalars = {name: np.asarray(made[name]) for name in made.keys() & set(case.arrays)}
        return scalars | {"results": {key: made[key] for key in expected.keys() & made.keys()}}

    return {"analysis": analysis}


def detecting(hyper: dict[str, Any], min_occ: int | None = None) -> DetectionRules:
    """The case's settings, with another ``min_occ`` where one is given."""
    return DetectionRules(
        published=True,
        halfwidth=hyper["code_halfwidth"],
        min_occ=hyper["min_occ"] if min_occ is None else min_occ,
        thresholds=(hyper["f1_threshold"],),
        top=hyper["topk"],
        high_precision=hyper["high_prec_threshold"],
        stop_words=tuple(hyper["stop_words"]),
    )


def numbers(found: WordDetection) -> dict[str, Any]:
    """The two numbers that the published analysis ends with."""
    above = found.words_above(found.rules.thresholds[0])
    return {"count_high_f1_words": above, "topk_avg_f1_percent": 100 * found.mean_f1(found.rules.top)}


def words_of(text: str | None) -> list[Word] | None:
    """The words of an alignment as published: tokens of another form are left out, and nothing is None."""
    tokens = [token for token in (text or "").split() if token.count("__") == 2]
    return parse_alignment(" ".join(tokens)) or None


def segment(codes: list[np.ndarray], seconds: float, asked: dict[str, Any]) -> dict[str, Any]:
    """The codes of a stretch of time of an utterance."""
    own = codes[asked["utt"]]
    first, last = frames_between(asked["start"], asked["end"], seconds, len(own))
    return {name: asked[name] for name in ("utt", "start", "end")} | {"codes": own[first:last].tolist()}


def tables(found: WordDetection) -> dict[str, Any]:
    """Precision, recall and F1 of every pair that the published tables list, in the case's order."""
    counts = found.counts
    rows = [found.detector(pair) for pair in range(len(counts.code))]
    heard = [row for row, known in zip(rows, found.reported, strict=True) if known]
    hearing = dict(zip(((row.code, row.word) for row in rows), counts.overlapping.tolist(), strict=True))
    held = [row for row in rows if row.count > 0]
    enough = found.rules.min_occ
    codes = [str(code) for code in np.flatnonzero(counts.frames)]
    words = [word for word, spoken in zip(counts.words, counts.spoken, strict=True) if spoken]

    def listed(rows: list[Detector], keys: list[str], by: str, entry: Any) -> dict[str, list[list[Any]]]:
        """Entries [other, ..., count] of each code or word, the highest number first, then by the other."""
        table: dict[str, list[list[Any]]] = {key: [] for key in keys}
        for row in rows:
            table[str(getattr(row, by))].append(entry(row))
        return table

    def count_first(table: dict[str, list[list[Any]]], place: int) -> dict[str, list[list[Any]]]:
        return {key: sorted(entries, key=lambda entry: (-entry[place], entry[0])) for key, entries in table.items()}

    def measured(other: str) -> Any:
        return lambda row: [getattr(row, other), row.f1, row.precision, row.recall, row.count]

    return {
        "code_to_wordprec": count_first(
            listed(heard, codes, "code", lambda row: [row.word, row.precision, hearing[row.code, row.word]]), -1
        ),
        "word_to_coderecall": count_first(
            listed(held, words, "word", lambda row: [row.code, row.recall, row.count]), -1
        ),
        "code_to_wordf1": count_first(
            listed([row for row in heard if row.count >= enough], codes, "code", measured("word")), 1
        ),
        "word_to_codef1": count_first(
            listed([row for row in held if row.count >= enough], words, "word", measured("code")), 1
        ),
    }
