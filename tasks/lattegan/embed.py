"""Write the embeddings of every instruction, which LatteGAN draws from.

``python run.py -f lattegan/embed.yaml`` writes ``{codraw,iclevr}_{train,valid,test}_embeddings_<name>.h5`` as
smatsumori/LatteGAN's ``create_embs_from_model.py`` does; a run that was stopped goes on, and
files that are there stay where they say that these weights, reader and instructions made them. Of BERT the states of
[CLS] and of the instruction with its [SEP] are kept, of the recurrent encoder those of the words.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import config
from common import distributed
from common.errors import UserError
from common.parallel import progress
from config.limits import Threads
from datasets.dialogue.embeddings import EmbeddedTurns, embedding_name, write_embeddings
from datasets.dialogue.readers import InstructionReader, check_fits, read_turn, reader_digest
from datasets.dialogue.records import DialogueFile
from datasets.loading.rows import ManifestError
from engine.context import Context
from engine.init_from import load_run
from models.spoken_instruction_encoders import InstructionEncoder
from models.weights import weights_digest
from tasks.lattegan.listen import TextModules

log = logging.getLogger(__name__)
DRY = 2  # dialogues of a dry run


def embed(
    encoder: InstructionEncoder,
    texts: InstructionReader,
    dialogues: dict[str, Path],
    folder: Path,
    name: str,
    context: Context,
    run: Path | None = None,
    threads: Threads | None = None,
) -> None:
    """Write the embeddings of several files of dialogues.

    Args:
        encoder: of instructions; published.lattegan.text_encoders.load for a published one.
        texts: reads them for it; spoken ones are said by the voices of each file's split.
        dialogues: HDF5 files by split: train, val, test.
        folder: gets the files.
        name: ends their names, ``exp95`` of the published one.
        context: given by run.py.
        run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets; None keeps its own.
        threads: of torch; all cores when None.

    Raises:
        UserError: the reader does not fit the encoder, a file does not fit its layout, weights are missing, or
            embeddings of others are there.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    encoder, files = _ready(encoder, texts, dialogues, run)
    if not context.dry_run:
        _write(encoder, texts, files, folder, name)
        return
    for split, file in files.items():
        found = [embedded(encoder, texts, file, row, split) for row in range(min(DRY, len(file)))]
        dim = found[0].sentences.shape[1]
        log.info("dry run: %s, %d dialogues embedded, D %d", embedding_name(file.corpus, split, name), len(found), dim)


def ensure_embeddings(
    folder: Path,
    name: str,
    encoder: InstructionEncoder,
    texts: InstructionReader,
    dialogues: dict[str, Path],
    run: Path | None = None,
    dry_folder: Path | None = None,
) -> Path:
    """Write the embeddings that a training of LatteGAN draws from, unless they are there: its ``prepare``.

    Args:
        folder: gets the files.
        name: ends their names.
        encoder: of instructions.
        texts: reads them for it.
        dialogues: HDF5 files by split: train, val, test.
        run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets; None keeps its own.
        dry_folder: given by main; gets zeros instead, for a dry run.

    Returns:
        The folder.

    Raises:
        UserError: as :func:`embed`, or the folder has embeddings of other weights, reader or instructions.
    """
    if dry_folder is not None:
        encoder, files = _ready(encoder, texts, dialogues, None)
        for split, file in files.items():
            write_embeddings(dry_folder / embedding_name(file.corpus, split, name), file, _zeros(encoder, file))
        return dry_folder
    encoder, files = _ready(encoder, texts, dialogues, run)
    _write(encoder, texts, files, folder, name)
    return folder


def _ready(
    encoder: InstructionEncoder, texts: InstructionReader, dialogues: dict[str, Path], run: Path | None
) -> tuple[InstructionEncoder, dict[str, DialogueFile]]:
    """Return the encoder with its weights in evaluation mode, and the files of dialogues by split."""
    check_fits(texts, encoder.inputs)
    if run is not None:
        load_run(run, TextModules(encoder))
    files = {split: DialogueFile(path) for split, path in dialogues.items()}
    for file in files.values():
        if not file.has_words:
            raise UserError(f"{file.path} has no instructions, expected a file of dialogues, not of single images")
    return encoder.to(distributed.pick_device()).eval(), files


def _write(
    encoder: InstructionEncoder, texts: InstructionReader, files: dict[str, DialogueFile], folder: Path, name: str
) -> None:
    about = {"weights": weights_digest(encoder), "reader": reader_digest(texts)}
    for split, file in files.items():
        path = folder / embedding_name(file.corpus, split, name)
        with progress(f"dialogues of {split}", len(file), 0) as advance:

            def one(row: int, file=file, split=split, advance=advance) -> EmbeddedTurns:  # noqa: ANN001
                advance(1)
                return embedded(encoder, texts, file, row, split)

            written = write_embeddings(path, file, one, about=about)
        log.info("%s: %d dialogues embedded", config.short(path), written)


def _zeros(encoder: InstructionEncoder, file: DialogueFile) -> Callable[[int], EmbeddedTurns]:
    """Return what makes embeddings of zeros, one word an instruction."""

    def zeros(row: int) -> EmbeddedTurns:
        turns, size = int(file.lengths[row]), encoder.text_dim
        shapes = np.zeros((turns, size), np.float32), np.zeros((turns, 1, size), np.float32)
        return EmbeddedTurns(*shapes, np.ones(turns, np.int64))

    return zeros


@torch.no_grad()
def embedded(
    encoder: InstructionEncoder,
    texts: InstructionReader,
    file: DialogueFile,
    row: int,
    split: str = "train",
) -> EmbeddedTurns:
    """Return the embeddings of the turns of one dialogue, all by one voice of the split where they are spoken.

    Raises ManifestError for a dialogue of none.
    """
    said = file.texts(row)
    if not said:
        raise ManifestError(f"{file.path}: dialogue {file.names[row]} has no turn; make the file again")
    turns = [read_turn(texts, file, said[: turn + 1], split, row) for turn in range(len(said))]
    device = next(encoder.parameters()).device
    found = encoder(*(torch.stack([turn[name] for turn in turns]).to(device) for name in encoder.inputs))
    words, lengths = found.words
    return EmbeddedTurns(*(part.cpu().numpy() for part in (found.sentences, words, lengths)))
