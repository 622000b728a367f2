"""Gradient rules as formulas: read from the declarations' own source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from ..core.primitive import Primitive
from .wordings import STANDS_FOR, WORDED

_MOST = 1500  # characters
_SIGNS = {
    ast.Add: "+", ast.Sub: "−", ast.Mult: "·", ast.Div: "/", ast.MatMult: "@", ast.Mod: "%",
    ast.FloorDiv: "//", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_STRENGTH = {ast.Add: 1, ast.Sub: 1, ast.BitOr: 1, ast.BitXor: 1, ast.Pow: 3}
_INFIX = {
    "matmul": ("@", 2), "multiply": ("·", 2), "add": ("+", 1), "subtract": ("−", 1),
    "divide": ("/", 2),
}  # fmt: skip
_RAISED = {"2": "²", "3": "³"}
_ATOM = 9
_CONSTANTS = {
    "_LOG2": "ln 2", "_LOG10": "ln 10", "_TWO_OVER_SQRT_PI": "(2/√π)", "math.pi": "π",
}  # fmt: skip


def formulas_of(op: Primitive) -> list[dict[str, str]]:
    """Return the local derivatives of an operation: of each input, or of all by one rule."""
    if op.name in WORDED:
        return [{"input": name, "text": text} for name, text in WORDED[op.name].items()]
    names = ["all inputs"] if op.joint else list(op.inputs)
    return [
        {"input": name, "text": text}
        for name, rule in zip(names, op.rules, strict=False)
        if rule is not None and (text := text_of(rule))
    ]


def stands_for(op: Primitive) -> str | None:
    """Return what a fused operation is made of; None for one that isn't fused."""
    if op.name in STANDS_FOR:
        return STANDS_FOR[op.name]
    return None if op.decompose is None else text_of(op.decompose) or None


def text_of(function: Callable[..., Any]) -> str:
    """Return what a function computes, in the signs of mathematics; "" where its source is gone."""
    if "differentiated" in getattr(function, "__qualname__", ""):
        return "the chain rule, through what it stands for"
    found = _node_of(function)
    if found is None:
        return ""
    if isinstance(found, ast.Lambda):
        return _expression(found.body)[0]
    lines = []
    for statement in found.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the docstring
        lines.append(_statement(statement))
    text = "\n".join(lines)
    return text if len(text) <= _MOST else text[:_MOST].rpartition("\n")[0] + "\n…"


@functools.cache
def _functions(file: str) -> tuple[Any, ...]:
    try:
        with open(file, encoding="utf-8") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, ast.Lambda | ast.FunctionDef))


