"""MATLAB files of zero-shot learning: of EthanZhu90/ZSL_GAN (CUB-200-2011, NABirds) and of arXiv:1707.00600 ("GBU").

    *_TFIDF_new.mat                                  PredicateMatrix (C, V): TF-IDF of each class's stemmed article
    train_test_split_easy.mat, ..._hard.mat          train_cid, test_cid: rows of PredicateMatrix, counted from 1
    pfc_feat_train.mat, pfc_feat_test.mat            pfc_feat (n, X): features of the parts of birds
    labels_train.pkl, labels_test.pkl                classes (n,) of the images, from 0 among train_cid or test_cid

Names of the hard split end in ``_hard``; NABirds' features of the easy one in ``_easy``. MATLAB's values are read as
data, nothing of a file is run.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import scipy.io
import scipy.sparse

from common.files import check_size
from datasets.class_features.dataset import ClassFeaturesError, FeatureSet, HeldOut, Labelled
from datasets.class_features.label_files import read_labels

MOST_VALUES = 2**28  # of one array; the features of NABirds have about 90 million
NO_NUMBERS = ("cell", "struct", "object", "char", "function", "opaque", "unknown")
COMPRESSED, SPARSE = 15, 5  # an element's type, an array's class
COMPLEX = 0x800  # flag of an array
PIECE = 1 << 16  # bytes
VERSION_5 = (b"\0\1IM", b"\1\0MI")  # at byte 124, in either order of bytes


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read arrays of numbers from a MATLAB file up to version 7.2, in the order of ``names``.

    A ClassFeaturesError says that the file is missing, damaged, of version 7.3, or lacks one of the names; or that one
    is no array of numbers, too large, or unpacks to more than its shape needs.
    """
    if not path.is_file():
        raise ClassFeaturesError(f"There is no file {path}: expected a MATLAB file with {', '.join(names)} there.")
    check_size(path)
    try:
        listed = scipy.io.whosmat(path)
        shapes, kinds = {name: shape for name, shape, _ in listed}, {name: kind for name, _, kind in listed}
        missing = [name for name in names if name not in shapes]
        if not missing:
            _check_claims(path, names, shapes, kinds)
            content = scipy.io.loadmat(path, variable_names=list(names))
    except ClassFeaturesError:
        raise
    except NotImplementedError as error:
        raise ClassFeaturesError(
            f"{path} is of MATLAB's version 7.3, expected an older one: save it with -v7, or by scipy.io.savemat."
        ) from error
    except Exception as error:  # scipy raises nearly anything on damaged files
        raise ClassFeaturesError(
            f"{path} ({path.stat().st_size} bytes) is no complete MATLAB file: it is damaged or of another format. "
            "Fetch or copy it again."
        ) from error
    if missing:
        raise ClassFeaturesError(f"{path} has no {', '.join(missing)}; it holds {', '.join(shapes) or 'nothing'}.")
    return [_numbers(content[name], f"{path}: {name}") for name in names]


def _check_claims(path: Path, names: Sequence[str], shapes: dict[str, tuple[int, ...]], kinds: dict[str, str]) -> None:
    """Refuse what is no array of numbers, or would take more memory than an array of its shape, before it is read."""
    for name in names:
        if kinds[name] in NO_NUMBERS:
            raise ClassFeaturesError(f"{path}: {name} is of the kind {kinds[name]}, expected an array of numbers.")
        if np.prod(shapes[name], dtype=float) > MOST_VALUES:
            raise ClassFeaturesError(f"{path}: {name} has shape {shapes[name]}, more than {MOST_VALUES} numbers.")
    with path.open("rb") as file:
        head = file.read(128)
        if head[124:] not in VERSION_5:  # version 4, which packs nothing
            return
        order = "<" if head[126:] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            end = file.tell() + size
            if kind == COMPRESSED:
                _check_packed(path, _unpacked(file, size), order, names)
            file.seek(end)


