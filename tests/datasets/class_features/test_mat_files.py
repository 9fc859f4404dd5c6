"""Published MATLAB files and pickled labels: made here in their layout, read, damaged, hostile."""

import os
import pickle
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from common.safe_load import BrokenPickleError, UnsafePickleError
from datasets.class_features.dataset import ClassFeaturesError
from datasets.class_features.label_files import read_labels
from datasets.class_features.mat_files import proposed_splits, published_birds, read_arrays

TEXT = np.arange(30.0).reshape(5, 6)


def python2_pickle(values):
    """An array as Python 2 and NumPy pickled it: bytes as text, NumPy's old module names."""
    values = np.asarray(values, "<i8")
    content = values.tobytes()
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01"
        + b"M" + struct.pack("<H", len(values)) + b"\x85"
        + b"cnumpy\ndtype\nq\x04U\x02i8K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + struct.pack("<i", len(content)) + content + b"tb."
    )  # fmt: skip


def write_birds(folder, ending="", split_name="train_test_split", train_features="pfc_feat_train"):
    rng = np.random.default_rng(0)
    split = "hard" if ending else "easy"
    scipy.io.savemat(folder / "CUB_Porter_7551D_TFIDF_new.mat", {"PredicateMatrix": TEXT})
    scipy.io.savemat(folder / f"{split_name}_{split}.mat", {"train_cid": [[4, 1, 3]], "test_cid": [[5], [2]]})
    made = {}
    for name, classes in (("train", [0, 2, 1, 1]), ("test", [1, 0, 1])):
        made[name] = rng.normal(size=(len(classes), 7))
        file = train_features.replace("train", name) + ending
        scipy.io.savemat(folder / f"{file}.mat", {"pfc_feat": made[name]}, do_compression=True)
        (folder / f"labels_{name}{ending}.pkl").write_bytes(python2_pickle(classes))
    return made


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("easy", {}),
        ("hard", {"ending": "_hard"}),
        ("easy", {"split_name": "train_test_split_NABird", "train_features": "pfc_feat_train_easy"}),
        ("hard", {"split_name": "train_test_split_NABird", "ending": "_hard"}),
    ],
)
def test_published_birds(tmp_path, split, names):
    made = write_birds(tmp_path, **names)
    found = published_birds(tmp_path, split)
    assert found.names == ["class 4", "class 1", "class 3", "class 5", "class 2"]
    assert np.array_equal(found.documents, TEXT[[3, 0, 2, 4, 1]])
    assert (found.seen_count, found.validation, found.words) == (3, None, [])
    assert found.train.features == pytest.approx(made["train"], rel=1e-6)
    assert found.train.classes.tolist() == [0, 2, 1, 1]
    assert found.test.classes.tolist() == [3, 4]
    assert found.test.unseen.classes.tolist() == [4, 3, 4]
    assert found.test.unseen.features == pytest.approx(made["test"], rel=1e-6)
    assert found.test.seen is None


def gbu(features=None, **changes):
    places = {"trainval_loc": [[1], [2], [5], [6]], "test_seen_loc": [[3]], "test_unseen_loc": [[4]]}
    labels = [[2], [4], [4], [3], [2], [4]]
    features = np.arange(12.0).reshape(2, 6) if features is None else features
    return {"features": features, "labels": labels}, {"att": np.arange(8.0).reshape(2, 4)} | places | changes


def write_gbu(folder, **changes):
    for name, content in zip(("res101", "att_splits"), gbu(**changes), strict=True):
        scipy.io.savemat(folder / f"{name}.mat", content)


