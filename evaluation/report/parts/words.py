"""The section of a report on the words that the codes of a layer detect."""

from collections.abc import Sequence
from html import escape

from evaluation.word_detection.detect import Detector, WordDetection
from evaluation.word_detection.tables import code_rows, word_rows

HEADS = ("word", "code", "F1", "precision", "recall", "count")


def words_section(
    found: WordDetection, layer: str, most: int = 40, nearest: int = 5, chance: WordDetection | None = None
) -> tuple[str, str]:
    """Return heading and HTML of the best words with their codes, and of the codes with their nearest words.

    ``layer`` is whose codes they are, ``most`` the words, and codes, that are shown, ``nearest`` the words of each code
    at most, and ``chance`` the same measured with codes of other utterances, reported beside it.
    """
    words = [one for _, one in word_rows(found)]
    html = f'<p class="lead">{escape(_summary(found) + _by_chance(chance))}</p>'
    html += _table(("", *HEADS), [(str(rank), *_cells(one)) for rank, one in enumerate(words[:most], 1)])
    html += _left_out(len(words), most, "words", f"words_{layer}.csv")
    codes: dict[int, list[Detector]] = {}
    for _, one in code_rows(found, nearest):
        codes.setdefault(one.code, []).append(one)
    rows = [(str(code), ", ".join(_message(one) for one in group)) for code, group in list(codes.items())[:most]]
    html += f"<details><summary>{len(codes)} codes and their nearest words</summary>"
    html += _table(("code", "nearest words, with F1"), rows)
    html += _left_out(len(codes), most, "codes", f"codes_{layer}.csv") + "</details>"
    return f"Words that codes of {layer} detect", html


def _summary(found: WordDetection) -> str:
    """Return the numbers in one paragraph."""
    metrics, rules = found.metrics(), found.rules
    above = ", ".join(f"{metrics[f'words_f1@{t:g}']:.0f} with an F1 of at least {t:g}" for t in rules.thresholds)
    best = (
        f", that of the best {rules.top} {100 * metrics[f'top{rules.top}_f1']:.1f} %"
        if metrics["words"] > rules.top
        else ""
    )
    return (
        f"{metrics['words']:.0f} words are detected by a code, {above}. The mean F1 is "
        f"{100 * metrics['mean_f1']:.1f} %{best}. "
        f"{metrics['codes']:.0f} codes are used in {metrics['frames']:.0f} frames of "
        f"{metrics['utterances']:.0f} utterances; "
        f"{metrics[f'high_precision_words@{rules.high_precision:g}']:.0f} words are detected with a precision of at "
        f"least {rules.high_precision:g}. Count: how often the word is spoken and holds the code, of how often it "
        "is spoken."
    )


def _by_chance(chance: WordDetection | None) -> str:
    """Return a sentence on the numbers that codes of other utterances reach."""
    if chance is None:
        return ""
    metrics, thresholds = chance.metrics(), chance.rules.thresholds
    above = ", ".join(f"{metrics[f'words_f1@{t:g}']:.0f} words with an F1 of at least {t:g}" for t in thresholds)
    return f" By chance, with the codes of another utterance: {above}, mean F1 {100 * metrics['mean_f1']:.1f} %."


def _cells(one: Detector) -> tuple[str, ...]:
    shares = (f"{100 * share:.1f} %" for share in (one.f1, one.precision, one.recall))
    return (one.word.lower(), str(one.code), *shares, f"{one.count} of {one.spoken}")


def _message(one: Detector) -> str:
    return f"{one.word.lower()} {100 * one.f1:.0f} %"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _left_out(count: int, most: int, what: str, file: str) -> str:
    if count <= most:
        return ""
    return f'<p class="note">The best {most} of {count} {what}; all are in {escape(file)} beside this page.</p>'
