"""The thread that generates: batches of several requests, a bounded queue, failures, the end."""

import threading
from unittest.mock import Mock

import numpy as np
import pytest

from tasks.attngan.sampling.text_to_image import Draw
from tasks.attngan.serve.worker import BusyError, Worker


class Recorder:
    """A model whose images are numbers; it waits at each batch until it is let go."""

    batch_size = 4

    def __init__(self):
        self.batches, self.begun, self.let_go = [], threading.Semaphore(0), threading.Semaphore(0)

    def draw(self, draws):
        self.batches.append([one.copy for one in draws])
        self.begun.release()
        assert self.let_go.acquire(timeout=20)
        if any(one.caption == "fails" for one in draws):
            raise RuntimeError("out of memory")
        yield from (one.copy for one in draws)


def draws(*copies, caption="bird"):
    return [Draw(caption, 0, 0, copy) for copy in copies]


@pytest.fixture
def model():
    return Recorder()


@pytest.fixture
def worker(model):
    worker = Worker(model, longest_queue=10, wait_seconds=0.0)
    worker.start()
    yield worker
    for _ in range(20):
        model.let_go.release()
    worker.close()
    assert not worker.alive


def test_requests_that_come_while_a_batch_is_at_work_share_the_next(worker, model):
    first = worker.submit(draws(0))
    assert model.begun.acquire(timeout=20)
    others = [*worker.submit(draws(1, 2)), *worker.submit(draws(3)), *worker.submit(draws(4, 5))]
    assert worker.queued == 5
    for _ in range(3):
        model.let_go.release()
    assert [future.result(20) for future in (*first, *others)] == [0, 1, 2, 3, 4, 5]
    assert model.batches == [[0], [1, 2, 3, 4], [5]]


def test_a_request_is_queued_whole_or_not_at_all(worker, model):
    worker.submit(draws(0))
    assert model.begun.acquire(timeout=20)
    worker.submit(draws(*range(8)))
    with pytest.raises(BusyError, match="8 images are waited for and the queue holds 10: try again soon"):
        worker.submit(draws(8, 9, 10))
    assert worker.queued == 8
    worker.submit(draws(8, 9))


def test_a_failure_belongs_to_its_batch_and_the_thread_goes_on(worker, model):
    (failing,) = worker.submit(draws(0, caption="fails"))
    model.let_go.release()
    with pytest.raises(RuntimeError, match="out of memory"):
        failing.result(20)
    (next_one,) = worker.submit(draws(1))
    model.let_go.release()
    assert next_one.result(20) == 1


def test_images_that_nobody_waits_for_are_not_generated(worker, model):
    worker.submit(draws(0))
    assert model.begun.acquire(timeout=20)
    unwanted, wanted = worker.submit(draws(1, 2))
    unwanted.cancel()
    model.let_go.release(2)
    assert wanted.result(20) == 2
    assert model.batches == [[0], [2]]


def test_batches_wait_for_more_images_but_not_when_they_are_full(model):
    counted = Mock()
    worker = Worker(model, 100, wait_seconds=30.0, counted=counted)
    futures = worker.submit(draws(0, 1, 2))
    worker.start()
    assert not model.begun.acquire(timeout=0.2)
    futures += worker.submit(draws(3))
    model.let_go.release()
    assert [future.result(20) for future in futures] == [0, 1, 2, 3]
    worker.close()
    assert [call.args[0] for call in counted.call_args_list] == [4]
    with pytest.raises(BusyError):
        worker.submit(draws(4))


def test_a_real_model_gives_each_request_its_own_image(random_text_to_image):
    model = random_text_to_image
    worker = Worker(model, 100, 0.0)
    captions = ["a red cube", "bird", "the small blue sphere with a yellow bird"] * 5
    futures = [worker.submit([Draw(caption, seed)])[0] for seed, caption in enumerate(captions)]
    worker.start()
    for seed, (caption, future) in enumerate(zip(captions, futures, strict=True)):
        made = future.result(20)
        assert (made.draw.caption, made.draw.seed) == (caption, seed)
        (alone,) = model.draw([Draw(caption, seed)])
        np.testing.assert_allclose(made.images[-1].astype(int), alone.images[-1], atol=1)
    worker.close()
