"""Training steps with edited negatives: a whole batch at once against one image at a time, as the original does it.

    python -m benchmarks.edited_negatives                # about a minute
    python -m benchmarks.edited_negatives --everything 1 # eight attempts too, and the whole step for each

A whole step: generate the images from their latents, encode them and the captions, find each pair's strongest region,
generate negatives with 140 of 512 units of layer4 (as large a share of fewer) switched off there until they changed
enough, encode those, compute both losses, and update. The paper's networks with random weights are measured, 128 pixels
and captions of 1,024 frames, then the small encoders and the 64-pixel generator of words_by_drawing/base.yaml. The
baseline has the same networks and goes through the images one after the other, as published: a matchmap taken to NumPy,
a dilation in a loop, for each attempt two images of one latent (with clusters the original makes the positive again
each time), and losses that compare pair by pair. The number of attempts of an image depends on trained weights; so it
is given, and the same for both. The encoders cost both the same, and on a CPU the paper's are most of the step:
hence the rows of the negatives alone, from the maps of the encoders to the edited images.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.table import Row, best_times, devices, options, print_table
from gan import shipped
from gan.editing.regenerate import Positives, Proposal, generate, regenerate_until
from gan.editing.regions import THRESHOLD, heat, region
from gan.hooks import Edit, edited
from gan.images import encoder_input
from gan.progan.generator import ProganGenerator, sizes
from losses import draw_impostors, edited_negatives, sampled_margin_rank
from models.davenet import DavenetSpeech
from models.image_encoders import Vgg16Encoder
from models.matchmap import aligned_similarity, matchmaps, similarity
from models.small import SmallImageEncoder, SmallSpeechEncoder
from models.speech_maps import SpeechMaps

MARGIN = 1.0
WIDTHS = [512, 512, 512, 256, 128, 64]
LAYER = "layer4"
SHARE = 140 / 512  # of the units are switched off
TYPICAL, LONGEST = "1 to 4 attempts", "8 attempts"
ATTEMPTS = {"first attempt enough": [1], TYPICAL: [1, 3, 1, 2, 1, 4, 1, 1], LONGEST: [8]}


class Job:
    """Networks and a batch of latents and captions; without networks those of the paper, with random weights."""

    def __init__(
        self,
        batch: int,
        device: torch.device,
        generator: ProganGenerator | None = None,
        image: nn.Module | None = None,
        speech: nn.Module | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.device = device
        self.generator = (generator or ProganGenerator(512, WIDTHS)).to(device).eval().requires_grad_(False)
        self.image = (image or Vgg16Encoder(embedding_dim=512, pretrained=None)).to(device)
        self.speech = (speech or DavenetSpeech(size="large", embedding_dim=512)).to(device)
        self.optimizer = torch.optim.SGD([*self.image.parameters(), *self.speech.parameters()], lr=1e-6)
        source = torch.Generator().manual_seed(0)
        self.latents = torch.randn(batch, self.generator.latent_dim, generator=source).to(device)
        self.mel = (-40 + 20 * torch.randn(batch, 40, 1024, generator=source)).to(device)
        self.nframes = torch.randint(300, 1024, (batch,), generator=source).to(device)
        channels = sizes(self.generator)[LAYER][0]
        self.units = (torch.rand(batch, channels, generator=source) < SHARE).to(device)
        self.impostors = [draw_impostors(batch, source).to(device) for _ in range(2)]

    def update(self, loss: Tensor) -> None:
        """Make one step of the optimiser on a scalar ``loss``."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def batched(job: Job, attempts: list[int]) -> None:
    """Make the step as training makes it; ``attempts`` that each pair needs are repeated for the batch."""
    positives = generate(job.generator, job.latents, [LAYER])
    image, speech = job.image(encoder_input(positives.images)), job.speech(job.mel, job.nframes)
    negatives = job.image(encoder_input(batched_negatives(job, attempts, positives, image, speech)))
    scores = similarity(image, speech.features, speech.nframes)
    against = aligned_similarity(negatives, speech.features, speech.nframes)
    job.update(sampled_margin_rank(scores, *job.impostors, MARGIN) + edited_negatives(scores, against, MARGIN))


def batched_negatives(job: Job, attempts: list[int], positives: Positives, image: Tensor, speech: SpeechMaps) -> Tensor:
    """Generate the negatives (B, 3, R, R), about -1 to 1, of the whole batch at once; ``image`` (B, D, H, W)."""
    found = heat(matchmaps(image.detach(), speech.features.detach()), speech.nframes)
    masks = region(found)
    needed = torch.tensor(attempts, device=job.device).repeat(len(image))[: len(image)]

    def propose(attempt: int, rows: Tensor) -> Proposal:
        threshold = torch.where(attempt + 1 >= needed[rows], -1.0, 1e9)
        return Proposal(masks[rows], {LAYER: job.units[rows]}, rows, threshold)

    return regenerate_until(job.generator, positives, found, propose, THRESHOLD, max(attempts) - 1).images


