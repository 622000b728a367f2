"""A story as text, for a terminal."""

from __future__ import annotations

from typing import Any

_WIDTH = 100
_SMALL = 8  # numbers that stand in a line


def told(data: dict[str, Any]) -> str:
    """Return the story, line by line."""
    lines = [data["title"], "=" * len(data["title"]), *data["notes"]]
    for number, iteration in enumerate(data["iterations"]):
        loss = f", loss {_number(iteration['loss'])}" if iteration["loss"] is not None else ""
        lines += ["", f"Iteration {number + 1}{loss}", ""]
        lines += _iteration(data, iteration)
    if data["reasons"]:
        lines += ["", "Gradients of the parameters"]
        lines += [
            f"  {one['parameter']}: {one['state']}; {one['sentence']}" for one in data["reasons"]
        ]
    return "\n".join(line.rstrip() for line in lines)


def _iteration(data: dict[str, Any], iteration: dict[str, Any]) -> list[str]:
    tell = {"call": _call, "flow": _flow, "update": _update}
    lines: list[str] = []
    stage = ""
    for what, place in iteration["order"]:
        if what == "pass":
            continue
        entry = iteration[{"call": "calls", "flow": "flows", "update": "updates"}[what]][place]
        now = {"call": "forward", "flow": "backward", "update": "update"}[what]
        if what == "call":
            now = entry["phase"]
        if now != stage:
            lines += [f"{now}", ""] if not lines else ["", now, ""]
            stage = now
        lines += tell[what](data, iteration, place, entry)
    return lines


def _call(data: Any, iteration: Any, place: int, call: Any) -> list[str]:
    values = iteration["values"]
    given = ", ".join(_name(values, one["value"]) for one in call["inputs"])
    said = ", ".join(f"{key}={value}" for key, value in call["attributes"].items())
    text = f"  {place + 1:3}  {call['operation']}({', '.join(filter(None, [given, said]))})"
    lines = [_beside(text, _where(data, call))]
    lines += [f"         = {_array(values[one]['array'])}" for one in call["outputs"]]
    return lines


def _flow(data: Any, iteration: Any, place: int, flow: Any) -> list[str]:
    values, calls = iteration["values"], iteration["calls"]
    call = None if flow["call"] is None else calls[flow["call"]]
    number = "" if flow["call"] is None else flow["call"] + 1
    above = flow["upstream"] if isinstance(flow["upstream"], list) else [flow["upstream"]]
    where = "" if call is None else _where(data, call)
    lines = [_beside(f"  {number:3}  {flow['operation']}", where)]
    lines += [f"         from above  {_array(one)}" for one in above if one is not None]
    formulas = data["operations"].get(flow["operation"], {}).get("formulas", [])
    for part in flow["parts"]:
        named = call is not None and part["input"] < len(call["inputs"])
        label = call["inputs"][part["input"]]["name"] if call is not None and named else ""
        of = "" if part["value"] is None else f" ({_name(values, part['value'])})"
        lines.append(f"         to {label}{of}  {_array(part['product'])}")
        formula = next((f["text"] for f in formulas if f["input"] in (label, "all inputs")), "")
        if formula and "\n" not in formula:
            lines.append(f"           = {formula}")
        if part["local"] is not None:
            kind = "slope" if part["local"]["kind"] == "elementwise" else "Jacobian"
            lines.append(f"           {kind}  {_array(part['local']['array'])}")
    return lines


def _update(data: Any, iteration: Any, place: int, update: Any) -> list[str]:
    rate = update["settings"].get("lr")
    said = f"{update['optimizer']}, lr {_number(rate)}" if rate is not None else update["optimizer"]
    lines = [_beside(f"  {update['parameter']}", said)]
    for key in ("before", "gradient", "step", "after"):
        if update[key] is not None:
            lines.append(f"         {key:8}  {_array(update[key])}")
    return lines


def _where(data: Any, call: Any) -> str:
    parts = []
    if call["module"] is not None:
        module = data["modules"][call["module"]]
        parts.append(f"{module['path']} {module['type']}".strip())
    if call["source"] is not None:
        source = data["sources"][call["source"]]
        parts.append(f"{source['file']}:{source['line']}")
    return "  ".join(parts)


def _beside(left: str, right: str) -> str:
    room = _WIDTH - len(left) - len(right)
    return left + " " * max(room, 2) + right if right else left


def _name(values: Any, value: int) -> str:
    told = values[value]
    if told["name"]:
        return str(told["name"])
    if told["made_by"] is not None:
        return f"#{told['made_by'] + 1}"
    array = told["array"]
    if len(array.get("values", ())) == 1:
        return _number(array["values"][0])
    return f"{told['kind']} {tuple(array['shape'])}"


def _array(array: Any) -> str:
    shape = "×".join(map(str, array["shape"])) or "scalar"
    values = array.get("values")
    if values is not None and len(values) <= _SMALL:
        plain = ", ".join(map(_number, values))
        return f"{shape}  [{plain}]" if array["shape"] else plain
    if array.get("min") is None:
        bad = f", {array['nan']} NaN" if array.get("nan") else ""
        return f"{shape}{bad}"
    low, high, norm = (_number(array[key]) for key in ("min", "max", "norm"))
    text = f"{shape}  {low} to {high}, norm {norm}"
    if array["zeros"]:
        text += f", {array['zeros']:.0%} zeros"
    for key, name in (("nan", "NaN"), ("inf", "infinite")):
        if array[key]:
            text += f", {array[key]} {name}"
    return text


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)
