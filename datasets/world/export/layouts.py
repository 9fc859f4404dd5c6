"""The published layouts by the names that a world's settings use."""

from datasets.world.export.birds import birds_finish, birds_media
from datasets.world.export.iclevr import iclevr_finish, iclevr_media
from datasets.world.export.records import (
    Layout,
    clevrgan_finish,
    clevrgan_media,
    ground_truth_finish,
    ground_truth_media,
    places_finish,
    places_media,
)

GROUND_TRUTH = Layout(ground_truth_media, ground_truth_finish)
LAYOUTS = {
    "places": Layout(places_media, places_finish),
    "gan_clevr": Layout(clevrgan_media, clevrgan_finish),
    "birds": Layout(birds_media, birds_finish),
    "iclevr": Layout(iclevr_media, iclevr_finish),
}
