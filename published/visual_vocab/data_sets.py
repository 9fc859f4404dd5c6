"""Data sets of directions with their annotations, in the layout of schwettmann/visual-vocab (``datasets.py``).

A folder, or an archive, of ``ds.pth`` (K, D), one direction a row, whose number is the direction's id; ``metadata.csv``
with a column ``d_id``, in which every id must appear; ``annotations.csv`` with the columns ``d_id`` and ``annotation``,
any number of rows an id. A further column ``annotator`` of ours names who wrote it; the public code reads past it.
"""

import csv
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.files import write_whole
from common.safe_load import TorchFileError, read_torch_values
from common.text_files import TextError, is_whole_number, read_text
from gan.latents import latent_dim_of
from published.archives import unpack
from published.writing import write_torch_file

log = logging.getLogger(__name__)
DIRECTIONS, METADATA, ANNOTATIONS = "ds.pth", "metadata.csv", "annotations.csv"


class VocabularyError(UserError, ValueError):
    """A data set of directions that is incomplete, damaged, or does not fit a generator."""


class Direction(NamedTuple):
    """Keep one direction (D,)."""

    id: int
    direction: Tensor


class AnnotatedDirection(NamedTuple):
    """Keep one direction (D,) and what people wrote about it."""

    id: int
    direction: Tensor
    annotations: tuple[str, ...]


class Annotation(NamedTuple):
    """Keep a text and who wrote it, "" where that is not known."""

    text: str
    annotator: str = ""


class DirectionsDataset:
    """Read directions and their metadata from a folder.

    Attributes:
        ds: (K, D) float32.
        metadata: by id, the row of ``metadata.csv``, text by column.

    Args:
        root: the folder.

    Raises:
        VocabularyError: a file is missing or damaged, holds something else, or an id has no metadata.
    """

    def __init__(self, root: Path) -> None:
        self.ds = _read_directions(_there(root, DIRECTIONS))
        path = _there(root, METADATA)
        self.metadata: dict[int, dict[str, str]] = {}
        for d_id, row in _rows(path, ("d_id",)):
            if d_id in self.metadata:
                log.warning("%s has several rows of d_id %d, of which the last counts, as published", path, d_id)
            self.metadata[d_id] = row
        if missing := [d_id for d_id in range(len(self.ds)) if d_id not in self.metadata]:
            raise VocabularyError(
                f"{path} has no row of {len(missing)} of {len(self.ds)} directions, the first with d_id {missing[0]}; "
                "expected one for each row of ds.pth"
            )

    def __len__(self) -> int:
        return len(self.ds)

    def __getitem__(self, index: int) -> Direction:
        """Return the direction of that id; raises IndexError where there is none."""
        return Direction(self._checked(index), self.ds[index])

    @property
    def dim(self) -> int:
        """Return D."""
        return self.ds.shape[1]

    def check_fits(self, generator: nn.Module) -> None:
        """Raise VocabularyError where the generator's latents have another size."""
        dim = latent_dim_of(generator)
        if dim != self.dim:
            raise VocabularyError(
                f"the directions have {self.dim} numbers and the generator's latents {dim}; take the generator they "
                "were found for (the published ones: BigGAN of Places365, 256 pixels, dim_z 120, of which 119 are used)"
            )

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.ds):
            raise IndexError(f"there are directions 0 to {len(self.ds) - 1}, not {index}")
        return index


