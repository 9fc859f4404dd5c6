"""Read the clusters that a trained run keeps in its checkpoints, as selections and recall use them."""

from collections.abc import Sequence

from common.errors import UserError
from engine.init_from import read_checkpoint
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.cluster_buffers import FoundClusters, ranked_layers, units_buffer


def clusters_of_run(model: ModelSource, layers: Sequence[str]) -> FoundClusters:
    """Read the clusters that a run keeps in its checkpoints, with the ranked units of some layers.

    A published checkpoint, or a run without clusters or without those of a layer, is a UserError.
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
