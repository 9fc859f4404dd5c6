import numpy as np
import pytest

from tests.parity.expressions import ExpressionError, evaluate


@pytest.mark.parametrize(
    "text",
    [
        "(10 * np.random.RandomState(1).standard_normal((2, 3))).astype('float32')",
        "np.clip(-40 + 20 * np.random.RandomState(2).standard_normal((2, 1, 4)), -80, 0).astype('float32')",
        "(3 * (np.repeat(np.random.RandomState(3).standard_normal((2, 4)), 16, axis=1) + 0.3)).astype(np.float32)",
        "np.random.RandomState(4).standard_normal(2 * 5).reshape(2, 5)",
        "np.where(np.arange(6) % 2 == 0, np.sin(2 * np.pi * np.arange(6) / 7), -1.0)[None, ::2]",
        "np.random.default_rng(5).integers(0, 9, size=(2, 2)).T",
    ],
)
def test_as_numpy(text):
    np.testing.assert_array_equal(evaluate(text), eval(text, {"np": np}))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "open('x')",
        "np.load('x.npy')",
        "np.fromfile('x')",
        "np.zeros(3).tofile('x')",
        "np.__builtins__",
        "np.zeros(1).__class__",
        "np.random.seed(1)",
        "np.random.RandomState(1).get_state()",
        "(lambda: 1)()",
        "[x for x in (1, 2)]",
        "'a'.join(('b', 'c'))",
        "np.zeros(*(3,))",
        "np.zeros(**{'shape': 3})",
    ],
)
def test_nothing_else(text):
    with pytest.raises(ExpressionError, match="is not allowed in a case's expression"):
        evaluate(text)


def test_not_an_expression():
    with pytest.raises(ExpressionError, match="is not an expression"):
        evaluate("x = 1")
