"""Samples per second of training steps: DAVEnet with VGG16, and the small encoders, on this machine.

    python -m benchmarks.training

Whole steps (forward, losses, backward, update) on random images of 128 pixels and captions of 1,024 frames, on the
GPU where there is one. The baseline of each row is a plain loop that compares the pairs one by one, as the originals
do, around the same networks and the same optimiser.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.table import Row, best_times, options, print_table
from losses import draw_impostors, sampled_triplet
from models.davenet import DavenetSpeech
from models.image_encoders import Vgg16Encoder
from models.matchmap import similarity
from models.small import SmallImageEncoder, SmallSpeechEncoder


def batched_loss(image: Tensor, speech: Tensor, nframes: Tensor, impostors: Tensor) -> Tensor:
    """Compute both directions of the sampled triplet from one similarity matrix of (B, D, H, W) and (B, D, T)."""
    scores = similarity(image, speech, nframes)
    return sampled_triplet(scores, impostors, 1.0) + sampled_triplet(scores.T, impostors, 1.0)


def looped_loss(image: Tensor, speech: Tensor, nframes: Tensor, impostors: Tensor) -> Tensor:
    """Compute the same value pair by pair."""

    def score(i: int, s: int) -> Tensor:
        matchmap = torch.einsum("dhw,dt->hwt", image[i], speech[s, :, : int(nframes[s])])
        return matchmap.flatten(0, 1).amax(0).mean()

    total = image.new_zeros(())
    for i, impostor in enumerate(impostors.tolist()):
        own = score(i, i)
        total = total + (score(i, impostor) - own + 1).clamp(min=0) + (score(impostor, i) - own + 1).clamp(min=0)
    return total / len(impostors)


def training_step(
    image: nn.Module, speech: nn.Module, loss: Callable[..., Tensor], batch: int, device: torch.device
) -> Callable[[], None]:
    """Return what makes one training step of ``batch`` pairs when it is called, in bf16 on a GPU."""
    image, speech = image.to(device), speech.to(device)
    optimizer = torch.optim.Adam([*image.parameters(), *speech.parameters()], lr=1e-5)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 128, 128, generator=generator).to(device)
    mel = (-40 + 20 * torch.randn(batch, 40, 1024, generator=generator)).to(device)
    nframes = torch.randint(300, 1024, (batch,), generator=generator).to(device)
    impostors = draw_impostors(batch, generator).to(device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            maps, captions = image(images), speech(mel, nframes)
        value = loss(maps.float(), captions.features.float(), captions.nframes, impostors)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def main() -> None:
    """Time both pairs of encoders."""
    read = options(
        __doc__, {"batch_size": (8, "pairs of a step"), "steps": (3, "timed steps of each row, the best counts")}
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = {
        "DAVEnet large + VGG16": lambda: (Vgg16Encoder(512), DavenetSpeech("large", 512)),
        "small encoders": lambda: (SmallImageEncoder(128), SmallSpeechEncoder(128)),
    }
    rows = []
    for name, make in pairs.items():
        ways = (training_step(*make(), loss, read.batch_size, device) for loss in (batched_loss, looped_loss))
        ours, loop = best_times(*ways, repeats=read.steps, device=device)
        note = f"batch {read.batch_size}, {read.batch_size / ours:.1f} samples/s; baseline: pairs one by one"
        rows.append(Row(name, ours, loop, note=note))
    print_table(f"One training step on {device}, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()
