"""Draw a scene at the terminal, or from a list or file of instructions: ``python run.py -f lattegan/draw.yaml``.

Names are the published ones beside a few more: ``OUTPUT/<number>/<turn>.png`` and ``OUTPUT/<number>.txt`` ("0: ..." a
line); ``<turn>_candidate<k>.png`` where there are several, and ``sheet.png`` with the gates. A scene gets the first
number that is free.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

import config
from common import distributed
from common.errors import UserError
from common.files import write_whole
from common.text_files import read_text, without_surrogates
from config.limits import Positive, Seed, Threads
from datasets.dialogue.records import to_bytes
from datasets.media_files import encode_image, write_media
from engine.context import Context
from engine.logs import say
from evaluation.report.dialogues import DrawnDialogue, dialogue_sheet
from gan.lattegan.rollout import Networks, RollOuts
from tasks.lattegan.turn_by_turn.model import DrawingModel, check_model
from tasks.lattegan.turn_by_turn.scene import MOST_CANDIDATES, Scene, Turn

log = logging.getLogger(__name__)
HELP = "say what comes next (add a red cube), or: undo, seed NUMBER, choose CANDIDATE, quit"
SHEET = "sheet.png"
COMMAND = re.compile(r"(undo|quit|seed|choose)(?:\s+(\S+))?")
Candidates = Annotated[int, Field(gt=0, le=MOST_CANDIDATES)]


def draw(
    model: DrawingModel,
    output: Path,
    context: Context,
    instructions: list[str] | None = None,
    file: Path | None = None,
    candidates: Candidates = 1,
    seed: Seed = 0,
    truncation: Positive | None = 2.0,
    threads: Threads | None = None,
) -> None:
    """Draw one scene and write an image of each turn.

    Args:
        model: draws; tasks.lattegan.turn_by_turn.model.of_run for a training of one's own, of_spoken_run for one on
            speech.
        output: folder of scenes.
        context: given by run.py.
        instructions: of the turns, or names of recordings where the model hears; with neither these nor a file they are
            asked for at the terminal.
        file: text file of instructions, one a line; lines without words are skipped.
        candidates: images of each turn; the one that the discriminator scores highest is kept, or the one that is
            chosen at the terminal.
        seed: of the noise.
        truncation: noise beyond it is drawn again, in standard deviations; None for no bound.
        threads: of torch; all cores when None.

    Raises:
        UserError: the model or the file cannot be read, or an instruction of a list or file cannot: it is empty, too
            long, or no word of it is known.
    """
    listed = _listed(instructions, file)
    scene = Scene(on_device(model, threads), seed, RollOuts(truncation=truncation))
    if context.dry_run:
        if listed is None and not model.written:
            log.info("dry run: %s hears, and there is no recording yet", model.name)
            return
        turn = scene.say(_said(scene, listed[0][1] if listed else "add a red cube"), candidates)
        log.info("dry run: %s, %d candidates of %d pixels", model.name, len(turn.scores), turn.images.shape[2])
        return
    files = _SceneFiles(scene, output)
    if listed is None:
        context.after_stop = lambda: f"what was drawn is in {config.short(files.folder)}"
        _ask(scene, files, candidates)
    else:
        for where, text in listed:
            try:
                turn = scene.say(_said(scene, text), candidates)
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
            say(_told(scene, turn))
        files.write()
    if scene.turns:
        say(config.short(files.folder / SHEET))


def on_device(model: DrawingModel, threads: int | None = None) -> DrawingModel:
    """Return a checked model on the device that there is."""
    if threads is not None:
        torch.set_num_threads(threads)
    device = distributed.pick_device()
    model = check_model(model)
    model.reads.encoder.to(device)
    return model._replace(networks=Networks(*(network.to(device) for network in model.networks)))


def _said(scene: Scene, text: str) -> str | Path:
    """Return an instruction, or the recording that a line names where the model hears."""
    return without_surrogates(text) if scene.model.written else Path(text)


def _listed(instructions: list[str] | None, file: Path | None) -> list[tuple[str, str]] | None:
    """Return where each instruction stands and its text; None where they are asked for."""
    if instructions is not None and file is not None:
        raise UserError("found both instructions and file, expected one of them")
    if instructions is not None:
        if not instructions:
            raise UserError("instructions is empty, expected at least one, or null to be asked for them")
        return [(f"instruction {number}", text) for number, text in enumerate(instructions, start=1)]
    if file is None:
        return None
    if not file.is_file():
        raise UserError(f"there is no file {file}: expected a text file of instructions, one a line")
    lines = enumerate(read_text(file).splitlines(), start=1)
    found = [(f"{file}, line {number}", line.strip()) for number, line in lines if line.strip()]
    if not found:
        raise UserError(f"{file} holds no instruction, expected one a line")
    return found


def _ask(scene: Scene, files: "_SceneFiles", candidates: int) -> None:
    """Draw what is typed until it ends."""
    say(f"an empty scene, seed {scene.seed}; {HELP}")
    for line in _typed(scene):
        command = COMMAND.fullmatch(line.lower())
        try:
            if command is None:
                say(_told(scene, scene.say(_said(scene, line), candidates)))
            elif command[1] == "quit":
                return
            else:
                say(_obey(scene, command[1], command[2]))
        except UserError as error:
            say(str(error))
            continue
        files.write()


def _typed(scene: Scene) -> Iterator[str]:
    """Yield the lines that are typed, until there are no more."""
    while True:
        try:
            line = input(f"{len(scene.turns) + 1}> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError(f"what is typed holds bytes that are not {error.encoding}: write it in UTF-8") from error
        yield line.strip()


def _obey(scene: Scene, command: str, value: str | None) -> str:
    """Do what a command says and return what was done."""
    if command == "undo":
        scene.undo()
        return f"undone; {len(scene.turns)} turns are left"
    if value is None or not value.isdecimal() or len(value) > 18:
        raise UserError(f"found {command} {value or ''}".rstrip() + f", expected {command} and a whole number")
    if command == "seed":
        scene.seed = int(value)
        return f"seed {scene.seed} from the next turn on"
    turn = scene.choose(int(value))
    return f"candidate {turn.chosen} of the last turn"


def _told(scene: Scene, turn: Turn) -> str:
    """Return a line about a turn."""
    told = f"{len(scene.turns)}: {turn.said}"
    if len(turn.scores) > 1:
        scores = ", ".join(f"{score:.2f}" for score in turn.scores)
        told += f"  [candidate {turn.chosen} of {len(turn.scores)}, scores {scores}]"
    return told + (f"  [not known, left out: {', '.join(turn.unknown)}]" if turn.unknown else "")


class _SceneFiles:
    """The files of one scene; its number is the first one that is free."""

    def __init__(self, scene: Scene, output: Path) -> None:
        self._scene, self._written = scene, set[str]()
        taken = {path.stem for path in output.iterdir()} if output.is_dir() else set()
        number = next(name for name in map("{:04d}".format, range(1, 10**6)) if name not in taken)
        self.folder = output / number

    def write(self) -> None:
        """Write all turns as they are now; images of turns that were undone go."""
        scene, turns = self._scene, self._scene.turns
        self.folder.mkdir(parents=True, exist_ok=True)
        images = dict(_images(turns))
        for name in self._written - images.keys():
            (self.folder / name).unlink(missing_ok=True)
        for name, image in images.items():
            write_media(self.folder / name, encode_image(image, "png"))
        self._written = set(images)
        lines = "".join(f"{number}: {turn.said}\n" for number, turn in enumerate(turns))
        write_media(self.folder.with_suffix(".txt"), without_surrogates(lines).encode())
        if turns:
            write_whole(self.folder / SHEET, encode_image(dialogue_sheet([as_dialogue(scene)]), "png"))
        else:
            (self.folder / SHEET).unlink(missing_ok=True)


def _images(turns: Iterable[Turn]) -> Iterator[tuple[str, np.ndarray]]:
    for number, turn in enumerate(turns):
        yield f"{number}.png", turn.image
        if len(turn.scores) > 1:
            for copy, image in enumerate(to_bytes(turn.images)):
                yield f"{number}_candidate{copy}.png", image


def as_dialogue(scene: Scene) -> DrawnDialogue:
    """Return a scene as sheets and tables show it."""
    turns = scene.turns
    gates = [turn.gate for turn in turns]
    return DrawnDialogue(
        [without_surrogates(turn.said) for turn in turns],
        None,
        np.stack([turn.image for turn in turns]),
        None if any(gate is None for gate in gates) else np.stack(gates),
    )
