"""The public names of tensorflowlite, and the page and section of the reference for each.

A public place that this file doesn't know, or a module of one that it doesn't sort, raises: a name
can't be left out of the reference unnoticed.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import tensorflowlite as tfl

# The package's own names by the page they stand on, then by the module that a name comes from.
ROOT = {
    "Tensors: making and changing them": (
        "making",
        "ops.creation ops.interchange ops.random ops.grids ops.casting ops.constants "
        "ops.inspection backend backend.cuda.devices",
    ),
    "Elementwise functions": (
        "elementwise",
        "ops.elementwise ops.activation ops.special ops.combining ops.comparing",
    ),
    "Shapes, joining and indexing": (
        "shapes",
        "ops.shaping ops.joining ops.arranging ops.assembling ops.padding ops.indexing "
        "ops.gathering ops.choosing ops.aliases",
    ),
    "Products": ("products", "ops.matrix ops.einsum ops.products"),
    "Reductions and statistics": (
        "reductions",
        "ops.reduction ops.cumulative ops.statistics ops.nan_reductions ops.quantiles "
        "ops.counting ops.sequences",
    ),
    "Sorting, searching and sets": (
        "sorting", "ops.sorting ops.searching ops.distinct ops.sets",
    ),
    "Transforms, jit and modes": (
        "transforms",
        "transforms.functional transforms.jacobians transforms.vmap transforms.checkpoint "
        "transforms.jit transforms.modes programs.export programs.loaded story.story "
        "debug.profiling "
        "backend.threads io",
    ),
}  # fmt: skip

# Public modules: their page and its title.
PLACES = {
    "nn": ("nn", "tfl.nn: layers and losses"),
    "nn.functional": ("nn-functional", "tfl.nn.functional"),
    "nn.init": ("nn-init", "tfl.nn.init: initialisers"),
    "nn.utils": ("nn-utils", "tfl.nn.utils"),
    "nn.utils.parametrizations": ("nn-utils", ""),
    "nn.utils.parametrize": ("nn-utils", ""),
    "nn.utils.rnn": ("nn-utils", ""),
    "optim": ("optim", "tfl.optim: optimizers"),
    "optim.lr_scheduler": ("lr-scheduler", "tfl.optim.lr_scheduler: schedules"),
    "optim.swa_utils": ("swa-utils", "tfl.optim.swa_utils: averages"),
    "data": ("data", "tfl.data: data sets and loaders"),
    "data.transforms": ("data", ""),
    "train": ("train", "tfl.train: the Trainer"),
    "autograd": ("autograd", "tfl.autograd"),
    "amp": ("amp", "tfl.amp: mixed precision"),
    "story": ("story", "tfl.story: recorded training steps"),
    "debug": ("debug", "tfl.debug: looking into a training"),
    "debug.nvtx": ("debug", ""),
    "linalg": ("linalg", "tfl.linalg"),
    "fft": ("fft", "tfl.fft"),
    "random": ("random", "tfl.random"),
    "io": ("io", "tfl.io: files"),
    "cuda": ("cuda", "tfl.cuda: GPUs"),
    "cpu": ("cpu", "tfl.cpu: memory and threads"),
    "einops": ("einops", "tfl.einops"),
    "errors": ("errors", "tfl.errors"),
}


class Name(NamedTuple):
    """A public name: where a user finds it, its object, and what module declares it."""

    place: str
    name: str
    value: Any
    module: str

    @property
    def path(self) -> str:
        """The whole path: ``tensorflowlite.nn.Linear``."""
        return ".".join(part for part in ("tensorflowlite", self.place, self.name) if part)

    @property
    def spoken(self) -> str:
        """The path as it is written in programs: ``tfl.nn.Linear``."""
        return self.path.replace("tensorflowlite", "tfl", 1)


def module_of(place: str) -> ModuleType:
    """Import a public module by its place; "" is the package."""
    return importlib.import_module(f"tensorflowlite.{place}" if place else "tensorflowlite")


def names_of(place: str) -> list[Name]:
    """The public names of a place in the order of its source, what comes in later at the end."""
    module = module_of(place)
    found: dict[str, str] = {}
    for node in ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ""
        elif isinstance(node, ast.ImportFrom):
            same = (alias.name for alias in node.names if alias.name == alias.asname)
            found |= dict.fromkeys(same, node.module or "")
        elif isinstance(node, ast.Assign) and not place:
            found |= dict.fromkeys(_targets(node), "ops.aliases")
    if module is tfl:
        found |= {name: where.lstrip(".") for name, where in tfl._PLACES.items()}
    else:
        found |= dict.fromkeys(getattr(module, "_LATER", {}), "")
    public = {name: where for name, where in found.items() if not name.startswith("_")}
    return [Name(place, name, getattr(module, name), where) for name, where in public.items()]


def _targets(node: ast.Assign) -> list[str]:
    """The names that a plain or tuple assignment binds."""
    found = []
    for target in node.targets:
        elements = target.elts if isinstance(target, ast.Tuple) else [target]
        found += [one.id for one in elements if isinstance(one, ast.Name)]
    return found


def members_of(owner: type) -> list[str]:
    """The public methods and properties that a class has of its own, or of a private base."""
    found: dict[str, None] = {}
    for base in owner.__mro__:
        if not base.__module__.startswith("tensorflowlite"):
            continue
        if base is not owner and not base.__name__.startswith("_"):
            continue
        for name, value in vars(base).items():
            if isinstance(value, classmethod | staticmethod):
                value = value.__func__
            if not name.startswith("_") and isinstance(value, FunctionType | property):
                found[name] = None
    return list(found)


def pages() -> dict[str, tuple[str, list[tuple[str, list[Name]]]]]:
    """Each page of the reference: its title, and its sections' titles and names."""
    found: dict[str, tuple[str, list[tuple[str, list[Name]]]]] = {}
    root = [name for name in names_of("") if name.name != "Tensor"]
    sorted_in: set[str] = set()
    for title, (page, modules) in ROOT.items():
        sections = []
        for module in modules.split():
            names = [name for name in root if _source(name) == module]
            sections.append((_heading(module), names))
            sorted_in |= {name.name for name in names}
        found[page] = title, [section for section in sections if section[1]]
    lost = [name.name for name in root if name.name not in sorted_in and not _is_place(name)]
    assert not lost, f"docs/hooks/surface.py: ROOT has no page for {lost}"
    unknown = {name.name for name in root if _is_place(name)} | set(tfl._MODULES)
    unknown -= {place.partition(".")[0] for place in PLACES}
    assert not unknown, f"docs/hooks/surface.py: PLACES has no page for {unknown}"
    for place, (page, title) in PLACES.items():
        names = [name for name in names_of(place) if not _is_place(name)]
        if title:
            found[page] = title, []
        if place in ("nn", "nn.functional"):
            modules = dict.fromkeys(_source(name) for name in names)
            parts = [(_heading(one), [n for n in names if _source(n) == one]) for one in modules]
        else:
            parts = [("" if title else f"tfl.{place}", names)]
        found[page][1].extend(parts)
    return found


def _is_place(name: Name) -> bool:
    return isinstance(name.value, ModuleType)


def _source(name: Name) -> str:
    return "ops.constants" if name.module == "backend.dtypes" else name.module


def _heading(module: str) -> str:
    """A section's title from the module that declares its names: "ops.nan_reductions"."""
    title = module.rpartition(".")[2].replace("_", " ")
    return _HEADINGS.get(title, title.capitalize())


_HEADINGS = {
    "constants": "Dtypes and constants",
    "backend": "Devices",
    "cuda": "Default device",
    "io": "Files",
    "aliases": "PyTorch's names",
    "ctc": "CTC",
    "margins": "Losses of margins",
    "regression": "Losses of regression",
    "threads": "Threads and determinism",
    "story": "Recorded training steps",
}