def _node_of(function: Callable[..., Any]) -> Any:
    """Return the syntax of a function; several may stand on its line."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    names = code.co_varnames[: code.co_argcount]
    first = next(((a, c) for a, _, c, _ in code.co_positions() if c is not None and a), None)
    found = None
    for node in _functions(code.co_filename):
        start = min([node.lineno, *[d.lineno for d in getattr(node, "decorator_list", ())]])
        if start != code.co_firstlineno or tuple(a.arg for a in node.args.args) != names:
            continue
        if isinstance(node, ast.FunctionDef):
            return node
        if found is None or (first is not None and _holds(node.body, code)):
            found = node
    return found


def _holds(body: ast.expr, code: Any) -> bool:
    """Whether the positions that the code names lie within an expression."""
    places = [
        (line, column) for line, _, column, _ in code.co_positions()
        if line is not None and column is not None and (line, column) != (code.co_firstlineno, 0)
    ]  # fmt: skip
    start = (body.lineno, body.col_offset)
    end = (body.end_lineno or body.lineno, body.end_col_offset or 0)
    return bool(places) and all(start <= place <= end for place in places)


def _statement(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Return) and statement.value is not None:
        return _expression(statement.value)[0]
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return f"{ast.unparse(statement.targets[0])} = {_expression(statement.value)[0]}"
    if isinstance(statement, ast.If):
        parts = [f"if {_expression(statement.test)[0]}:"]
        parts += [textwrap.indent(_branch(one), "    ") for one in statement.body]
        if statement.orelse:
            parts.append("else:")
            parts += [textwrap.indent(_branch(one), "    ") for one in statement.orelse]
        return "\n".join(parts)
    return ast.unparse(statement).replace("k.", "")


def _branch(statement: ast.stmt) -> str:
    """Return the text of a statement after which a rule may be at its end."""
    text = _statement(statement)
    return f"result: {text}" if isinstance(statement, ast.Return) else text


def _expression(node: ast.expr) -> tuple[str, int]:
    """Return the text of an expression, and how strongly it binds."""
    if isinstance(node, ast.BinOp):
        return _binary(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"−{_bound(node.operand, 2)}", 2
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.Tuple | ast.List):
        inner = ", ".join(_expression(one)[0] for one in node.elts)
        if isinstance(node, ast.Tuple) and len(node.elts) == 1:
            inner += ","
        return (f"[{inner}]" if isinstance(node, ast.List) else f"({inner})"), _ATOM
    if isinstance(node, ast.IfExp):
        parts = [_expression(one)[0] for one in (node.body, node.test, node.orelse)]
        return "{} if {} else {}".format(*parts), 0
    if isinstance(node, ast.Compare):
        return ast.unparse(node).replace("k.", "").replace(">=", "≥").replace("<=", "≤"), 0
    if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "k":
        return node.attr, _ATOM
    text = ast.unparse(node).replace("k.", "")
    if text in _CONSTANTS:
        return _CONSTANTS[text], _ATOM
    return text, _ATOM if isinstance(node, ast.Name | ast.Constant | ast.Subscript) else 0


def _binary(node: ast.BinOp) -> tuple[str, int]:
    if isinstance(node.op, ast.Pow):
        exponent = ast.unparse(node.right)
        base = _bound(node.left, 4)
        return base + (_RAISED.get(exponent) or f"^{_bound(node.right, 4)}"), 3
    strength = _STRENGTH.get(type(node.op), 2)
    if isinstance(node.op, ast.Mult):
        if ast.dump(node.left) == ast.dump(node.right):
            return _bound(node.left, 4) + "²", 3
        left: Any = node.left
        twice = isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult)
        if twice and ast.dump(left.right) == ast.dump(node.right):  # g * out * out
            return f"{_bound(left.left, 2)} · {_bound(node.right, 4)}²", 2
    sign = _SIGNS.get(type(node.op))
    if sign is None:
        return ast.unparse(node).replace("k.", ""), 0
    return f"{_bound(node.left, strength)} {sign} {_bound(node.right, strength + 1)}", strength


def _call(node: ast.Call) -> tuple[str, int]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
    of_k = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "k"
    if not of_k and isinstance(node.func, ast.Attribute):
        name = ast.unparse(node.func)
    if of_k and not node.keywords:
        if name in _INFIX and len(node.args) == 2:
            sign, strength = _INFIX[name]
            left, right = node.args
            return f"{_bound(left, strength)} {sign} {_bound(right, strength + 1)}", strength
        if name in ("mT", "matrix_transpose") and len(node.args) == 1:
            return _bound(node.args[0], _ATOM) + "ᵀ", _ATOM
        if name == "negative" and len(node.args) == 1:
            return f"−{_bound(node.args[0], 2)}", 2
        if name == "zeros_like" and len(node.args) == 1:
            return "0", _ATOM
        if name == "ones_like" and len(node.args) == 1:
            return "1", _ATOM
    inner = [_expression(one)[0] for one in node.args]
    inner += [f"{word.arg}={_expression(word.value)[0]}" for word in node.keywords]
    return f"{name}({', '.join(inner)})", _ATOM


def _bound(node: ast.expr, strength: int) -> str:
    text, own = _expression(node)
    return text if own >= strength else f"({text})"
