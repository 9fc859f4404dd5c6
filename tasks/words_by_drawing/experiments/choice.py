"""Score a caption against candidate images: the part that recall, recall_selected and test_synthetic share."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from evaluation.choices import Choice, best_and_worst, choice_metrics, write_choices
from evaluation.report.choices import choices_section
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
    """Score one caption against candidate images (K, 3, R, R), about -1 to 1, the first its own, with all for a report.

    ``labels`` say in K - 1 words how each negative differs. ``score`` is which of the two scores of
    :meth:`tasks.words_by_drawing.experiments.encoders.Trained.scores` decides, the choice then holds both; None: the
    similarity alone. With ``padding`` the published score takes the caption's frames before pooling for those after it,
    as the public recall_selected does: from 1.28 s on, at 16 input frames for each, all frames count, padded ones too.
    """
    sample = experiment.dataset[row]
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
    """Make every choice and write metrics.json, choices.csv and the report; without any a ChoiceError.

    ``ks`` are those of recall@k. If choices hold two scores, ``score`` decided; the other's recalls stand beside.
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
