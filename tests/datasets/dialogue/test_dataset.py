"""Turns and dialogues as samples, with embeddings of the published files; splits that do not fit one another."""

import json
from functools import partial

import h5py
import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.embeddings import EmbeddedTurns, EmbeddingFile, embedding_name, write_embeddings
from datasets.dialogue.records import DialogueFile, in_range
from datasets.dialogue.splits import DialogueData
from datasets.loading.rows import ManifestError, SampleError

CODRAW = ("codraw/codraw_train.h5", "codraw/codraw_train_embeddings_exp78.h5")
ICLEVR = ("iclevr/clevr_train.h5", "iclevr/iclevr_train_embeddings_exp95.h5")
PAIRS = {  # of a dialogue's sample: of a turn's
    "images": "image", "objects": "objects", "added": "added", "locations": "locations", "sentences": "sentence",
    "words": "words",
}  # fmt: skip


@pytest.fixture
def paths(assets):
    return {names: tuple(assets / "formats" / name for name in names) for names in (CODRAW, ICLEVR)}


@pytest.mark.parametrize("names", [CODRAW, ICLEVR])
def test_turns(paths, names):
    path, embeddings = paths[names]
    turns, file = Turns(path, train=True, embeddings=embeddings), DialogueFile(path)
    assert len(turns) == file.lengths.sum()
    last = len(file) - 1
    row = int(file.lengths[:last].sum()) + 1  # the second turn of the last dialogue
    assert turns.place(row) == (last, 1)
    sample, whole = turns[row], file.dialogue(last)
    assert torch.equal(sample["image"], in_range(whole.images)[1])
    assert torch.equal(sample["previous"], in_range(whole.images)[0])
    assert sample["objects"].tolist() == whole.objects[1].tolist()
    assert sample["added"].tolist() == (whole.objects[1] & ~whole.objects[0]).tolist()
    with h5py.File(embeddings) as stored:
        group = stored[file.names[last]]
        assert np.array_equal(sample["sentence"], group["turns_text_embedding"][1])
        count = int(group["turns_text_length"][1])
        assert sample["nwords"] == count
        np.testing.assert_allclose(sample["words"][:count], group["turns_word_embeddings"][1, :count], rtol=1e-6)
    assert turns.text(row) == (file.history(whole.texts[:1]), whole.texts[1])
    first = turns[row - 1]
    assert torch.equal(first["previous"], turns.background)
    assert torch.equal(first["added"], first["objects"])
    assert turns.text(row - 1)[0] == file.history([])


@pytest.mark.parametrize("keep_mb", [0, 1])  # no room, or room for some dialogues
def test_turns_of_kept_dialogues_are_the_same(paths, keep_mb):
    path, embeddings = paths[ICLEVR]
    plain, kept = (Turns(path, True, embeddings, 64, keep_mb=size) for size in (0, keep_mb))
    for row in [*range(len(plain)), 0, 1]:
        one, other = plain[row], kept[row]
        assert one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(value), torch.as_tensor(other[key])) for key, value in one.items())


@pytest.mark.parametrize("names", [CODRAW, ICLEVR])
def test_dialogues_are_padded_to_the_longest(paths, names):
    path, embeddings = paths[names]
    data, turns = Dialogues(path, train=False, embeddings=embeddings), Turns(path, train=False, embeddings=embeddings)
    first = 0
    for row in range(len(data)):
        sample = data[row]
        assert sample["images"].shape == (data.max_turns, 3, 128, 128)
        for turn in range(sample["nturns"]):
            one = turns[first + turn]
            for name, other in PAIRS.items():
                assert torch.equal(sample[name][turn], one[other]), name
            assert sample["nwords"][turn] == one["nwords"]
        assert (sample["nwords"][sample["nturns"] :] == 1).all()
        assert not sample["objects"][sample["nturns"] :].any()
        first += sample["nturns"]


