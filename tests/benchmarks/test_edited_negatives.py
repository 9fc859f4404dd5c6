"""Both sides of the benchmark of edited negatives draw the same images."""

import torch

from benchmarks.edited_negatives import ATTEMPTS, LAYER, Job, batched_negatives, compare, looped_negatives
from gan.editing.regenerate import generate
from gan.images import encoder_input
from gan.progan.generator import ProganGenerator
from models.small import SmallImageEncoder, SmallSpeechEncoder


def test_a_batch_and_one_image_at_a_time_draw_the_same_negatives():
    torch.manual_seed(0)  # the networks below are made before Job seeds anything
    job = Job(
        3, torch.device("cpu"), ProganGenerator(8, [8, 8, 4]), SmallImageEncoder(16, 8, 4), SmallSpeechEncoder(16, 8)
    )
    positives = generate(job.generator, job.latents, [LAYER])
    with torch.no_grad():
        image, speech = job.image(encoder_input(positives.images)), job.speech(job.mel, job.nframes)
    ours = batched_negatives(job, [1, 2], positives, image, speech)
    expected = looped_negatives(job, [1, 2], positives.images, image, speech)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)  # batches are summed in another order
    assert not torch.equal(ours, positives.images)
    rows = compare(job, 1)
    assert len(rows) == 2 * len(ATTEMPTS)
    assert all(row.seconds > 0 and row.baseline > 0 for row in rows)