class AnnotatedDirectionsDataset(DirectionsDataset):
    """Read directions, metadata and annotations from a folder.

    Attributes:
        annotations: by id, texts in the file's order; of an id without any, an empty tuple.
        annotators: by id, who wrote each of them; "" where the file has no such column.

    Args:
        root: the folder.

    Raises:
        VocabularyError: as of :class:`DirectionsDataset`, or there are no annotations at all, or some are of ids that
            have no direction.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        found = read_annotations(_there(root, ANNOTATIONS), len(self.ds))
        self.annotations = {d_id: tuple(one.text for one in found[d_id]) for d_id in range(len(self.ds))}
        self.annotators = {d_id: tuple(one.annotator for one in found[d_id]) for d_id in range(len(self.ds))}

    def __getitem__(self, index: int) -> AnnotatedDirection:
        """Return the direction of that id with its annotations; raises IndexError where there is none."""
        return AnnotatedDirection(self._checked(index), self.ds[index], self.annotations[index])


def read_annotations(path: Path, number: int) -> dict[int, list[Annotation]]:
    """Read a CSV of annotations of directions 0 to ``number`` - 1; return those of each, in the file's order.

    Raises:
        VocabularyError: it is missing or no CSV in UTF-8, has other columns, holds no annotation, or is about others.
    """
    if not path.is_file():
        raise VocabularyError(f"there is no {path}: give a CSV with the columns d_id, annotation")
    found: dict[int, list[Annotation]] = {d_id: [] for d_id in range(number)}
    blank = 0
    for d_id, row in _rows(path, ("d_id", "annotation")):
        if d_id not in found:
            raise VocabularyError(f"{path} annotates d_id {d_id}, but {DIRECTIONS} has 0 to {number - 1}")
        text = row["annotation"].strip()
        blank += not text
        found[d_id] += [Annotation(text, row.get("annotator", "").strip())] if text else []
    if not any(found.values()):
        raise VocabularyError(f"{path} holds no annotation; expected a text in its column 'annotation'")
    if blank:
        log.warning("%s: %d annotations are empty and were left out", path, blank)
    return found


def open_data_set(path: Path) -> AnnotatedDirectionsDataset:
    """Read a data set from a folder, or from a zip or tar file with the three files at its root.

    Raises:
        VocabularyError: as of :class:`AnnotatedDirectionsDataset`, or there is nothing at the path.
        DownloadError: the archive is damaged or would write outside its folder.
    """
    path = Path(path)
    if path.is_dir():
        return AnnotatedDirectionsDataset(path)
    if not path.is_file():
        raise VocabularyError(f"there is no {path}: give a folder with {DIRECTIONS}, or an archive of it")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        unpack(path, folder, outer=0)
        return AnnotatedDirectionsDataset(folder)


def save_data_set(
    root: Path,
    directions: Tensor,
    annotations: Sequence[Sequence[str | Annotation]],
    metadata: Sequence[Mapping[str, str]] | None = None,
) -> None:
    """Write a data set in the published layout, which the public code reads too.

    Args:
        root: the folder, which is made.
        directions: (K, D).
        annotations: K, the texts of each direction, maybe none; with who wrote them there is a column for it.
        metadata: K, further columns of each direction, the same for all; the ids are added.

    Raises:
        VocabularyError: there are not as many annotations or rows as directions.
    """
    rows = [{}] * len(directions) if metadata is None else list(metadata)
    if not len(directions) == len(annotations) == len(rows):
        raise VocabularyError(
            f"found {len(directions)} directions, {len(annotations)} annotations and {len(rows)} rows of metadata; "
            "expected as many of each"
        )
    root.mkdir(parents=True, exist_ok=True)
    write_torch_file(root / DIRECTIONS, directions.float())
    write_whole(
        root / METADATA, _csv([{"d_id": d_id, **row} for d_id, row in enumerate(rows)], ["d_id", *(rows or [{}])[0]])
    )
    write_annotations(root / ANNOTATIONS, annotations)


def write_annotations(path: Path, annotations: Sequence[Sequence[str | Annotation]]) -> None:
    """Write the texts of each direction as a CSV in the published layout, with a third column where there are names."""
    texts = [
        (d_id, one if isinstance(one, Annotation) else Annotation(one))
        for d_id, every in enumerate(annotations)
        for one in every
    ]
    columns = ["d_id", "annotation", *(["annotator"] if any(one.annotator for _, one in texts) else [])]
    rows = [{"d_id": d_id, "annotation": one.text, "annotator": one.annotator} for d_id, one in texts]
    write_whole(path, _csv([{name: row[name] for name in columns} for row in rows], columns))


def _csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _there(root: Path, name: str) -> Path:
    path = Path(root) / name
    if not path.is_file():
        raise VocabularyError(
            f"there is no {path}: a data set of directions has {DIRECTIONS}, {METADATA}, {ANNOTATIONS}"
        )
    return path


def _read_directions(path: Path) -> Tensor:
    try:
        ds = read_torch_values(path)
    except TorchFileError as error:
        raise VocabularyError(str(error)) from error
    if not isinstance(ds, Tensor):
        raise VocabularyError(f"{path} holds a {type(ds).__name__}, expected one tensor (directions, numbers)")
    if ds.dim() != 2 or 0 in ds.shape or not ds.is_floating_point() or not ds.isfinite().all():
        raise VocabularyError(
            f"{path} holds a tensor of shape {tuple(ds.shape)}, {str(ds.dtype).removeprefix('torch.')}; expected "
            "finite numbers (directions, numbers of each)"
        )
    return ds.detach().to(torch.float32)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield id and row of a CSV that has the columns, among them ``d_id``."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        found = reader.fieldnames or []
        if missing := [column for column in columns if column not in found]:
            raise VocabularyError(
                f"{path} has the columns {', '.join(found) or 'none'}; expected {', '.join(missing)} too"
            )
        for row in reader:
            if None in row or None in row.values():
                raise VocabularyError(
                    f"{path} line {reader.line_num}: expected {len(found)} fields, as in its first line"
                )
            if not is_whole_number(row["d_id"].strip()):
                raise VocabularyError(f"{path} line {reader.line_num}: d_id {row['d_id'][:40]!r} is no whole number")
            yield int(row["d_id"]), row
    except (TextError, csv.Error) as error:
        raise VocabularyError(f"{path} is no CSV in UTF-8: {error}") from error
