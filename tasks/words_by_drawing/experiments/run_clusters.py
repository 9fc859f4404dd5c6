"""Edits with the clusters that a trained run keeps in its checkpoints, or at random: what selections and recall share.

Shape letters: B pairs, D embedding size, h, w image map, K clusters, n ranked units of a layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from common.errors import UserError
from engine.init_from import read_checkpoint
from gan.editing.regenerate import Negatives, Positives
from gan.editing.regions import BORDER, Heat, at_peaks
from gan.editing.strategies import cluster_edits, cluster_similarities, random_edits
from tasks.words_by_drawing.cluster_buffers import FoundClusters, ranked_layers, units_buffer
from tasks.words_by_drawing.experiments.encoders import ModelSource


def clusters_of_run(model: ModelSource, layers: Sequence[str]) -> FoundClusters:
    """Read the clusters that a drawing run keeps in its checkpoints.

    Args:
        model: the run.
        layers: of the generator, whose ranked units are needed.

    Returns:
        The clusters and the ranked units of those layers.

    Raises:
        UserError: It is a published checkpoint, or the run has no clusters, or none for one of the layers.
    """
    if model.run is None:
        raise UserError("model.published holds no clusters; give a run of this project, or choose random units")
    path, state = read_checkpoint(model.run)
    found = state["modules"].get("clusters")
    if found is None or int(found["count"]) == 0:
        raise UserError(
            f"{path} holds no clusters; train with task.objective.negatives.clustering, or choose random units"
        )
    ranked = ranked_layers(found)
    missing = [layer for layer in layers if layer not in ranked]
    if missing:
        raise UserError(f"{path} ranks the units of {', '.join(ranked)}, not of {missing[0]!r}; name only those layers")
    number = int(found["count"])
    units = {layer: found[units_buffer(layer)][:number] for layer in layers}
    return FoundClusters(found["centroids"][:number], found["mean"], found["std"], units)


def edit(
    generator: nn.Module,
    positives: Positives,
    found: Heat,
    maps: Tensor,
    clusters: FoundClusters | None,
    source: torch.Generator,
    max_retries: int,
    probability: float = 0.5,
    apart: bool = False,
    border: int = BORDER,
    probability_step: float = 0.0,
) -> Negatives:
    """Edit images where their captions' similarity is highest.

    Args:
        generator: draws them.
        positives: (B) images, of :func:`gan.editing.regenerate.generate` with the layers to edit.
        found: heat maps of the pairs.
        maps: (B, D, h, w) features of the images.
        clusters: choose the units; None: each is switched off with ``probability``.
        source: of random numbers.
        max_retries: attempts after the first.
        probability: of random units.
        apart: whether row j starts from its j-th nearest cluster, for several negatives of one image.
        border: cells around the connected region that are edited too.
        probability_step: by which the probability rises, see :func:`gan.editing.strategies.random_edits`.

    Returns:
        The negatives.

    Raises:
        EditingError: The clusters are another model's or another generator's.
    """
    if clusters is None:
        return random_edits(
            generator,
            positives,
            found,
            source,
            max_retries,
            probability,
            border=border,
            probability_step=probability_step,
        )
    near = cluster_similarities(at_peaks(maps, found.peaks), clusters.centroids, clusters.mean, clusters.std)
    near = one_cluster_each(near) if apart else near
    return cluster_edits(generator, positives, found, near, clusters.units, source, max_retries, border=border)


def one_cluster_each(similarities: Tensor) -> Tensor:
    """Leave out of row j the j clusters that are nearest to it, beginning anew when there are no more.

    Args:
        similarities: (B, K).

    Returns:
        (B, K) with negative infinity for what is left out.
    """
    position = similarities.argsort(1, descending=True).argsort(1)
    skipped = torch.arange(len(similarities), device=position.device) % similarities.shape[1]
    return similarities.masked_fill(position < skipped[:, None], -torch.inf)
