"""Encode a whole split over all ranks, for retrieval.

Shape letters: N rows of the split, b rows of a batch, D embedding size, T frames, H, W image map.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common import distributed
from common.errors import UserError
from datasets.loading.loader import Loader
from datasets.spoken_captions.dataset import SpokenCaptions
from engine.logs import progress
from models.speech_maps import SpeechMaps

Encode = Callable[[dict[str, Any], SpokenCaptions], tuple[Tensor, SpeechMaps]]


class Encoded(NamedTuple):
    """Maps of a split, on the CPU, in the order of the dataset's rows."""

    image: Tensor  # (N, D, H, W)
    speech: Tensor  # (N, D, T)
    nframes: Tensor  # (N,) valid frames of T
    index: Tensor  # (N,) rows of the dataset
    pooling: int | None  # input frames of 10 ms for each of the T frames; None where the T are words


@torch.no_grad()
def encode_all(loader: Loader, encode: Encode, limit: int | None = None) -> Encoded:
    """Encode a split or its first ``limit`` batches, each rank its share: each row once, the same on every rank.

    ``encode`` makes image maps (b, D, H, W) and speech maps (b, D, T) of a batch; a rank may have no rows. A UserError
    names the row if none can be used, or if maps are not finite.
    """
    rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    pooling: int | None = None
    for batch in progress(loader.batches(0), limit or loader.steps_per_epoch, "encoding"):
        image, speech = encode(batch, loader.dataset)
        pooling = speech.pooling
        _check_finite(loader.dataset, batch["index"], {"image": image, "speech": speech.features})
        rows.append((image.float().cpu(), speech.features.float().cpu(), speech.nframes.cpu(), batch["index"].cpu()))
        if limit is not None and len(rows) >= limit:
            break
    share = _concatenated(rows) if rows else None
    if distributed.world_size() > 1:
        share, pooling = _gather(share, pooling)
    if share is None:
        reason = next(iter(loader.skipped.values()), "see the warnings of the other processes")
        raise UserError(
            f"none of the {len(loader.dataset)} rows to evaluate on could be used; mend the files, one is: {reason}"
        )
    image, speech, nframes, index = share
    order = index.argsort()
    return Encoded(image[order], speech[order], nframes[order], index[order], pooling)


def _check_finite(dataset: SpokenCaptions, index: Tensor, maps: dict[str, Tensor]) -> None:
    """Refuse maps (b, ...) with NaN or infinity, by the first of their rows."""
    for name, values in maps.items():
        bad = (~values.isfinite().flatten(1).all(1)).nonzero()[:, 0]
        if len(bad):
            error = UserError(
                f"the {name} map of it is not finite, expected numbers; look at the weights of the encoder"
            )
            raise dataset.unusable(int(index[bad[0].item()]), error)


def _concatenated(rows: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """Put the batches of this rank together: images, speech (zeros up to the longest T), frame counts, indices."""
    image, speech, nframes, index = zip(*rows, strict=True)
    longest = max(part.shape[-1] for part in speech)
    padded = [torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in speech]
    return [torch.cat(parts) for parts in (image, padded, nframes, index)]


def _gather(share: list[Tensor] | None, pooling: int | None) -> tuple[list[Tensor] | None, int | None]:
    """Concatenate every rank's rows; the speech maps may differ in length, and a rank may have no rows (None)."""
    device = distributed.pick_device() if torch.distributed.get_backend() == "nccl" else torch.device("cpu")
    own = None if share is None else ([tensor.shape[1:] for tensor in share], pooling)
    known = [one for one in distributed.gather_objects(own) if one is not None]
    if not known:
        return None, None
    shapes, pooling = known[0]
    if share is None:
        kinds = (torch.float32, torch.float32, torch.int64, torch.int64)
        share = [torch.zeros(0, *shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)]
    longest = max(shapes[1][-1] for shapes, _ in known)
    image, speech, *others = share
    speech = torch.nn.functional.pad(speech, (0, longest - speech.shape[-1]))
    return [distributed.gather_uneven(tensor.to(device)).cpu() for tensor in (image, speech, *others)], pooling
