"""Score a caption against candidate images: the part that recall, recall_selected and test_synthetic share."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from evaluation.choices import Choice, best_and_worst, choice_metrics, choices_section, write_choices
from gan.images import to_uint8
from tasks.words_by_drawing.experiments.experiment import Experiment

SHOWN = 4  # best and worst in the report
Score = Literal["similarity", "published"]
OTHER: dict[Score, Score] = {"similarity": "published", "published": "similarity"}


def choose(
    experiment: Experiment,
    row: int,
    candidates: Tensor,
    labels: Sequence[str],
    score: Score | None = None,
    padding: bool = False,
) -> Choice:
    """Score one caption against its own image and negatives.

    Args:
        experiment: weights and captions.
        row: of the caption.
        candidates: (K, 3, R, R) in about [-1, 1]; the first is the caption's own image.
        labels: K - 1 words on how each negative differs.
        score: which of the two scores of :meth:`tasks.words_by_drawing.experiments.encoders.Trained.scores` decides,
            the choice then holds both; None: the similarity alone.
        padding: whether the published score takes the caption's frames before pooling for those after it, as the public
            recall_selected does: from 1.28 s on, at 16 input frames for each, all frames count, padded ones too.

    Returns:
        The choice, with everything that a report shows of it.
    """
    sample = experiment.sample(row)
    speech = experiment.model.encode_speech(sample["mel"][None], torch.tensor([sample["nframes"]]))
    frames = torch.tensor([sample["nframes"]]) if padding else speech.nframes
    scores = {name: found[:, 0].numpy() for name, found in experiment.model.scores(candidates, speech, frames).items()}
    record = experiment.dataset.record(row)
    return Choice(
        record.uttid,
        record.text,
        scores[score or "similarity"],
        list(labels),
        [to_uint8(image).numpy() for image in candidates],
        experiment.dataset.waveform(row),
        None if score is None else scores[OTHER[score]],
    )


def finish_choices(
    experiment: Experiment, choices: Iterator[Choice], title: str, ks: Sequence[int], score: Score | None = None
) -> None:
    """Make every choice and write metrics.json, choices.csv and the report.

    Args:
        experiment: where to.
        choices: one for each caption, made as they are asked for.
        title: of the report.
        ks: recall@k for these.
        score: which one decided, where choices hold two; the other's recalls stand beside.

    Raises:
        ChoiceError: No caption could be tested.
    """
    made: list[Choice] = []
    for choice in choices:
        made.append(choice)
        if len(made) % (16 * SHOWN) == 0:  # images and sounds are kept for what the report may show, not for thousands
            _forget(made)
    metrics = choice_metrics(made, ks, None if score is None else OTHER[score])
    write_choices(experiment.folder.path / "choices.csv", made)
    shown = [choice for choice in best_and_worst(made, SHOWN) if choice.images]
    section = ("Choices: the clearest right ones to the clearest wrong ones", choices_section(shown))
    experiment.finish(f"{title}, {len(made)} captions", metrics, [section])


def _forget(made: list[Choice]) -> None:
    keep = {id(choice) for choice in best_and_worst(made, SHOWN)}
    for choice in made:
        if id(choice) not in keep:
            choice.images, choice.waveform = [], None
