"""A retrieval as files: one row per query and direction, and the metrics."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.files import write_whole, written_whole
from evaluation.numbers import rounded
from evaluation.retrieval.recall import Retrieval, recall_metrics


def csv_text(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Return rows as CSV below a header, with plain line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def query_rows(
    retrieval: Retrieval, image_names: Sequence[str] | None = None, speech_names: Sequence[str] | None = None
) -> list[dict[str, object]]:
    """Return one row per query and direction, for tables and reports; names are indices where they are None.

    A row has ``direction``, ``query``, ``query_name``, ``rank`` (1 is best), ``match``, ``match_name``,
    ``match_score``, ``wrong``, ``wrong_name`` and ``wrong_score`` (the last three None where there is none).
    """
    rows: list[dict[str, object]] = []
    for title, direction_ranks, queries, answers in (
        ("image_to_speech", retrieval.speech, image_names, speech_names),
        ("speech_to_image", retrieval.image, speech_names, image_names),
    ):
        columns = zip(
            direction_ranks.rank.tolist(),
            direction_ranks.match.tolist(),
            direction_ranks.match_score.tolist(),
            direction_ranks.wrong.tolist(),
            direction_ranks.wrong_score.tolist(),
            strict=True,
        )
        for query, (rank, match, match_score, wrong, wrong_score) in enumerate(columns):
            lost = wrong < 0 or math.isnan(wrong_score)
            rows.append(
                {
                    "direction": title,
                    "query": query,
                    "query_name": _name(queries, query),
                    "rank": rank + 1,
                    "match": match,
                    "match_name": _name(answers, match),
                    "match_score": match_score,
                    "wrong": None if lost else wrong,
                    "wrong_name": None if lost else _name(answers, wrong),
                    "wrong_score": None if lost else wrong_score,
                }
            )
    return rows


def _name(names: Sequence[str] | None, index: int) -> str:
    return str(index) if names is None else str(names[index])


def write_retrieval(
    folder: Path,
    retrieval: Retrieval,
    image_names: Sequence[str] | None = None,
    speech_names: Sequence[str] | None = None,
) -> dict[str, float]:
    """Write ``retrieval.json`` (rounded metrics), ``queries.csv`` and ``queries.json`` (rows per query and direction).

    Names are indices where they are None. Returns the metrics, see :func:`recall_metrics`.
    """
    metrics, rows = recall_metrics(retrieval), query_rows(retrieval, image_names, speech_names)
    with written_whole(folder / "queries.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_whole(folder / "queries.json", (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    shown = {name: rounded(value) for name, value in metrics.items()}
    write_whole(folder / "retrieval.json", (json.dumps(shown, indent=2) + "\n").encode())
    return metrics