def _unpacked(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the content of an element of ``size`` packed bytes, in pieces."""
    unpacker, rest = zlib.decompressobj(), size
    while rest > 0 and not unpacker.eof and (packed := file.read(min(PIECE, rest))):
        rest -= len(packed)
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, PIECE)
            packed = unpacker.unconsumed_tail


def _check_packed(path: Path, pieces: Iterator[bytes], order: str, names: Sequence[str]) -> None:
    """Refuse a packed array, one of ``names``, that unpacks to more than its own shape needs.

    It begins with tag, flags, dimensions and name, the last two with tags (type and bytes; short ones in one word).
    """
    head = next(pieces, b"").ljust(40, b"\0")
    flags, most = struct.unpack_from(f"{order}II", head, 16)
    length = struct.unpack_from(f"{order}I", head, 28)[0]
    shape = struct.unpack_from(f"{order}{length // 4}i", head, 32)
    at = 32 + -(-length // 8) * 8
    word, length = struct.unpack_from(f"{order}II", head, at)
    start, length = (at + 4, word >> 16) if word >> 16 else (at + 8, length)
    name = head[start : start + length].decode("latin-1")
    if name not in names:
        return
    values, sparse = math.prod(shape), flags & 0xFF == SPARSE
    needed = 12 * min(most, MOST_VALUES) + 4 * shape[-1] + 64 if sparse else 8 * values + 32
    needed += start + length + (8 * (most if sparse else values) + 16 if flags & COMPLEX else 0)
    found = len(head)
    for piece in pieces:
        found += len(piece)
        if found > max(needed, 2 * PIECE):
            raise ClassFeaturesError(
                f"{path}: {name} of shape {shape} unpacks to more than {needed} bytes, expected fewer: it is damaged, "
                "or made to fill memory. Fetch or copy it again."
            )


def _numbers(value: np.ndarray, name: str) -> np.ndarray:
    if scipy.sparse.issparse(value):
        value = value.toarray()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        kind = getattr(value, "dtype", type(value).__name__)
        raise ClassFeaturesError(f"{name} is of the kind {kind}, expected an array of numbers.")
    return value


def published_birds(folder: Path, split: Literal["easy", "hard"] = "easy") -> FeatureSet:
    """Read the files of EthanZhu90/ZSL_GAN for CUB-200-2011 or NABirds.

    There is no validation split: the public code chooses its best step on the test classes. The seen-unseen curve takes
    the training images for its seen classes, as there.

    Args:
        folder: with the files that the head of this file lists.
        split: ``easy`` (SCS: unseen classes have relatives among the seen ones) or ``hard`` (SCE).

    Raises:
        ClassFeaturesError: a file is missing, damaged, or does not fit the others.
        UserError: a pickle is unsafe or damaged.
    """
    (text,) = read_arrays(_one(folder, ["*_TFIDF_new.mat"]), ["PredicateMatrix"])
    cids = read_arrays(_one(folder, [f"train_test_split*_{split}.mat"]), ["train_cid", "test_cid"])
    rows = [_positions(cid, len(text), f"{folder}: {name}") for cid, name in zip(cids, ("train", "test"), strict=True)]
    ending = "_hard" if split == "hard" else ""
    parts, count = [], len(rows[0])
    for name, first in (("train", 0), ("test", count)):
        candidates = [f"pfc_feat_{name}_{split}.mat", *([] if ending else [f"pfc_feat_{name}.mat"])]
        (features,) = read_arrays(_one(folder, candidates), ["pfc_feat"])
        labels = read_labels(folder / f"labels_{name}{ending}.pkl")
        parts.append(Labelled(features.astype(np.float32), labels + first))
    train, test = parts
    return FeatureSet(
        source=f"{folder} ({split})",
        names=[f"class {row + 1}" for row in np.concatenate(rows)],
        documents=text[np.concatenate(rows)].astype(np.float32),
        seen_count=count,
        train=train,
        test=HeldOut(np.arange(count, count + len(rows[1])), test, None),
    )


def proposed_splits(folder: Path) -> FeatureSet:
    """Read ``res101.mat`` and ``att_splits.mat`` of "Zero-Shot Learning - The Good, the Bad and the Ugly" (GBU).

    Documents are attributes there, of AwA, CUB, aPY, SUN or FLO. Training takes ``trainval_loc``, as the public code
    does, so that there is no validation split.

    Args:
        folder: of one of the data sets.

    Raises:
        ClassFeaturesError: a file is missing, damaged, or does not fit the other.
    """
    features, labels = read_arrays(folder / "res101.mat", ["features", "labels"])
    names = ["att", "trainval_loc", "test_seen_loc", "test_unseen_loc"]
    attributes, *positions = read_arrays(folder / "att_splits.mat", names)
    features, labels, attributes = features.T.astype(np.float32), labels.reshape(-1) - 1, attributes.T
    if len(labels) != len(features):
        raise ClassFeaturesError(f"{folder}/res101.mat has {len(features)} features and {len(labels)} labels.")
    _positions(labels + 1, len(attributes), f"{folder}/res101.mat: labels", several=True)
    train, seen, unseen = (
        _positions(rows, len(features), f"{folder}/att_splits.mat: {name}")
        for rows, name in zip(positions, names[1:], strict=True)
    )
    known, novel = np.unique(labels[train]).astype(np.int64), np.unique(labels[unseen]).astype(np.int64)
    if np.intersect1d(known, novel).size or not np.isin(labels[seen], known).all():
        raise ClassFeaturesError(f"{folder}/att_splits.mat: classes of test images are not as their names say.")
    rows = np.concatenate([known, novel])
    position = np.full(len(attributes), -1)
    position[rows] = np.arange(len(rows))
    parts = [Labelled(features[part], position[labels[part].astype(np.int64)]) for part in (train, seen, unseen)]
    return FeatureSet(
        source=str(folder),
        names=[f"class {row + 1}" for row in rows],
        documents=attributes[rows].astype(np.float32),
        seen_count=len(known),
        train=parts[0],
        test=HeldOut(np.arange(len(known), len(rows)), parts[2], parts[1]),
    )


def _positions(values: np.ndarray, count: int, name: str, several: bool = False) -> np.ndarray:
    """Turn MATLAB's positions, counted from 1, into positions from 0; each once unless ``several``."""
    flat = values.reshape(-1)
    found = flat.astype(np.int64)
    if not len(found) or (found != flat).any() or found.min() < 1 or found.max() > count:
        raise ClassFeaturesError(f"{name} are no whole numbers from 1 to {count}.")
    if not several and len(np.unique(found)) != len(found):
        raise ClassFeaturesError(f"{name} hold a number twice.")
    return found - 1


def _one(folder: Path, patterns: Sequence[str]) -> Path:
    """Return the one file of these names in a folder, the first pattern that has one."""
    for pattern in patterns:
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            raise ClassFeaturesError(f"{folder} holds {len(files)} files {pattern}, expected one.")
        if files:
            return files[0]
    raise ClassFeaturesError(f"{folder} holds no {' or '.join(patterns)}; expected EthanZhu90/ZSL_GAN's data.")
