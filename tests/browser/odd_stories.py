"""Unusual stories: parts are missing, numbers aren't finite, names look like code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from .made_story import array, large_story, small_story

Story = dict[str, Any]
HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken=2'>\"'`${1}"


def no_backward() -> Story:
    story = small_story(1)
    story["notes"] = ["No backward pass was recorded."]
    story["reasons"] = []
    story["iterations"][0].update(passes=[], flows=[], updates=[], loss=None)
    return story


def no_updates() -> Story:
    story = small_story(2)
    for one in story["iterations"]:
        one["updates"] = []
    return story


def no_iterations() -> Story:
    return {**small_story(1), "iterations": [], "reasons": []}


def empty_iteration() -> Story:
    story = small_story(1)
    nothing = {"values": [], "calls": [], "passes": [], "flows": [], "updates": []}
    story["iterations"] = [{"index": 0, "loss": None, **nothing}]
    story["reasons"] = []
    return story


def no_modules() -> Story:
    story = small_story(2)
    story["modules"] = []
    for one in story["iterations"]:
        for call in one["calls"]:
            call["module"] = None
    return story


def no_sources() -> Story:
    story = small_story(1)
    story["sources"] = []
    story["operations"] = {}
    for one in [*story["iterations"][0]["calls"], *story["reasons"]]:
        one["source"] = None
    return story


def not_finite() -> Story:
    story = small_story(2)
    bad = array([[np.nan, np.inf, -np.inf, 0.0], [1.0, -1.0, np.nan, 3e38]])
    only = array(np.full((2, 4), np.nan))
    large = array(np.where(np.eye(20) > 0, np.nan, np.ones((20, 20))))
    for one in story["iterations"]:
        one["loss"] = "nan"
        for value in one["values"][8:]:
            value["array"] = large
        for flow in one["flows"]:
            flow["upstream"] = bad
            for part in flow["parts"]:
                part["product"] = only
                if part["local"]:
                    part["local"]["array"] = large
        for update in one["updates"]:
            update.update(step=bad, gradient=only, after=large)
    for reason in story["reasons"]:
        reason.update(state="nan", sentence="NaN first appears in cross_entropy.")
    return story


def nothing_flows() -> Story:
    """A dead layer: the gradient is zero from the residual on, and gone for the hidden layer."""
    story = small_story(1)
    dead = story["iterations"][0]
    for flow in dead["flows"][2:]:
        flow["upstream"] = array(np.zeros((2, 4)))
        for part in flow["parts"]:
            part["product"] = array(np.zeros(part["product"]["shape"]))
    local = array(np.zeros((2, 4)))
    dead["flows"][2]["upstream"] = array(np.ones((2, 4)))
    dead["flows"][2]["parts"][0]["local"] = {"kind": "elementwise", "array": local}
    states = ("zero", "cut", "unused", "frozen", "no backward", "exploded")
    for reason, state in zip(story["reasons"], states, strict=True):
        reason.update(state=state, call=None, path=[], sentence=f"Its state is {state}.")
    return story


def no_pictures() -> Story:
    story = small_story(1)

    def strip(value: Any) -> None:
        if isinstance(value, dict):
            if "dtype" in value:
                for name in ("values", "histogram", "heat"):
                    value.pop(name, None)
            for one in value.values():
                strip(one)
        elif isinstance(value, list):
            for one in value:
                strip(one)

    strip(story["iterations"])
    return story


def no_elements() -> Story:
    story = small_story(1)
    empty = array(np.zeros((0, 4)))
    one = story["iterations"][0]
    for value in one["values"][8:]:
        value["array"] = empty
    for flow in one["flows"]:
        flow["upstream"] = empty
        for part in flow["parts"]:
            part.update(product=empty, local=None)
    for update in one["updates"]:
        update.update(before=empty, step=empty, after=empty, gradient=None, slots=[])
    return story


def hostile_names() -> Story:
    """Every text of a story that comes from a program looks like HTML and JavaScript."""
    story = small_story(2)
    text = str(HOSTILE)
    story["title"] = text
    story["notes"] = [text]
    story["library"] = text
    for module in story["modules"][1:]:
        module.update(path=f"{text}.{module['path']}", type=text)
    for source in story["sources"]:
        source.update(file=text, function=text, text=text)
    operations = {}
    for name, operation in story["operations"].items():
        formulas = [{"input": one["input"], "text": text} for one in operation["formulas"]]
        operations[name + text] = {"summary": text, "formulas": formulas, "stands_for": text}
    story["operations"] = operations
    story["parameters"] = [name + text for name in story["parameters"]]
    for one in story["iterations"]:
        for value in one["values"]:
            value["name"] += text
        for call in one["calls"]:
            call["operation"] += text
            call["attributes"] = {text: text}
        for flow in one["flows"]:
            flow["operation"] += text
        for update in one["updates"]:
            update.update(parameter=update["parameter"] + text, optimizer=text)
            update["settings"] = {text: text, "toString": [text], "__proto__": {text: None}}
            for slot in update["slots"]:
                slot["name"] = text
    for reason in story["reasons"]:
        reason.update(parameter=reason["parameter"] + text, state=text, sentence=text)
    return story


def long_names() -> Story:
    story = small_story(1)
    long = "a_module_whose_name_goes_on_and_on." * 12
    story["title"] = "Averyverylongtitlewithoutanyspace" * 8
    for module in story["modules"][1:]:
        module["path"] = long + module["path"]
        module["type"] = "LayerWithAVeryLongNameIndeed" * 5
    for source in story["sources"]:
        source.update(file="folder/" * 40 + "train.py", text="x = " + "f(" * 200 + ")" * 200)
    one = story["iterations"][0]
    for value in one["values"]:
        value["name"] = value["name"] and long + value["name"]
    for call in one["calls"]:
        call["attributes"] = {"pattern": "x" * 400}
    for update in one["updates"]:
        update["parameter"] = long + update["parameter"]
    for reason in story["reasons"]:
        reason["parameter"] = long + reason["parameter"]
    return story


def several_outputs() -> Story:
    """An operation of two outputs, one without a gradient; a flow that no call belongs to."""
    story = small_story(1)
    one = story["iterations"][0]
    values, calls = one["values"], one["calls"]
    values.append(copy.deepcopy(values[8]) | {"made_by": 1})
    calls[1]["outputs"].append(len(values) - 1)
    tanh = next(flow for flow in one["flows"] if flow["operation"] == "tanh")
    tanh["upstream"] = [tanh["upstream"], None]
    both = next(flow for flow in one["flows"] if flow["operation"] == "multiply")
    both["upstream"] = [both["upstream"], both["upstream"]]
    loose = {"pass": 0, "call": None, "operation": "hook", "upstream": array(1.0), "parts": []}
    one["flows"].insert(2, loose)
    return story


def two_passes() -> Story:
    """A pass that is recorded itself, and a second one through what the first computed."""
    story = small_story(1)
    one = story["iterations"][0]
    root = one["passes"][0]["root"]
    one["passes"][0]["create_graph"] = True
    made = len(one["values"])
    one["values"].append({"kind": "result", "name": "", "made_by": 9, "array": array(2.0)})
    one["calls"].append(
        {
            "operation": "multiply", "module": None, "source": None,
            "inputs": [{"name": "x", "value": root}, {"name": "y", "value": root}],
            "outputs": [made], "attributes": {}, "recorded": True,
            "phase": "backward", "pass": 0,
        }
    )  # fmt: skip
    one["passes"].append({"root": made, "create_graph": False})
    parts = [
        {"input": i, "value": root, "local": None, "product": array(1.3)} for i in range(2)
    ]
    one["flows"].append(
        {"pass": 1, "call": 9, "operation": "multiply", "upstream": array(1.0), "parts": parts}
    )
    one["flows"] += [copy.deepcopy(flow) | {"pass": 1} for flow in one["flows"][:7]]
    return story


def flat_and_large() -> Story:
    return large_story(4000, modules=False)


def many_iterations() -> Story:
    story = small_story(1)
    first = story["iterations"][0]
    losses = [1.0 / (i + 1) for i in range(300)]
    losses[7] = "nan"
    story["iterations"] = [{**first, "index": 10 * i, "loss": x} for i, x in enumerate(losses)]
    story["reasons"][0]["iteration"] = 2990
    return story


ODD: dict[str, Callable[[], Story]] = {
    made.__name__: made
    for made in (
        no_backward, no_updates, no_iterations, empty_iteration, no_modules, no_sources,
        not_finite, nothing_flows, no_pictures, no_elements, hostile_names, long_names,
        several_outputs, two_passes, flat_and_large, many_iterations,
    )
}  # fmt: skip
