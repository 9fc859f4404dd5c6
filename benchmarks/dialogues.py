"""Dialogues of LatteGAN and GeNeVA-GAN: training steps, and roll-outs with N candidates, on this CPU.

    python -m benchmarks.dialogues

Networks of the embedded world (64 pixels, small widths), random dialogues. A training step of GeNeVA-GAN is compared
with the public code's order, which goes back through all earlier turns at each turn; LatteGAN's has no other way to do
it. Roll-outs of all candidates of all dialogues together are compared with one dialogue, one candidate and one turn at
a time; the note scales to 1,000 dialogues.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.table import Row, best_times, options, print_table
from gan.lattegan.discriminators import UnetDiscriminator
from gan.lattegan.fusion import TirgSpade
from gan.lattegan.generator import ImageEncoder, LatteganGenerator
from gan.lattegan.geneva import GenevaDialogue, GenevaDiscriminator, GenevaGenerator, GenevaImageEncoder
from gan.lattegan.layers import Instructions
from gan.lattegan.objectives import DialogueTurns, GenevaAdversarial, LatteganHinge, SeenTurns
from gan.lattegan.rollout import Networks, RollOuts, roll_out
from tasks.lattegan.task import LAYOUT

TURNS, WORDS, TEXT, STATE, CLASSES, PIXELS = 3, 12, 128, 128, 24, 64


def lattegan() -> Networks:
    """Return networks of the sizes of lattegan/world_lattegan.yaml."""
    torch.manual_seed(0)
    fusion = partial(TirgSpade, words="concat", relations=True, hidden=96, heads=4, channel_gate=True)
    shared = {"width": 16, "resolution": PIXELS, "spectral": True}
    generator = LatteganGenerator(
        TEXT, image_dim=96, condition_dim=64, noise_dim=32, norm="instance", fusion=fusion, **shared
    )
    encoder = ImageEncoder(image_dim=96, width=24, norm="instance", spectral=True)
    judge = UnetDiscriminator(TEXT, CLASSES, **shared)
    return Networks(*(network.to(memory_format=LAYOUT) for network in (encoder, generator, judge)))


def geneva() -> tuple[Networks, GenevaDialogue]:
    """Return networks of the sizes of lattegan/geneva_world.yaml."""
    torch.manual_seed(0)
    generator = GenevaGenerator(STATE, 96, 16, 64, 32, PIXELS)
    judge = GenevaDiscriminator(STATE, CLASSES, 16, PIXELS)
    return Networks(GenevaImageEncoder(96, 24), generator, judge), GenevaDialogue(TEXT, STATE, STATE)


def said(*shape: int) -> Instructions:
    """Return random embeddings of instructions of ``WORDS`` words."""
    return Instructions(
        torch.randn(*shape, TEXT), torch.randn(*shape, WORDS, TEXT), torch.full(shape, WORDS, dtype=torch.int64)
    )


def images(*shape: int) -> Tensor:
    """Return random images."""
    return torch.rand(*shape, 3, PIXELS, PIXELS) * 2 - 1


def lattegan_step(turns: int) -> Callable[[], None]:
    """Return what makes a training step of single turns."""
    networks, objective = lattegan(), LatteganHinge()
    drawing = [*networks.image_encoder.parameters(), *networks.generator.parameters()]
    players = [torch.optim.Adam(part, lr=1e-4) for part in (drawing, networks.discriminator.parameters())]
    told, wrong, added = said(turns), said(turns), torch.zeros(turns, CLASSES)
    shown = [images(turns).contiguous(memory_format=LAYOUT) for _ in range(2)]
    seen = SeenTurns(*shown, told, wrong, added)

    def step() -> None:
        made = networks.generator(torch.randn(turns, 32), told, networks.image_encoder(seen.previous))
        loss = sum(objective.discriminator(networks.discriminator, seen, made.images.detach()).values())
        _update(players[1], loss)
        _update(players[0], sum(objective.generator(networks.discriminator, seen, made).values()))

    return step


def geneva_step(dialogues: int, together: bool) -> Callable[[], None]:
    """Return what makes a training step of dialogues: one way back at the end, or at each turn, as published."""
    networks, dialogue = geneva()
    objective, image, noise = GenevaAdversarial(), images(TURNS, dialogues), torch.randn(TURNS, dialogues, 32)
    previous, words = torch.cat((images(1, dialogues), image[:-1])), torch.randn(TURNS, dialogues, TEXT)
    rows, none, others = (
        torch.arange(dialogues),
        torch.zeros(dialogues, CLASSES),
        partial(torch.roll, shifts=-1, dims=0),
    )
    reading = [*dialogue.parameters(), *networks.image_encoder.parameters()]
    players = [
        torch.optim.Adam(part, lr=1e-4)
        for part in (reading, networks.generator.parameters(), networks.discriminator.parameters())
    ]

    def step() -> None:
        players[0].zero_grad()
        made = dialogue.conditions(words)
        outputs = dialogue.read(made, dialogue.start(dialogues, torch.device("cpu")))[0]
        states = [state.detach().requires_grad_() for state in outputs] if together else list(outputs)
        for turn, state in enumerate(states):
            seen = DialogueTurns(previous[turn], image[turn], state, others, none, none, rows, 1.0)
            maps = networks.image_encoder(previous[turn])
            fake = networks.generator(noise[turn], state.detach(), maps)
            loss = sum(objective.discriminator(networks.discriminator, seen, fake.images.detach()).values())
            players[2].zero_grad()
            loss.backward(retain_graph=not together)
            players[2].step()
            seen = seen._replace(states=state.detach())
            players[1].zero_grad()
            sum(objective.generator(networks.discriminator, seen, fake).values()).backward(retain_graph=not together)
            players[1].step()
        if together:
            torch.stack(list(outputs)).backward(torch.stack([state.grad for state in states]))
        players[0].step()

    return step


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward(inputs=[one for group in optimizer.param_groups for one in group["params"]])
    optimizer.step()


def rolling(dialogues: int, candidates: int, together: bool) -> Callable[[], None]:
    """Return what draws dialogues: all at once, or one dialogue, one candidate and one turn at a time."""
    networks = Networks(*(network.eval() for network in lattegan()))
    told, background = said(dialogues, TURNS), images(1)[0]
    lengths = torch.full((dialogues,), TURNS)

    def draws() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(row) for row in range(dialogues)]

    def all_at_once() -> None:
        roll_out(networks, background, told, lengths, draws(), RollOuts(candidates))

    @torch.no_grad()
    def one_by_one() -> None:
        for row, draw in enumerate(draws()):
            scores = []
            for _ in range(candidates):
                before = background[None]
                for turn in range(TURNS):
                    before = before + torch.rand(before.shape, generator=draw) / 64
                    now = Instructions(*(part[row : row + 1, turn] for part in told))
                    noise, variation = (torch.randn(1, size, generator=draw) for size in (32, 64))
                    made = networks.generator(noise, now, networks.image_encoder(before), variation).images
                    scores.append(networks.discriminator(before, made, now).fitting)
                    before = made

    return all_at_once if together else one_by_one


def main() -> None:
    """Time training steps and roll-outs."""
    read = options(
        __doc__,
        {
            "batch_size": (24, "turns of a training step, of dialogues of three turns"),
            "dialogues": (8, "dialogues that are drawn"),
            "candidates": (4, "candidates of each"),
            "repeats": (2, "timed calls of each row, the best counts"),
        },
    )
    alone = best_times(lattegan_step(read.batch_size), repeats=read.repeats)[0]
    count = read.batch_size // TURNS
    ours, public = best_times(*(geneva_step(count, way) for way in (True, False)), repeats=read.repeats)
    ways = (rolling(read.dialogues, read.candidates, way) for way in (True, False))
    drawn, loop = best_times(*ways, repeats=read.repeats)
    thousand = f"{read.candidates} candidates; 1,000 dialogues by scaling: {1000 * drawn / read.dialogues:.0f} s"
    rows = [
        Row("LatteGAN, training step", alone, note=f"{read.batch_size / alone:.1f} turns/s, batch {read.batch_size}"),
        Row(
            "GeNeVA-GAN, training step", ours, public,
            note=f"{count * TURNS / ours:.1f} turns/s, {count} dialogues; baseline: back through all turns at each",
        ),
        Row(f"{read.dialogues} dialogues drawn", drawn, loop, note=f"{thousand}; baseline: one at a time"),
    ]  # fmt: skip
    print_table(f"Dialogues of {TURNS} turns, {PIXELS} pixels, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()
