"""The published layouts by the names that a world's settings use."""

from datasets.world.export import birds, iclevr, records
from datasets.world.export.records import Layout

GROUND_TRUTH = Layout(records.ground_truth_media, records.ground_truth_finish)
LAYOUTS = {
    "places": Layout(records.places_media, records.places_finish),
    "gan_clevr": Layout(records.clevrgan_media, records.clevrgan_finish),
    "birds": Layout(birds.birds_media, birds.birds_finish),
    "iclevr": Layout(iclevr.iclevr_media, iclevr.iclevr_finish),
}