def test_smaller_images(paths):
    turns = Turns(paths[CODRAW][0], train=True, resolution=64)
    full = Turns(paths[CODRAW][0], train=True)
    sample, whole = turns[1]["image"], full[1]["image"]
    assert sample.shape == (3, 64, 64)
    assert turns.background.shape == (3, 64, 64)
    assert (sample - torch.nn.functional.avg_pool2d(whole, 2)).abs().max() <= 0.5 / 128 + 1e-6


def read_lengths(history, text):
    return {"spoken": torch.tensor([len(history.split()), len(text.split())])}


def test_texts_are_read_by_what_is_given(paths):
    path = paths[CODRAW][0]
    turns = Turns(path, train=True, texts=read_lengths)
    expected = [len(part.split()) for part in turns.text(1)]
    assert turns[1]["spoken"].tolist() == expected
    dialogues = Dialogues(path, train=True, texts=read_lengths)
    assert dialogues[0]["spoken"][1].tolist() == expected
    with pytest.raises(UserError, match="has no instructions"):
        Turns(path.with_name("codraw_obj_val.h5"), train=True, texts=read_lengths)


def test_a_damaged_dialogue_is_a_row(paths, tmp_path):
    path = tmp_path / "train.h5"
    path.write_bytes(paths[CODRAW][0].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["1"]["images"]
    for kind, row in ((Turns, int(DialogueFile(path).lengths[0])), (Dialogues, 1)):
        rows = kind(path, train=True)
        rows.split = "train"
        with pytest.raises(SampleError, match=rf"row {row} \(1.*\) of the train split, .*dialogue 1 cannot be read"):
            rows[row]


def test_batches_of_the_data_node(paths):
    path, embeddings = paths[ICLEVR]
    rows = partial(Turns, path, embeddings=embeddings, resolution=32)
    data = DialogueData(rows, rows, batch_size=4)
    batch = next(iter(data.train_loader.batches(0)))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["words"].shape[0] == batch["nwords"].shape[0] == 4
    assert (data.num_objects, data.num_coords, data.text_dim) == (24, 2, 768)
    with pytest.raises(UserError, match="has 58 classes with 3 coordinates and no embeddings, the training split 24"):
        DialogueData(rows, partial(Turns, paths[CODRAW][0]), batch_size=4)
    with pytest.raises(UserError, match="has no embeddings"):
        _ = DialogueData(partial(Turns, path), partial(Turns, path), batch_size=4).text_dim


def test_embeddings_of_other_dialogues(paths):
    with pytest.raises(ManifestError, match=r"dialogues of .*clevr_train.h5 have no embeddings.*of other dialogues"):
        EmbeddingFile(paths[CODRAW][1], DialogueFile(paths[ICLEVR][0]))


def test_embeddings_of_another_encoder(paths, tmp_path):
    path, embeddings = paths[ICLEVR]
    with h5py.File(embeddings) as source, h5py.File(tmp_path / "other.h5", "w") as file:
        for name, group in source.items():
            for key, values in group.items():
                file[f"{name}/{key}"] = values[..., :5] if key != "turns_text_length" else values[()]
    splits = [partial(Turns, path, embeddings=one, resolution=32) for one in (embeddings, tmp_path / "other.h5")]
    with pytest.raises(UserError, match=r"embeddings of 5 numbers, the training split .* embeddings of 768 numbers"):
        DialogueData(*splits, batch_size=4)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("turns_text_embedding", np.zeros((1, 768), np.float32), "turns are missing"),
        ("turns_text_embedding", np.zeros((3, 5), np.float32), "another encoder wrote some"),
        ("turns_text_length", np.zeros((1,), np.int64), "turns are missing"),
    ],
)
def test_embeddings_that_do_not_fit(paths, tmp_path, key, value, message):
    path = tmp_path / "embeddings.h5"
    path.write_bytes(paths[CODRAW][1].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["0"][key]
        file["0"][key] = value
    with pytest.raises(ManifestError, match=rf"dialogue 0 of 3 turns has embeddings .*{message}"):
        EmbeddingFile(path, DialogueFile(paths[CODRAW][0]))


def test_instructions_without_words(paths, tmp_path):
    path = tmp_path / "embeddings.h5"
    path.write_bytes(paths[CODRAW][1].read_bytes())
    with h5py.File(path, "r+") as file:
        file["1"]["turns_text_length"][0] = 0
    with pytest.raises(ManifestError, match=r"dialogue 1 has instructions of \[0"):
        EmbeddingFile(path, DialogueFile(paths[CODRAW][0])).of(1)


def test_published_names_of_embeddings():
    assert embedding_name("codraw", "val", "exp78") == "codraw_valid_embeddings_exp78.h5"
    assert embedding_name("iclevr", "train", "exp95") == "iclevr_train_embeddings_exp95.h5"
    with pytest.raises(UserError, match="found split 'dev', expected one of train, val"):
        embedding_name("codraw", "dev", "x")


def test_embeddings_are_written_as_read_and_go_on(paths, tmp_path):
    source = DialogueFile(paths[CODRAW][0])
    stored, asked = EmbeddingFile(paths[CODRAW][1], source), []

    def embed(row):
        asked.append(row)
        return stored.of(row)

    path = tmp_path / "new" / "embeddings.h5"
    assert write_embeddings(path, source, embed, rows=[0]) == 1  # stopped after one
    assert not path.exists()
    assert write_embeddings(path, source, embed) == len(source) - 1
    assert sorted(asked) == list(range(len(source)))
    assert write_embeddings(path, source, embed) == 0
    for row in range(len(source)):
        for one, other in zip(EmbeddingFile(path, source).of(row), stored.of(row), strict=True):
            assert np.array_equal(one, other)


def ones(source):
    turns = [int(length) for length in source.lengths]
    return lambda row: EmbeddedTurns(
        np.ones((turns[row], 4), np.float32), np.ones((turns[row], 2, 4), np.float32), np.ones(turns[row], np.int64)
    )


def test_embeddings_of_other_weights_or_texts_are_not_kept(paths, tmp_path):
    """A draft of others begins anew, a finished file is refused, one that says nothing too; reading takes the last."""
    source, path = DialogueFile(paths[ICLEVR][0]), tmp_path / "embeddings.h5"
    assert write_embeddings(path, source, ones(source), rows=[0], about={"weights": "old", "reader": "a"}) == 1
    about = {"weights": "new", "reader": "a"}
    assert write_embeddings(path, source, ones(source), about=about) == len(source)
    assert write_embeddings(path, source, ones(source), about=about) == 0
    with pytest.raises(ManifestError, match="has embeddings of other weights than those asked for; delete it"):
        write_embeddings(path, source, ones(source), about=about | {"weights": "newer"})
    with h5py.File(paths[ICLEVR][0]) as stored, h5py.File(tmp_path / "clevr_train.h5", "w") as file:
        for name in stored:
            stored.copy(name, file)
        said = json.loads(file[source.names[0]]["text"][()])
        del file[source.names[0]]["text"]
        file[source.names[0]]["text"] = json.dumps(["paint it", *said[1:]])
    other = DialogueFile(tmp_path / "clevr_train.h5")
    with pytest.raises(ManifestError, match="has embeddings of other instructions than those asked for"):
        write_embeddings(path, other, ones(other), about=about)
    with pytest.raises(ManifestError, match=f"dialogue {source.names[0]} has embeddings of other instructions"):
        EmbeddingFile(path, other)
    with h5py.File(path, "r+") as file:
        del file.attrs["weights"]
        for name in file:
            del file[name].attrs["texts"]
    with pytest.raises(ManifestError, match="does not say what weights made it, as older ones; delete it"):
        write_embeddings(path, source, ones(source), about=about)
    assert EmbeddingFile(path, source).text_dim == 4


def test_a_damaged_draft_begins_anew(paths, tmp_path):
    source = DialogueFile(paths[CODRAW][0])
    (tmp_path / ".embeddings.h5.part").write_bytes(b"nothing")
    assert write_embeddings(tmp_path / "embeddings.h5", source, ones(source)) == len(source)
    assert EmbeddingFile(tmp_path / "embeddings.h5", source).text_dim == 4
