"""Lists of concepts of schwettmann/visual-vocab: words, the most frequent first."""

import csv
import io
from pathlib import Path

from common.text_files import TextError, read_text
from published.visual_vocab.data_sets import VocabularyError

HEADS = (
    ["d_id", "annotation"],
    ["index", "d_id", "annotation"],
)  # the second is lake's, whose rows have two fields too


def read_concepts(path: Path) -> list[str]:
    """Read the words of a ``conceptlist_*.txt``, whose rows are a number and a word.

    Raises VocabularyError where the file is missing, has other columns, or is no UTF-8.
    """
    if not path.is_file():
        raise VocabularyError(f"there is no list of concepts {path}; give the path of an existing one")
    try:
        head, *rows = list(csv.reader(io.StringIO(read_text(path)))) or [[]]
    except (TextError, csv.Error) as error:
        raise VocabularyError(f"{path} is no CSV in UTF-8: {error}") from error
    if head not in HEADS:
        raise VocabularyError(f"{path} has the columns {', '.join(head) or 'none'}; expected d_id, annotation")
    for number, row in enumerate(rows, start=2):
        if len(row) != 2 or not row[1].strip():
            raise VocabularyError(f"{path} line {number}: found {row}, expected a number and a word")
    return [row[1].strip() for row in rows]
