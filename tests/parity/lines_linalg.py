"""Calls of linalg and fft that both libraries know; see `surface.Line`.

Factors are fixed up to signs or phases only: what is compared is what they don't change.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .surface import Constant, Line, call, script

RNG = np.random.default_rng(31)
LINES: list[Line] = []


def draw(kind: str, *shape: int) -> Any:
    real = np.asarray(RNG.normal(size=shape))
    return real + 1j * np.asarray(RNG.normal(size=shape)) if kind == "complex" else real


def regular(kind: str, *shape: int) -> Any:
    """Return square matrices far from singular ones."""
    return draw(kind, *shape, shape[-1]) + 4 * np.eye(shape[-1])


def add(name: str, *args: Any, **options: Any) -> None:
    LINES.append(call(f"linalg.{name}", *args, **options))


def say(name: str, run: Any, *arrays: Any) -> None:
    LINES.append(script(f"linalg.{name}", run, *arrays))


def definite(x: Any) -> Any:
    return x @ x.mT.conj()


def hermitian(x: Any) -> Any:
    return x + x.mT.conj()


for kind in ("real", "complex"):
    for shape in ((3,), (2, 3), (0, 3), (1,)):
        x = regular(kind, *shape)
        say("cholesky", lambda kit, x: kit.linalg.cholesky(definite(x)), x)
        say("cholesky", lambda kit, x: kit.linalg.cholesky(definite(x), upper=True), x)
        say("det", lambda kit, x: kit.linalg.det(x), x)
        say("slogdet", lambda kit, x: list(kit.linalg.slogdet(x)), x)
        say("eigvalsh", lambda kit, x: kit.linalg.eigvalsh(hermitian(x)), x)
        say("eigvalsh", lambda kit, x: kit.linalg.eigvalsh(hermitian(x), "U"), x)
        say("eigh", lambda kit, x: [kit.linalg.eigh(hermitian(x))[0],
                                    projections(kit.linalg.eigh(hermitian(x))[1])], x)  # fmt: skip
        say("eigvals", lambda kit, x: powers(kit.linalg.eigvals(x)), x)
        say("eig", lambda kit, x: weighed(*kit.linalg.eig(x)), x)
        say("matmul", lambda kit, x: kit.linalg.matmul(x, x.mT), x)
    for shape in ((4, 3), (3, 4), (2, 4, 3), (0, 3, 2)):
        x = draw(kind, *shape)
        say("svd", lambda kit, x: [kit.linalg.svd(x, full_matrices=False)[1],
                                   parts(*kit.linalg.svd(x, full_matrices=False))], x)  # fmt: skip
        say("svd", lambda kit, x: [list(one.shape) for one in kit.linalg.svd(x)], x)
        if shape[-2] >= shape[-1]:
            say("qr", lambda kit, x: phased(*kit.linalg.qr(x)), x)
            b = draw(kind, *shape[:-1], 2)
            say("lstsq", lambda kit, x, b: kit.linalg.lstsq(x, b)[0], x, b)
        say("qr", lambda kit, x: [list(y.shape) for y in kit.linalg.qr(x, mode="complete")], x)
        say("vecdot", lambda kit, x: kit.linalg.vecdot(x, x[..., :1, :]), x)
        say("vecdot", lambda kit, x: kit.linalg.vecdot(x, x * 2), x)
        add("matmul", x, draw(kind, shape[-1], 2))
        add("matmul", x, draw(kind, shape[-1]))
    add("cross", draw(kind, 2, 3), draw(kind, 2, 3))
    add("cross", draw(kind, 3, 2).T, draw(kind, 1, 3))
    add("cross", draw(kind, 0, 3), draw(kind, 1, 3))
    add("tensorinv", draw(kind, 4, 6, 8, 3), ind=2)
    add("tensorinv", draw(kind, 6, 2, 3), ind=1)
    add("tensorsolve", draw(kind, 2, 3, 6), draw(kind, 2, 3))
say("cross", lambda kit, x, y: kit.linalg.cross(x, y), draw("real", 5, 3), draw("real", 5, 3))
say("LinAlgError", lambda kit, x: [
    refused(kit.linalg.LinAlgError, function, *args)
    for function, *args in ((kit.linalg.inv, x), (kit.linalg.cholesky, x - 1),
                            (kit.linalg.solve, x, x), (kit.linalg.inv, x + kit.eye(2)))
], Constant(np.zeros((2, 2))))  # fmt: skip


def projections(v: Any) -> Any:
    """Return the projections onto each vector: they know no phase."""
    return v.mT[..., :, None] * v.mT.conj()[..., None, :]


def powers(w: Any) -> Any:
    """Return symmetric functions of eigenvalues: they know no order."""
    return [w.sum(-1), (w**2).sum(-1), (w**3).sum(-1)]


def weighed(w: Any, v: Any) -> Any:
    return [powers(w), abs(v).square().sum(-1).sum(-1)]


def parts(u: Any, s: Any, vh: Any) -> Any:
    return (u * s[..., None, :] ** 2) @ vh


def phased(q: Any, r: Any) -> Any:
    """Return the factors with real and positive numbers on the diagonal."""
    d = r.diagonal(0, -2, -1)
    phase = d / d.abs()
    return [q * phase[..., None, :], r * phase.conj()[..., :, None]]


def refused(error: Any, function: Any, *args: Any) -> bool:
    try:
        function(*args)
    except error:
        return True
    return False


for n in (1, 2, 5, 8):
    for d in (1.0, 0.25):
        LINES.append(call("fft.fftfreq", n, d=d))
        LINES.append(call("fft.rfftfreq", n, d=d))
