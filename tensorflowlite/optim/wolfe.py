"""A line search: a length that fulfils the strong Wolfe conditions.

Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6, with cubic
interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..core.tensor import Tensor

DECREASE = 1e-4  # the share of the predicted decrease that is enough
FLATTER = 0.9  # the share of the first slope that is flat enough


class Point(NamedTuple):
    """What is known about a length: loss, gradient, and slope along the direction."""

    length: float
    loss: float
    gradient: Tensor
    slope: float


def between(one: Point, two: Point, bounds: tuple[float, float] | None = None) -> float:
    """Return where the cubic through two points, with their slopes, is least within bounds."""
    low, high = bounds or sorted((one.length, two.length))
    left, right = (one, two) if one.length <= two.length else (two, one)
    across = one.slope + two.slope - 3 * (one.loss - two.loss) / (one.length - two.length)
    square = across * across - one.slope * two.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    share = (right.slope + root - across) / (right.slope - left.slope + 2 * root)
    return min(max(right.length - (right.length - left.length) * share, low), high)


def search(
    at: Callable[[float], Point],
    start: Point,
    length: float,
    widest: float,
    tolerance: float,
    most: int,
) -> tuple[Point, int]:
    """Search along a direction.

    Parameters
    ----------
    at
        Evaluates a length.
    start
        Length zero.
    length
        The first to try.
    widest
        The greatest element of the direction.
    tolerance
        Changes of parameters below this end the search.
    most
        How many lengths to try beyond the first.

    Returns
    -------
    tuple
        The point found, and how many lengths were evaluated.
    """
    bracket, tries, done = _bracket(at, start, length, most)
    if not done:
        bracket, tries = _narrow(at, start, bracket, widest, tolerance, tries, most)
    return min(bracket, key=lambda point: point.loss), tries + 1


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + DECREASE * point.length * start.slope


def _bracket(
    at: Callable[[float], Point], start: Point, length: float, most: int
) -> tuple[list[Point], int, bool]:
    """Go on until two points enclose a good one, or one is good itself."""
    before, point = start, at(length)
    for tries in range(most):
        if _too_high(point, start) or (tries > 1 and point.loss >= before.loss):
            return [before, point], tries, False
        if abs(point.slope) <= -FLATTER * start.slope:
            return [point], tries, True
        if point.slope >= 0:
            return [before, point], tries, False
        t = point.length
        further = between(before, point, (t + 0.01 * (t - before.length), t * 10))
        before, point = point, at(further)
    return [start, point], max(most, 0), False


def _narrow(
    at: Callable[[float], Point],
    start: Point,
    bracket: list[Point],
    widest: float,
    tolerance: float,
    tries: int,
    most: int,
) -> tuple[list[Point], int]:
    """Draw the bracket together around a good point."""
    low, high = bracket if bracket[0].loss <= bracket[-1].loss else bracket[::-1]
    # The interpolation and ties are by the order in which the points were found.
    places = [low, high] if low is bracket[0] else [high, low]
    stuck = False
    while tries < most:
        ends = sorted((low.length, high.length))
        if (ends[1] - ends[0]) * widest < tolerance:
            break
        t = between(places[0], places[1])
        margin = 0.1 * (ends[1] - ends[0])
        if min(ends[1] - t, t - ends[0]) < margin:
            if stuck or t >= ends[1] or t <= ends[0]:
                t = ends[1] - margin if abs(t - ends[1]) < abs(t - ends[0]) else ends[0] + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = at(t)
        tries += 1
        first_is_low = places[0] is low
        if _too_high(point, start) or point.loss >= low.loss:
            high = point
            places = [low, high] if first_is_low else [high, low]
            if places[0].loss <= places[1].loss:
                low, high = places
            else:
                high, low = places
            continue
        if abs(point.slope) <= -FLATTER * start.slope:
            return [point], tries
        if point.slope * (high.length - low.length) >= 0:
            high = low
        low = point
        places = [low, high] if first_is_low else [high, low]
    return [low], tries
