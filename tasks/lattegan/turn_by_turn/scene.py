"""A scene that is drawn turn by turn: say, undo, choose among candidates.

Noise follows from seed, turn and candidate alone, so that the same words give the same image after an undo, and a
candidate does not depend on how many there are.

Shape letters: N candidates, R height and width of the images, H, W of a gate.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from datasets.dialogue.records import to_bytes
from engine.seeding import step_generator
from gan.lattegan.layers import Instructions
from gan.lattegan.rollout import RollOuts, next_turn
from tasks.lattegan.turn_by_turn.model import DrawingModel

MOST_TURNS = 30
MOST_CANDIDATES = 16


class SceneError(UserError, ValueError):
    """A step that a scene cannot take now."""


class Turn(NamedTuple):
    """One turn that was drawn, N candidates of it."""

    said: str  # as it was typed, or the name of a recording's file; of others a placeholder
    heard: Any  # as the encoder takes it
    unknown: list[str]  # words that were left out
    images: Tensor  # (N, 3, R, R) in [-1, 1]
    gates: np.ndarray | None  # (N, H, W) in 0-1, high where nothing changes
    scores: list[float]  # N logits of the discriminator
    chosen: int
    seed: int

    @property
    def image(self) -> np.ndarray:
        """The chosen candidate (R, R, 3) uint8."""
        return to_bytes(self.images[self.chosen])

    @property
    def gate(self) -> np.ndarray | None:
        """The chosen candidate's gate (H, W)."""
        return None if self.gates is None else self.gates[self.chosen]

    def alone(self) -> "Turn":
        """Return the turn with the chosen candidate only."""
        one = slice(self.chosen, self.chosen + 1)
        gates = None if self.gates is None else self.gates[one].copy()
        return self._replace(images=self.images[one].clone(), gates=gates, scores=self.scores[one], chosen=0)


class Scene:
    """An open scene.

    Args:
        model: draws; only one thread at a time may use it.
        seed: of the noise.
        settings: of the noise; the candidates of each turn are given with it.
        keep: the candidates of earlier turns, which take memory.

    Attributes:
        turns: that were drawn and not undone.
        seed: of the next turns; may be set.
    """

    def __init__(
        self,
        model: DrawingModel,
        seed: int = 0,
        settings: RollOuts = RollOuts(),  # noqa: B008  never changed
        keep: bool = True,
    ) -> None:
        self.model, self.seed, self._keep = model, seed, keep
        self.turns: list[Turn] = []
        self._settings = RollOuts(1, settings.truncation, settings.image_noise)

    @property
    def background(self) -> np.ndarray:
        """The empty scene (R, R, 3) uint8."""
        return to_bytes(self.model.background)

    @torch.no_grad()
    def say(self, said: Any, candidates: int = 1) -> Turn:
        """Draw one more turn; the candidate that the discriminator scores highest is chosen.

        Raises UserError for an instruction that cannot be read, or a turn too many; the scene stays as it was.
        """
        number = len(self.turns)
        if number >= MOST_TURNS:
            raise SceneError(f"the scene has {MOST_TURNS} turns, the most there can be: begin another one")
        reads, networks = self.model.reads, self.model.networks
        heard = reads.hear(said)
        found = reads.encode([turn.heard for turn in self.turns], heard)
        one = Instructions(found.sentences, *found.words)
        draws = [step_generator(self.seed, number * MOST_CANDIDATES + copy) for copy in range(candidates)]
        before = self.turns[-1].images[self.turns[-1].chosen] if self.turns else self.model.background
        device = next(networks.generator.parameters()).device
        made = next_turn(
            networks,
            before.to(device).expand(candidates, *before.shape),
            Instructions(*(part.expand(candidates, *part.shape[1:]) for part in one)),
            draws,
            self._settings,
        )
        scores = made.scores.float().cpu()
        turn = Turn(
            str(said) if isinstance(said, str | Path) else "(spoken)",
            heard,
            list(getattr(heard, "unknown", ())),
            made.images.float().cpu(),
            None if made.gates is None else made.gates.float().cpu().numpy(),
            scores.tolist(),
            int(scores.argmax()),
            self.seed,
        )
        if self.turns and not self._keep:
            self.turns[-1] = self.turns[-1].alone()
        self.turns.append(turn)
        return turn

    def undo(self) -> None:
        """Forget the last turn; raise SceneError where there is none."""
        self._last()
        self.turns.pop()

    def choose(self, candidate: int) -> Turn:
        """Go on from another candidate of the last turn, 0 to N - 1; raise SceneError where there is no such one."""
        last = self._last()
        if not 0 <= candidate < len(last.scores):
            raise SceneError(f"found candidate {candidate}, expected 0 to {len(last.scores) - 1} of the last turn")
        self.turns[-1] = last._replace(chosen=candidate)
        return self.turns[-1]

    def _last(self) -> Turn:
        if not self.turns:
            raise SceneError("the scene is empty, there is no turn to undo or to choose in: say an instruction first")
        return self.turns[-1]