def test_proposed_splits(tmp_path):
    write_gbu(tmp_path)
    found = proposed_splits(tmp_path)
    assert found.names == ["class 2", "class 4", "class 3"]
    assert found.documents.tolist() == [[1, 5], [3, 7], [2, 6]]
    assert found.train.features.tolist() == [[0, 6], [1, 7], [4, 10], [5, 11]]
    assert found.train.classes.tolist() == [0, 1, 0, 1]
    assert found.test.seen.classes.tolist() == [1]
    assert found.test.unseen.features.tolist() == [[3, 9]]
    assert found.test.unseen.classes.tolist() == found.test.classes.tolist() == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainval_loc": [[1], [7]]}, "att_splits.mat: trainval_loc are no whole numbers from 1 to 6"),
        ({"trainval_loc": [[1], [2], [1]]}, "trainval_loc hold a number twice"),
        ({"trainval_loc": [[1.5]]}, "are no whole numbers"),
        ({"trainval_loc": [[1], [2], [4]]}, "classes of test images are not as their names say"),
        ({"test_seen_loc": [[4]]}, "classes of test images are not as their names say"),
        ({"att": np.ones((2, 3))}, "labels are no whole numbers from 1 to 3"),
        ({"features": np.ones((2, 5))}, "has 5 features and 6 labels"),
    ],
)
def test_proposed_splits_that_do_not_fit(tmp_path, changes, message):
    write_gbu(tmp_path, **changes)
    with pytest.raises(ClassFeaturesError, match=message):
        proposed_splits(tmp_path)


def test_a_sparse_matrix_is_read_as_a_full_one(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"PredicateMatrix": scipy.sparse.csc_matrix(TEXT)})
    (found,) = read_arrays(tmp_path / "a.mat", ["PredicateMatrix"])
    assert np.array_equal(found, TEXT)


def test_files_that_are_missing(tmp_path):
    with pytest.raises(ClassFeaturesError, match=r"holds no \*_TFIDF_new.mat; expected EthanZhu90/ZSL_GAN's data"):
        published_birds(tmp_path)
    write_birds(tmp_path)
    with pytest.raises(ClassFeaturesError, match=r"holds no train_test_split\*_hard.mat"):
        published_birds(tmp_path, "hard")
    (tmp_path / "pfc_feat_test.mat").unlink()
    with pytest.raises(ClassFeaturesError, match=r"holds no pfc_feat_test_easy.mat or pfc_feat_test.mat"):
        published_birds(tmp_path)
    with pytest.raises(
        ClassFeaturesError, match=r"There is no file .*res101.mat: expected a MATLAB file with features"
    ):
        proposed_splits(tmp_path)
    scipy.io.savemat(tmp_path / "NAB_Porter_13217D_TFIDF_new.mat", {"PredicateMatrix": TEXT})
    with pytest.raises(ClassFeaturesError, match=r"holds 2 files \*_TFIDF_new.mat, expected one"):
        published_birds(tmp_path)


def test_an_array_that_is_missing_or_no_numbers(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"text": "words", "cell": np.array([[1], "x"], dtype=object), "struct": {"a": 1}})
    with pytest.raises(ClassFeaturesError, match=r"a.mat has no PredicateMatrix; it holds text, cell, struct"):
        read_arrays(path, ["PredicateMatrix"])
    for name in ("text", "cell", "struct"):
        with pytest.raises(ClassFeaturesError, match=f"a.mat: {name} is of the kind .*, expected an array of numbers"):
            read_arrays(path, [name])


def test_version_73(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["features"] = TEXT
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(
        ClassFeaturesError, match=r"is of MATLAB's version 7\.3, expected an older one: save it with -v7"
    ):
        read_arrays(tmp_path / "a.mat", ["features"])


def test_damaged_mat_files(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"PredicateMatrix": TEXT}, do_compression=True)
    content = path.read_bytes()
    for damaged in (b"", b"MATLAB", content[:140], content[:-20], content[:150] + b"\xff" * 9 + content[159:]):
        path.write_bytes(damaged)
        with pytest.raises(ClassFeaturesError, match=r"a.mat .*(is no complete MATLAB file|has no PredicateMatrix)"):
            read_arrays(path, ["PredicateMatrix"])


def test_an_array_that_claims_too_much(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"PredicateMatrix": TEXT})
    content = bytearray(path.read_bytes())
    shape = content.index(struct.pack("<ii", *TEXT.shape))
    content[shape : shape + 8] = struct.pack("<ii", 2**30, 2**30)
    path.write_bytes(content)
    with pytest.raises(ClassFeaturesError, match=r"PredicateMatrix has shape \(1073741824, 1073741824\), more than"):
        read_arrays(path, ["PredicateMatrix"])


