"""Training of the text encoder on coloured squares, and the embeddings that follow: both go on after a stop."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F

import losses
from common.errors import UserError
from datasets.dialogue.embeddings import EmbeddingFile
from datasets.dialogue.records import DialogueFile
from datasets.dialogue.texts import WordVectors
from models.instruction_encoders import GruInstructionEncoder
from run import main
from tasks.lattegan.embed import embedded, ensure_embeddings
from tasks.lattegan.tirg import TirgTraining, micro_f1, similarities_html, still_share, target_ranks
from tests.ranks import on_two_ranks
from tests.tasks.lattegan.worlds import COLOURS, write_squares


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for seed, (split, count) in enumerate((("train", 8), ("val", 3), ("test", 3))):
        write_squares(folder, split, count, seed)
    words = ["ready", "add", "a", "cube", *COLOURS]
    vectors = np.random.default_rng(3).standard_normal((len(words), 6))
    lines = (f"{word} {' '.join(map(str, vector))}\n" for word, vector in zip(words, vectors, strict=True))
    (folder / "vectors.txt").write_text("".join(lines))
    return folder


def command(config, *arguments):
    assert main(["-f", config, *arguments]) == 0


def texts(data):
    return (
        f"{{type: datasets.dialogue.texts.WordVectors, path: {data / 'vectors.txt'}, max_words: 6, max_previous: 12}}"
    )


ENCODER = "{type: models.instruction_encoders.GruInstructionEncoder, word_dim: 6, text_dim: 8}"


def train(folder, data, *arguments):
    splits = [
        f"data.{split}.{key}={value}"
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
        for key, value in (("path", data / f"clevr_{name}.h5"), ("resolution", 32), ("texts", texts(data)))
    ]
    command(
        "lattegan/tirg_iclevr.yaml", *splits, "data.batch_size=8", "data.workers=0", f"task.encoder={ENCODER}",
        "task.trunk.depth=3", "task.trunk.pretrained=null", "task.network.hidden=8", "trainer.epochs=4",
        "task.weights={gate: 0.1, text_detection: 1.0, gate_detection: 0.1}", "task.optimizer.lr=1.0e-2",
        "task.text_lr=1.0e-2", "trainer.log_every_steps=1", "cpu_threads=1", f"run.folder={folder}", *arguments,
    )  # fmt: skip
    return folder / "lattegan" / "tirg_iclevr"


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"), data)


def test_it_learns_and_writes_its_report(trained):
    rows = [row for row in map(json.loads, (trained / "metrics.jsonl").open()) if "train/loss" in row]
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"distance", "still_distance", *TirgTraining.metrics} <= set(metrics)
    assert metrics["negative_distance"] == -metrics["distance"]
    page = (trained / "report.html").read_text()
    for part in (
        "Similarities and distances",
        "Below the line the instruction has helped",
        ">true gate<",
        ">predicted gate<",
    ):
        assert part in page


def test_embeddings_of_a_run(trained, data, tmp_path):
    """The command writes published names, and the file holds what the run's encoder makes of each instruction."""
    reader = WordVectors(data / "vectors.txt", 6, 12)
    dialogues = [f"dialogues.{split}={data / f'clevr_{split}.h5'}" for split in ("train", "val", "test")]
    arguments = [f"encoder={ENCODER}", f"texts={texts(data)}", *dialogues, f"folder={tmp_path}", "name=x",
                 f"run={trained}", "threads=1"]  # fmt: skip
    command("lattegan/embed.yaml", *arguments)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"iclevr_{split}_embeddings_x.h5" for split in ("train", "valid", "test")
    }
    file = DialogueFile(data / "clevr_val.h5")
    found = EmbeddingFile(tmp_path / "iclevr_valid_embeddings_x.h5", file)
    assert (found.text_dim, found.max_words) == (8, 4)
    state = torch.load(trained / "checkpoints" / "best.pt", weights_only=True)["modules"]["text"]
    encoder = GruInstructionEncoder(6, 8).eval()
    encoder.load_state_dict(state)
    for row in range(len(file)):
        for one, other in zip(found.of(row), embedded(encoder, reader, file, row), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_embeddings_that_a_training_prepares(data, tmp_path):
    torch.manual_seed(0)
    encoder, reader = GruInstructionEncoder(6, 8), WordVectors(data / "vectors.txt", 6, 12)
    dialogues = {"val": data / "clevr_val.h5"}
    file, name = DialogueFile(data / "clevr_val.h5"), "iclevr_valid_embeddings_x.h5"
    assert ensure_embeddings(tmp_path / "x", "x", encoder, reader, dialogues) == tmp_path / "x"
    found = EmbeddingFile(tmp_path / "x" / name, file)
    np.testing.assert_array_equal(found.of(1).words, embedded(encoder, reader, file, 1, "val").words)
    ensure_embeddings(tmp_path / "x", "x", encoder, reader, dialogues)  # they are there
    ensure_embeddings(tmp_path / "x", "x", encoder, reader, dialogues, dry_folder=tmp_path / "dry")
    assert not EmbeddingFile(tmp_path / "dry" / name, file).of(1).words.any()
    with pytest.raises(UserError, match="has embeddings of other weights than those asked for; delete it"):
        ensure_embeddings(tmp_path / "x", "x", GruInstructionEncoder(6, 8), reader, dialogues)
    shorter = WordVectors(data / "vectors.txt", 5, 12)
    with pytest.raises(UserError, match="has embeddings of other reader than those asked for"):
        ensure_embeddings(tmp_path / "x", "x", encoder, shorter, dialogues)
    with h5py.File(data / "clevr_val.h5") as stored, h5py.File(tmp_path / "clevr_val.h5", "w") as file:
        for part in stored:
            stored.copy(part, file)
        first = found.dialogues.names[0]
        for key, values in [(key, stored[first][key][()]) for key in ("images", "objects", "coords")]:
            del file[first][key]
            file[first][key] = values[:0]
        del file[first]["text"]
        file[first]["text"] = json.dumps([])
    with pytest.raises(UserError, match=f"dialogue {first} has no turn"):
        ensure_embeddings(tmp_path / "y", "x", encoder, reader, {"val": tmp_path / "clevr_val.h5"})


def test_embeddings_do_not_depend_on_the_other_turns(data):
    torch.manual_seed(0)
    encoder, reader = GruInstructionEncoder(6, 8).eval(), WordVectors(data / "vectors.txt", 6, 12)
    file = DialogueFile(data / "clevr_val.h5")
    whole, said = embedded(encoder, reader, file, 0), file.dialogue(0).texts
    assert whole.lengths.tolist() == [4, 4, 4]
    one = reader(file.history(said[:2]), said[2])
    with torch.no_grad():
        alone = encoder(*(one[name][None] for name in encoder.inputs))
    np.testing.assert_allclose(whole.sentences[2], alone.sentences[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole.words[2], alone.memory[0, :4], rtol=1e-5, atol=1e-6)


def test_the_ranking_by_loops():
    made, target = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for row in range(4):
        for shift in (1, 2):
            for first, second in ((row, (row + shift) % 4), ((row + shift) % 4, row)):
                other = F.cosine_similarity(made[first], target[second], dim=0)
                expected += F.relu(0.3 - F.cosine_similarity(made[row], target[row], dim=0) + other) / 8
    assert losses.rolled_ranking(made, target, 0.3, 2).item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(losses.LossError, match="needs at least 2 pairs, got 1"):
        losses.rolled_ranking(made[:1], target[:1])


def on_rank(rank, world):
    """Return what a rank's share of four turns has as targets of the gate, as ranking loss, and as its gradient."""
    made, target = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    own = slice(rank * 4 // world, (rank + 1) * 4 // world)
    part = made[own].clone().requires_grad_()
    loss = TirgTraining._distance(SimpleNamespace(distance="ranking", margin=0.9, others=2), part, target[own])
    still = still_share(made[own], target[own], channels=True, over_ranks=True)
    return {"loss": loss.detach(), "gradient": torch.autograd.grad(loss, part)[0] / world, "still": still}


def test_two_processes_see_each_others_turns(tmp_path):
    alone, together = on_rank(0, 1), on_two_ranks(on_rank, tmp_path)
    for name in ("gradient", "still"):
        torch.testing.assert_close(torch.cat([one[name] for one in together]), alone[name])
    for one in together:
        torch.testing.assert_close(one["loss"], alone["loss"])


def test_a_rank_without_turns(monkeypatch):
    """The others' rows are measured; where nobody has any, a sentence says so."""
    task = SimpleNamespace(modules={}, data=SimpleNamespace(loaders={"test": SimpleNamespace(batches=lambda _: [])}))
    theirs = {"made": [np.ones((2, 3))], "target": [np.zeros((2, 3))]}
    monkeypatch.setattr("tasks.lattegan.tirg.distributed.gather_objects", lambda own: [theirs, own])
    assert {name: value.shape for name, value in TirgTraining._rows(task, "test").items()} == {
        "made": (2, 3), "target": (2, 3),
    }  # fmt: skip
    monkeypatch.setattr("tasks.lattegan.tirg.distributed.gather_objects", lambda own: [own])
    with pytest.raises(UserError, match=r"no turn of the test split could be read; the run's skipped.csv says why"):
        TirgTraining._rows(task, "test")


def test_the_wrong_image_is_of_another_dialogue(monkeypatch):
    seen = {}
    monkeypatch.setattr("tasks.lattegan.tirg.densities", lambda values, _: seen.update(values))
    monkeypatch.setattr("tasks.lattegan.tirg.joint", lambda *_, **__: None)
    monkeypatch.setattr("tasks.lattegan.tirg.figure_html", lambda *_: "")
    rows = np.repeat(np.eye(3), 2, axis=0)  # two turns of each of three dialogues, whose images are alike
    similarities_html({"made": rows, "target": rows, "before": rows, "l1": np.zeros((6, 2))}, 2)
    assert seen["right image"].tolist() == [1] * 6
    assert seen["wrong image"].tolist() == [0] * 6


def test_measures_by_hand():
    before, after = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 0.0]], [[3.0, 0.0]]]])
    assert still_share(before, after, channels=True).flatten().tolist() == pytest.approx([2 / 3, 1, 0, 1])
    assert still_share(before, after, channels=False).flatten().tolist() == [0, 1]
    made = np.array([[1.0, 0], [0, 1], [1, 0.1]])
    assert target_ranks(made, np.array([[2.0, 0], [1, 1], [0, 1]])).tolist() == [0, 1, 2]
    assert micro_f1(np.array([[True, True]]), np.array([[True, False]])) == pytest.approx(2 / 3)
    assert micro_f1(np.zeros((1, 2), bool), np.zeros((1, 2), bool)) == 0
