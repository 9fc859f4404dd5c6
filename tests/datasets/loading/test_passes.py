from datasets.loading.passes import Passes


def test_every_pass_is_a_shuffle_of_its_own():
    passes = Passes(10, seed=4)
    first, second = passes.rows(0, 10), passes.rows(10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert Passes(10, seed=4).rows(8, 4) == first[8:] + second[:2]
    assert Passes(10, seed=5).rows(0, 10) != first