def one_by_one(job: Job, attempts: list[int]) -> None:
    """Make the same step in the manner of the original."""
    images = job.generator(job.latents)
    image, speech = job.image(encoder_input(images)), job.speech(job.mel, job.nframes)
    frames = speech.nframes.clamp(min=1).tolist()
    negatives = job.image(encoder_input(looped_negatives(job, attempts, images, image, speech)))

    def score(maps: Tensor, i: int, s: int) -> Tensor:
        table = torch.einsum("dhw,dt->hwt", maps[i], speech.features[s, :, : frames[s]])
        return table.amax(0).amax(0).mean()

    loss = images.new_zeros(())
    for i, (a, b) in enumerate(zip(*(impostors.tolist() for impostors in job.impostors), strict=True)):
        own = score(image, i, i)
        for other in (score(image, a, i), score(image, i, b)):
            loss = loss + (other - own + MARGIN).clamp(min=0)
    for i in range(len(images)):
        loss = loss + (score(negatives, i, i) - score(image, i, i) + MARGIN).clamp(min=0)
    job.update(loss / len(images))


def looped_negatives(job: Job, attempts: list[int], images: Tensor, image: Tensor, speech: SpeechMaps) -> Tensor:
    """Generate the negatives (B, 3, R, R) one after the other, from ``images`` (B, 3, R, R) and maps (B, D, H, W)."""
    frames = speech.nframes.clamp(min=1).tolist()
    made = [
        _one_negative(job, i, attempts[i % len(attempts)], images, image, speech.features[i, :, : frames[i]])
        for i in range(len(images))
    ]
    return torch.cat(made)


def _one_negative(job: Job, i: int, attempts: int, images: Tensor, image: Tensor, speech: Tensor) -> Tensor:
    matchmap = torch.einsum("dhw,dt->hwt", image[i], speech).detach().cpu().numpy()
    best = matchmap.max(axis=2)
    row, column, _ = np.unravel_index(matchmap.argmax(), matchmap.shape)
    mask = torch.from_numpy(_dilated(best > THRESHOLD * best.max(), row, column)).to(job.device)
    inside, cells = (
        F.interpolate(mask[None, None].float(), (resolution, resolution), mode="bilinear")[0, 0] >= 0.5
        for resolution in (images.shape[2], sizes(job.generator)[LAYER][1])
    )
    positive = encoder_input(images[i : i + 1])
    for _ in range(attempts):
        with torch.no_grad():
            job.generator(job.latents[i : i + 1])
            with edited(job.generator, {LAYER: Edit(job.units[i][:, None, None] & cells)}):
                negative = job.generator(job.latents[i : i + 1])
            difference = (encoder_input(negative) - positive) * inside
            (difference.norm() / (positive * inside).norm()).item()
    return negative


def _dilated(allowed: np.ndarray, row: int, column: int) -> np.ndarray:
    """Grow one region with a 3x3 square until nothing changes; with the border of its last dilation, as published."""
    grown = np.zeros_like(allowed)
    grown[row, column] = True
    while True:
        padded = np.pad(grown, 1)
        height, width = grown.shape
        wider = np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
        if (wider & allowed == grown).all():
            return wider
        grown = wider & allowed


def small_job(batch: int, device: torch.device) -> Job:
    """Return the networks of words_by_drawing/base.yaml with ``batch`` pairs."""
    image, speech = SmallImageEncoder(embedding_dim=128, width=32, downsample=8), SmallSpeechEncoder(128, 64, 3)
    return Job(batch, device, shipped.load("progan_world"), image, speech)


def compare(job: Job, repeats: int, everything: bool = True) -> list[Row]:
    """Time both ways for each number of attempts; not ``everything``: two numbers, and the step for one of them."""
    with torch.no_grad():
        positives = generate(job.generator, job.latents, [LAYER])
        image, speech = job.image(encoder_input(positives.images)), job.speech(job.mel, job.nframes)
    rows = []
    for name, attempts in ATTEMPTS.items():
        if not everything and name == LONGEST:
            continue
        generated = sum(attempts[i % len(attempts)] for i in range(len(image)))
        pairs = {
            "negatives": (
                partial(batched_negatives, job, attempts, positives, image, speech),
                partial(looped_negatives, job, attempts, positives.images, image, speech),
            ),
            "step": (partial(batched, job, attempts), partial(one_by_one, job, attempts)),
        }
        for part, ways in pairs.items():
            if not everything and part == "step" and name != TYPICAL:
                continue
            ours, loop = best_times(*ways, repeats=repeats, device=job.device)
            rows.append(Row(f"{part}, {name}", ours, loop, note=f"{generated} negatives for {len(image)} pairs"))
    return rows


def main() -> None:
    """Measure and print."""
    sizes = {
        "batch": (8, "pairs in a batch"),
        "repeats": (1, "timed calls of each kind"),
        "everything": (0, "1: all rows, which takes some minutes"),
    }
    chosen = options(__doc__, sizes)
    for device in devices():
        for name, make in {"paper's networks": Job, "small networks": small_job}.items():
            rows = compare(make(chosen.batch, torch.device(device)), chosen.repeats, bool(chosen.everything))
            title = f"Training with edited negatives, {LAYER}, {name}, {device}, {chosen.threads} thread(s)"
            print_table(title, rows)


if __name__ == "__main__":
    main()
