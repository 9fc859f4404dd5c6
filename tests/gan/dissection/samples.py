from gan.dissection.activations import Samples
from gan.dissection.label_maps import PackedMaps
from gan.dissection.quantiles import StreamingQuantiles


def samples_of(activations, maps, labels, categories):
    """Samples of activations (N, U, h, w) by layer and label maps, bool (N, L, H, W), that are at hand."""
    packed = PackedMaps(len(maps), len(labels), (maps.shape[2], maps.shape[3]), maps.device)
    packed.put(0, maps)
    samples = Samples(labels, categories, packed, dict(activations))
    for layer, values in activations.items():
        samples.quantiles[layer] = StreamingQuantiles(values.shape[1], device=values.device)
        samples.quantiles[layer].add(values)
    return samples
