"""Write the embeddings of every instruction, which LatteGAN draws from.

``python run.py -f lattegan/embed.yaml`` writes ``{codraw,iclevr}_{train,valid,test}_embeddings_<name>.h5`` as
smatsumori/LatteGAN's ``create_embs_from_model.py`` does; a run that was stopped goes on, files that are there stay. Of
BERT the states of [CLS] and of the instruction with its [SEP] are kept, of the recurrent encoder those of the words.
"""

import logging
from pathlib import Path

import torch

import config
from common import distributed
from common.errors import UserError
from common.parallel import progress
from config.limits import Threads
from datasets.dialogue.embeddings import EmbeddedTurns, embedding_name, write_embeddings
from datasets.dialogue.readers import InstructionReader, read_turn
from datasets.dialogue.records import DialogueFile
from engine.context import Context
from engine.init_from import load_run
from models.spoken_instruction_encoders import InstructionEncoder
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
        UserError: the reader does not fit the encoder, a file does not fit its layout, or weights are missing.
    """
    if tuple(texts.names) != tuple(encoder.inputs):
        raise UserError(
            f"texts make {', '.join(texts.names)}, the encoder takes {', '.join(encoder.inputs)}: give those that fit"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    if run is not None:
        load_run(run, TextModules(encoder))
    encoder = encoder.to(distributed.pick_device()).eval()
    files = {split: DialogueFile(path) for split, path in dialogues.items()}
    for split, file in files.items():
        path = folder / embedding_name(file.corpus, split, name)
        if not file.has_words:
            raise UserError(f"{file.path} has no instructions, expected a file of dialogues, not of single images")
        if context.dry_run:
            found = [embedded(encoder, texts, file, row, split) for row in range(min(DRY, len(file)))]
            log.info("dry run: %s, %d dialogues embedded, D %d", path.name, len(found), found[0].sentences.shape[1])
            continue
        with progress(f"dialogues of {split}", len(file), 0) as advance:

            def one(row: int, file=file, split=split, advance=advance) -> EmbeddedTurns:  # noqa: ANN001
                advance(1)
                return embedded(encoder, texts, file, row, split)

            written = write_embeddings(path, file, one)
        log.info("%s: %d dialogues embedded", config.short(path), written)


@torch.no_grad()
def embedded(
    encoder: InstructionEncoder,
    texts: InstructionReader,
    file: DialogueFile,
    row: int,
    split: str = "train",
) -> EmbeddedTurns:
    """Return the embeddings of the turns of one dialogue, all by one voice of the split where they are spoken."""
    said = file.texts(row)
    turns = [read_turn(texts, file, said[: turn + 1], split, row) for turn in range(len(said))]
    device = next(encoder.parameters()).device
    found = encoder(*(torch.stack([turn[name] for turn in turns]).to(device) for name in encoder.inputs))
    words, lengths = found.words
    return EmbeddedTurns(*(part.cpu().numpy() for part in (found.sentences, words, lengths)))
