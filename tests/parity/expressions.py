"""NumPy expressions from case files, evaluated node by node: only what is listed here can be called."""

# ruff: noqa: SIM905 (forty words read better on three lines than on forty)

import ast
import operator
from typing import Any

import numpy as np

FUNCTIONS = frozenset(
    "abs arange array asarray ceil clip concatenate cos cumsum exp eye float32 float64 floor full hstack int16 int32 "
    "int64 isclose linspace log log10 maximum meshgrid minimum mod newaxis ones outer pi repeat round sign sin sqrt "
    "stack tanh tile uint8 vstack where zeros".split()
)
RANDOM = frozenset({"RandomState", "default_rng"})
METHODS = frozenset(
    "T astype choice copy cumsum exponential integers max mean min normal permutation randint random random_sample "
    "ravel repeat reshape rand randn round shape size standard_normal std sum swapaxes transpose uniform".split()
)
BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert}
COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class ExpressionError(ValueError):
    """An expression uses something outside the list."""


class _Numpy:
    """Stands for the name ``np``; attributes are looked up in the lists above."""


class _NumpyRandom:
    """Stands for ``np.random``."""


def evaluate(text: str) -> Any:
    """Evaluate a NumPy expression in which ``np`` is the only name.

    Args:
        text: For example ``np.random.RandomState(1).standard_normal((2, 3)).astype('float32')``.

    Returns:
        The value.

    Raises:
        ExpressionError: It uses a name, attribute or construct that is not listed.
    """
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"{text!r} is not an expression: {error.msg}") from error
    return _value(tree.body)


def _value(node: ast.AST) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="np"):
            return _Numpy
        case ast.Tuple() | ast.List():
            kind = tuple if isinstance(node, ast.Tuple) else list
            return kind(_value(item) for item in node.elts)
        case ast.Attribute():
            return _attribute(_value(node.value), node.attr)
        case ast.Call():
            arguments = [_value(item) for item in node.args]
            named = {item.arg: _value(item.value) for item in node.keywords if item.arg}
            if len(named) != len(node.keywords):
                raise ExpressionError("** is not allowed in a case's expression")
            return _value(node.func)(*arguments, **named)
        case ast.BinOp() if type(node.op) in BINARY:
            return BINARY[type(node.op)](_value(node.left), _value(node.right))
        case ast.UnaryOp() if type(node.op) in UNARY:
            return UNARY[type(node.op)](_value(node.operand))
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return COMPARISONS[type(op)](_value(node.left), _value(right))
        case ast.Subscript():
            return _value(node.value)[_value(node.slice)]
        case ast.Slice():
            return slice(*(None if part is None else _value(part) for part in (node.lower, node.upper, node.step)))
    raise ExpressionError(f"{ast.unparse(node)!r} is not allowed in a case's expression")


def _attribute(owner: Any, name: str) -> Any:
    if owner is _Numpy and name == "random":
        return _NumpyRandom
    if owner is _Numpy and name in FUNCTIONS:
        return getattr(np, name)
    if owner is _NumpyRandom and name in RANDOM:
        return getattr(np.random, name)
    numeric = isinstance(owner, np.ndarray | np.generic | np.random.RandomState | np.random.Generator)
    if numeric and name in METHODS:
        return getattr(owner, name)
    raise ExpressionError(f".{name} is not allowed in a case's expression")
