"""`explain`: a training step, recorded as a story that can be read."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..errors import ArgumentError, StateError
from ..io import write_atomically
from ..transforms.tree import flatten
from ..version import __version__
from .reasons import Detective, Found, Reason, why_not_recorded
from .recording import Recorder, variable_of
from .thinning import LARGEST, thinned

FilePath = str | os.PathLike[str]
_recording = threading.Lock()


class Story:
    """What happened in one or several training steps, in order; `explain` records it.

    Attributes
    ----------
    title : str
        What stands above it.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> w = tfl.tensor([1.0, -2.0], requires_grad=True)
    >>> with tfl.explain() as story:
    ...     (w * w).sum().backward()
    >>> story.why(w).state
    'healthy'
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._recorder = Recorder()
        self._running = False
        self._data: dict[str, Any] | None = None

    def __len__(self) -> int:
        """Return the number of iterations."""
        return len(self.data["iterations"])

    def __repr__(self) -> str:
        calls = sum(len(one["calls"]) for one in self.data["iterations"])
        return f"Story({_counted(len(self), 'iteration')}, {_counted(calls, 'call')})"

    # -- recording ---------------------------------------------------------------------------------
    def _start(self) -> None:
        if not _recording.acquire(blocking=False):
            raise StateError("explain: one story is recorded at a time, got a second one")
        try:
            self._recorder.start()
        except BaseException:
            _recording.release()
            raise
        self._running = True

    def _stop(self) -> None:
        self._running = False
        try:
            self._recorder.stop()
        finally:
            _recording.release()
        self._data = self._told()

    def next_iteration(self) -> None:
        """Say that a new training step begins, where no optimizer's ``step`` tells.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> w = tfl.tensor(3.0, requires_grad=True)
        >>> with tfl.explain() as story:
        ...     for _ in range(2):
        ...         (slope,) = tfl.autograd.grad(w * w, [w])
        ...         w = (w - 0.1 * slope).detach().requires_grad_()
        ...         story.next_iteration()
        >>> len(story)
        2
        """
        if not self._running:
            raise StateError("next_iteration: the story must be under way, got one that has ended")
        self._recorder.next_iteration()

    # -- what was recorded -------------------------------------------------------------------------
    @property
    def data(self) -> dict[str, Any]:
        """All that is told, as dicts, lists, numbers and texts.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> story = tfl.explain(lambda x: (x * 2).sum(), tfl.ones(2).requires_grad_())
        >>> [call["operation"] for call in story.data["iterations"][0]["calls"]]
        ['multiply', 'sum']
        """
        if self._data is not None:
            self._data["title"] = self.title or "A training step"
            return self._data
        with self._recorder.resting():
            self._recorder.finish()
            return self._told()

    def _told(self) -> dict[str, Any]:
        recorder = self._recorder
        iterations = [one for one in recorder.iterations if not one.is_empty()]
        for one in iterations:
            for call, (op, grad) in zip(one.calls, one.told, strict=True):
                made = [one.values[i] for i in call["outputs"]]
                call["why_not"] = why_not_recorded(call, op, grad, made)
        frozen, names = self._parameters()
        modules, numbers = recorder.places.tree()
        data: dict[str, Any] = {
            "format": "tensorflowlite story", "version": 1, "library": __version__,
            "title": self.title or "A training step", "notes": list(recorder.notes),
            "modules": modules, "sources": recorder.places.sources,
            "operations": recorder.places.operations, "parameters": names,
            "iterations": [one.data(i, numbers) for i, one in enumerate(iterations)],
            "reasons": [],
        }  # fmt: skip
        if iterations and not any(one.passes for one in iterations):
            data["notes"].append("No backward pass was recorded: backward() wasn't called.")
        if not iterations:
            data["notes"].append("Nothing was recorded: no operation was called on this thread.")
        optimized = [one.optimized for one in iterations]
        detectives = [Detective(data, one) for one in data["iterations"]]
        data["reasons"] = [
            self._reason(data, name, *self._find(detectives, name, name in frozen, optimized))
            for name in names
        ]
        return data

    def _parameters(self) -> tuple[set[str], list[str]]:
        """Return the names of all parameters, those of models and optimizers first, and frozen."""
        recorder = self._recorder
        frozen: set[str] = set()
        names: dict[str, None] = {}
        for name, p in recorder.places.named("parameters"):
            names[name] = None
            if not p.requires_grad:
                frozen.add(name)
        for one in recorder.iterations:
            names.update({u["parameter"]: None for u in one.updates})
            names.update({
                v["name"]: None for v in one.values if v["kind"] == "parameter" and v["name"]
            })
        return frozen, list(names)

    @staticmethod
    def _find(
        detectives: list[Detective], name: str, frozen: bool, optimized: list[set[str]]
    ) -> tuple[int | None, Found]:
        """Look in the last iteration with a backward pass, and a step of its own optimizer."""
        if not detectives:
            return None, Found("no backward", "nothing was recorded")
        passed = [place for place, one in enumerate(detectives) if one.it["passes"]] or [0]
        own = [place for place in passed if name in optimized[place]]
        place = (own or passed)[-1]
        found = detectives[place].why(name, frozen)
        if found.state != "healthy" or not any(optimized):
            return place, found
        # A gradient that arrives, and that no step makes use of.
        said = ""
        if not any(name in names for names in optimized):
            said = "; no optimizer that took a step has it"
        elif own and all(one["parameter"] != name for one in detectives[place].it["updates"]):
            said = "; at its optimizer's step it was gone"
        return place, found._replace(sentence=found.sentence + said)

    @staticmethod
    def _reason(
        data: dict[str, Any], name: str, place: int | None, found: Found
    ) -> dict[str, Any]:
        source = None
        if place is not None and found.call is not None:
            source = data["iterations"][place]["calls"][found.call]["source"]
        return {
            "parameter": name, "state": found.state, "sentence": found.sentence,
            "iteration": place, "call": found.call, "source": source, "path": list(found.path),
        }  # fmt: skip

    def why(self, parameter: str | Tensor) -> Reason:
        """Return why a parameter's gradient is what it is, in the last step with a backward pass.

        Where several optimizers take turns, that is the last step of its own one.

        Parameters
        ----------
        parameter : str or Tensor
            Its path in the model, the name of the variable that holds it, or itself.

        Raises
        ------
        ArgumentError
            Where the story has no such parameter.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> w = tfl.tensor([-1.0], requires_grad=True)
        >>> story = tfl.explain(lambda: tfl.relu(w).sum())
        >>> reason = story.why("w")
        >>> reason.state, reason.operation
        ('zero', 'relu')
        """
        data = self.data
        name = self._name_of(parameter) if isinstance(parameter, Tensor) else parameter
        told = next((one for one in data["reasons"] if one["parameter"] == name), None)
        if told is None:
            known = ", ".join(data["parameters"]) or "none"
            raise ArgumentError(
                f"why: the parameter must be one of the story's, got {name!r}; they are {known}"
            )
        calls = [] if told["iteration"] is None else data["iterations"][told["iteration"]]["calls"]
        source = None if told["source"] is None else data["sources"][told["source"]]
        return Reason(
            told["parameter"], told["state"], told["sentence"],
            "" if told["call"] is None else calls[told["call"]]["operation"],
            "" if source is None else source["file"], 0 if source is None else source["line"],
            tuple([calls[i]["operation"] for i in told["path"]]),
        )  # fmt: skip

    def _name_of(self, parameter: Tensor) -> str:
        for name, p in self._recorder.places.named("parameters"):
            if p is parameter:
                return name
        for one in reversed(self._recorder.iterations):
            place = one.place_of(parameter.array)
            if place is not None and one.values[place]["name"]:
                return str(one.values[place]["name"])
        # ``w.data = ...`` gave it an array that no operation took.
        return variable_of(parameter.array)[0] or "a tensor that no operation was given"

    # -- to read -----------------------------------------------------------------------------------
    def to_json(self) -> str:
        """Return all of it as JSON: the numbers of the page.

        Infinities and NaN are the texts ``"inf"``, ``"-inf"`` and ``"nan"``.

        Examples
        --------
        >>> import json
        >>> import tensorflowlite as tfl
        >>> story = tfl.explain(lambda: tfl.ones(2).sum())
        >>> json.loads(story.to_json())["format"]
        'tensorflowlite story'
        """
        return json.dumps(self.data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def to_text(self) -> str:
        """Return the story for a terminal.

        Examples
        --------
        >>> import tensorflowlite as tfl
        >>> w = tfl.tensor(3.0, requires_grad=True)
        >>> print(tfl.explain(lambda: w * w).to_text())  # doctest: +ELLIPSIS
        A training step
        ...
        """
        from .text import told

        return told(self.data)

    def to_html(self, path: FilePath) -> None:
        """Write the story as a page: one file, to be opened in a browser, without a network.

        Parameters
        ----------
        path : str or path
            The file. What would make it larger than three megabytes is left out: pictures of large
            tensors first, then iterations between the first and the last.

        Raises
        ------
        WriteError
            Where the file can't be written.

        Examples
        --------
        >>> import os, tempfile
        >>> import tensorflowlite as tfl
        >>> story = tfl.explain(lambda: tfl.ones(2).sum())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     story.to_html(os.path.join(folder, "story.html"))
        ...     os.listdir(folder)
        ['story.html']
        """
        from .page import render

        data = thinned(self.data, LARGEST)
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        page = render(text, data["title"])
        # A name may hold half of a character, which no encoding has.
        write_atomically(path, page.encode("utf-8", "replace"), op="explain")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Explaining:
    """The context of `explain`."""

    def __init__(self, title: str) -> None:
        self._story = Story(title)

    def __enter__(self) -> Story:
        self._story._start()
        return self._story

    def __exit__(self, *exception: object) -> None:
        self._story._stop()


def explain(
    function: Callable[..., Any] | None = None, /, *args: Any, title: str = "", **kwargs: Any
) -> Any:
    """Record a training step, or several, as a story: forward, loss, backward, update.

    ``with explain() as story:`` records what runs inside; ``explain(function, *args)`` calls a
    function, and, where it returns a single number that requires grad and no backward pass ran,
    its backward pass. Of every operation the story has the inputs and the output, the local
    derivative as formula and as numbers, the gradient that came from above and the product; of
    every parameter its step; and it knows where a gradient was lost (`Story.why`). An iteration
    ends with an optimizer's step, with a change of parameters in place, or by
    `Story.next_iteration`.

    Nothing is exchanged while no story is recorded, so that it costs nothing then. Meanwhile
    functions of `jit` run as they are, fused gradients are computed one by one, and rules are run
    a few times more to find local derivatives. This thread alone is looked at.

    Parameters
    ----------
    function : callable, optional
        A training step, or what computes a loss.
    *args
        What it is called with, as are further keywords.
    title : str
        What stands above the story.

    Returns
    -------
    Story
        Or a context manager that gives one.

    Raises
    ------
    StateError
        Another story is being recorded.

    Examples
    --------
    >>> import tensorflowlite as tfl
    >>> from tensorflowlite import nn, optim
    >>> from tensorflowlite.nn import functional as F
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1))
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> x, y = tfl.ones((4, 2)), tfl.zeros((4, 1))
    >>> with tfl.explain() as story:
    ...     F.mse_loss(model(x), y).backward()
    ...     optimizer.step()
    >>> story.why("0.weight").state
    'healthy'
    >>> story.to_html("story.html")  # doctest: +SKIP
    """
    if function is None:
        if args or kwargs:
            given = ", ".join(map(repr, kwargs)) or f"{len(args)} positional ones"
            raise ArgumentError(
                f"explain: arguments go with a function, got {given} without one; "
                "its own keyword is title"
            )
        return _Explaining(title)
    if not callable(function):
        raise ArgumentError(
            f"explain: the function must be callable, got {type(function).__name__}; "
            "with explain() as story: records what runs inside"
        )
    with _Explaining(title or getattr(function, "__name__", "").strip("<>")) as story:
        result = function(*args, **kwargs)
        ran = any(one.passes for one in story._recorder.iterations)
        if not ran and type(result) is Tensor and result.size == 1 and result.node is not None:
            result.backward()
        elif not ran and not any(type(one) is Tensor for one in flatten(result)[0]):
            story._recorder.note("The function returned no tensor.")
    return story
