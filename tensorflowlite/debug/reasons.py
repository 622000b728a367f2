"""Why an implementation declines its arguments: the condition in its source that isn't met."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

_FALSE = "doesn't hold"


def reason_of(accepts: Callable[..., bool], args: Sequence[Any]) -> str:
    """Return which condition of ``accepts`` the arguments don't meet; "" where it can't be told.

    The function runs once more, under Python's tracing, which says where it returned; of the
    expression there the first part that is false is the reason.

    Examples
    --------
    >>> from tensorflowlite.backend.cuda.kernels import _within
    >>> reason_of(_within, ((), 0, (1, 2)))
    "0 < len(sizes) <= len(most) doesn't hold"
    """
    code = getattr(accepts, "__code__", None)
    if code is None:
        return ""
    ended = _returned(accepts, code, args)
    if ended is None:
        return ""
    line, names = ended
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError):  # no source, or a lambda in the middle of something
        return ""
    return _failed(tree, line - code.co_firstlineno + 1, {**accepts.__globals__, **names})


def _returned(
    accepts: Callable[..., bool], code: CodeType, args: Sequence[Any]
) -> tuple[int, dict[str, Any]] | None:
    """Run ``accepts`` and return the line that it returned from, and its variables there."""
    ended: list[tuple[int, dict[str, Any]]] = []

    def within(frame: Any, event: str, value: Any) -> Any:
        if event == "return":
            ended.append((frame.f_lineno, dict(frame.f_locals)))
        return within

    before = sys.gettrace()
    sys.settrace(lambda frame, event, value: within if frame.f_code is code else None)
    try:
        taken = accepts(*args)
    finally:
        sys.settrace(before)
    return ended[-1] if ended and not taken else None


def _failed(tree: ast.AST, line: int, names: dict[str, Any]) -> str:
    """Return the first part that is false of what a line returns."""
    holding = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If | ast.Return) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not holding or not isinstance(holding[-1], ast.Return) or holding[-1].value is None:
        return ""
    value = holding[-1].value
    if isinstance(value, ast.Constant):  # ``if ...: return False``
        asked = [node for node in holding if isinstance(node, ast.If)]
        if not asked:
            return ""
        met = any(one.lineno <= line <= (one.end_lineno or 0) for one in asked[-1].body)
        return f"{ast.unparse(asked[-1].test)} {'holds' if met else _FALSE}"
    for part in _parts(value):
        try:
            met = eval(compile(ast.Expression(part), "accepts", "eval"), names)
        except Exception:  # a name of an inner scope, say
            return ""
        if not met:
            return f"{ast.unparse(part)} {_FALSE}"
    return ""


def _parts(value: ast.expr) -> list[ast.expr]:
    """Return what an expression joins by ``and``; itself where it joins nothing."""
    wrapped = isinstance(value, ast.Call) and ast.unparse(value.func) == "bool"
    if isinstance(value, ast.Call) and wrapped and len(value.args) == 1:
        return _parts(value.args[0])
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.And):
        return [part for one in value.values for part in _parts(one)]
    return [value]