@pytest.mark.parametrize("order", "<>")
def test_a_packed_array_that_unpacks_to_more_than_its_shape(tmp_path, order):
    """A 2 x 2 double whose data are 2 MB, or the same without a word of it in the tags."""
    mark = b"MI"[:: -1 if order == "<" else 1]
    for size in (32, 1 << 21):
        body = struct.pack(f"{order}4I", 6, 8, 6, 0) + struct.pack(f"{order}4I", 5, 8, 2, 2)
        body += struct.pack(f"{order}2I", 1, 15) + b"PredicateMatrix\0"
        body += struct.pack(f"{order}2I", 9, size) + np.arange(4, dtype=f"{order}f8").tobytes().ljust(size, b"\0")
        packed = zlib.compress(struct.pack(f"{order}2I", 14, len(body)) + body)
        head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x100) + mark
        (tmp_path / "a.mat").write_bytes(head + struct.pack(f"{order}2I", 15, len(packed)) + packed)
        if size == 32:
            assert read_arrays(tmp_path / "a.mat", ["PredicateMatrix"])[0].tolist() == [[0, 2], [1, 3]]
            continue
        with pytest.raises(
            ClassFeaturesError, match=r"PredicateMatrix of shape \(2, 2\) unpacks to more than 127 bytes"
        ):
            read_arrays(tmp_path / "a.mat", ["PredicateMatrix"])


def test_packed_arrays_of_every_kind_of_number(tmp_path):
    path = tmp_path / "a.mat"
    many = np.random.default_rng(0).normal(size=(300, 200))
    sparse = scipy.sparse.random(400, 300, 0.3, random_state=0)
    kinds = {"x": many, "y": many.astype(np.float32), "z": (9 * many).astype(np.int16), "longer_than_four": sparse}
    scipy.io.savemat(path, kinds, do_compression=True)
    for found, made in zip(read_arrays(path, list(kinds)), kinds.values(), strict=True):
        assert np.array_equal(found, made.toarray() if scipy.sparse.issparse(made) else made)


@pytest.mark.parametrize("protocol", range(2, 5))
@pytest.mark.parametrize("kind", ["u1", "<i4", ">i8"])
def test_labels_of_any_integer_kind(tmp_path, protocol, kind):
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps(np.array([[3], [0], [200]], kind), protocol=protocol))
    assert read_labels(path).tolist() == [3, 0, 200]


def test_labels_in_a_list(tmp_path):
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps([3, 0, 2]))
    assert read_labels(path).dtype == np.int64
    path.write_bytes(python2_pickle([5, 1]))
    assert read_labels(path).tolist() == [5, 1]


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: np.array([value, 1], dtype=object)])
def test_labels_that_would_run_code(tmp_path, wrap):
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps(wrap(Touch(tmp_path / "made")), protocol=2))
    with pytest.raises(UnsafePickleError, match=r"labels.pkl wants to load (posix|nt).mkdir; only arrays and lists"):
        read_labels(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("value", ["text", [1, "x"], [2**70], np.array([0.5]), np.array([[1], "x"], dtype=object), {}])
def test_other_values_are_no_labels(tmp_path, value):
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises((BrokenPickleError, UnsafePickleError), match=r"labels\.pkl"):
        read_labels(path)


def test_damaged_labels(tmp_path):
    path = tmp_path / "labels.pkl"
    with pytest.raises(BrokenPickleError, match="There is no file"):
        read_labels(path)
    whole = python2_pickle(range(20))
    for length in range(0, len(whole) - 1, 3):
        path.write_bytes(whole[:length])
        with pytest.raises(BrokenPickleError, match=r"labels.pkl \(\d+ bytes\) does not hold a list or an array"):
            read_labels(path)
    path.write_bytes(whole.replace(struct.pack("<H", 20), struct.pack("<H", 21)))  # claims more than it holds
    with pytest.raises(BrokenPickleError, match="does not hold"):
        read_labels(path)
