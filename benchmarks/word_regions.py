"""Word-region losses of AttnGAN, forward and backward, against a loop over captions as the public code has it.

    python -m benchmarks.word_regions

The sizes are those of the published matching model: batches of 48 pairs, captions of up to 18 words, 17 x 17 regions.
"""

import torch
from torch import Tensor

from benchmarks.table import Row, best_times, devices, options, print_table
from benchmarks.triplet import backward
from losses import matching_losses
from models.word_region_similarity import cosine, word_scores

GAMMA1, GAMMA2 = 4.0, 5.0


def loop_scores(words: Tensor, lengths: Tensor, regions: Tensor) -> Tensor:
    """Score words (B, D, L) against images (I, D, H, W) as the public code does, caption by caption: (I, B)."""
    context = regions.flatten(2)
    images, _, regions = context.shape
    columns = []
    for row, length in enumerate(lengths.tolist()):
        word = words[row, :, :length].unsqueeze(0).repeat(images, 1, 1)
        attention = torch.bmm(context.transpose(1, 2).contiguous(), word).view(-1, length).softmax(dim=1)
        attention = attention.view(images, regions, length).transpose(1, 2).contiguous().view(-1, regions)
        attention = (GAMMA1 * attention).softmax(dim=1).view(images, length, regions).transpose(1, 2).contiguous()
        found = torch.bmm(context, attention).transpose(1, 2).contiguous().view(images * length, -1)
        cosines = cosine(word.transpose(1, 2).contiguous().view(images * length, -1), found).view(images, length)
        columns.append((GAMMA2 * cosines).exp().sum(dim=1).log())
    return torch.stack(columns, dim=1)


def main() -> None:
    """Read the sizes, measure, print the table."""
    read = options(
        __doc__,
        {
            "batch": (48, "pairs"),
            "channels": (256, "size of an embedding"),
            "resolution": (17, "regions along height and width"),
            "words": (18, "words of the longest caption"),
            "repeats": (3, "timed calls, the best counts"),
        },
    )
    torch.manual_seed(0)
    rows = []
    for device in devices():
        words = torch.randn(read.batch, read.channels, read.words, device=device, requires_grad=True)
        regions = torch.randn(
            read.batch, read.channels, read.resolution, read.resolution, device=device, requires_grad=True
        )
        lengths = torch.randint(1 + read.words // 2, read.words + 1, (read.batch,)).to(device)

        def ours(words: Tensor = words, lengths: Tensor = lengths, regions: Tensor = regions) -> Tensor:
            return sum(matching_losses(word_scores(words, lengths, regions, GAMMA1, GAMMA2)))

        def slow(words: Tensor = words, lengths: Tensor = lengths, regions: Tensor = regions) -> Tensor:
            return sum(matching_losses(loop_scores(words, lengths, regions)))

        torch.testing.assert_close(ours(), slow(), rtol=1e-3, atol=1e-3)
        ways = (backward(way, [words, regions]) for way in (ours, slow))
        seconds, baseline = best_times(*ways, repeats=read.repeats, device=device)
        rows.append(
            Row(f"words against regions, {device}", seconds, baseline, note=f"{read.batch} x {read.batch} pairs")
        )
    print_table(f"Losses, forward and backward, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()
