"""The files of results: written row by row, read back as a table, and the README's block."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tensorflowlite.backend.cuda import nvrtc

from .cuda_lab import OURS, PEERS
from .measure import machine

FOLDER = Path(__file__).resolve().parent / "results"
BEGIN, END = "<!-- benchmarks:cuda -->", "<!-- /benchmarks:cuda -->"
NOT_YET = "Not yet run on hardware."


# -- writing ---------------------------------------------------------------------------------------
def write(path: Path, content: Any) -> None:
    """Write JSON aside and move it into place: whoever reads finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def now() -> str:
    """Return the time, as files hold it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def default_path(kind: str, machine: dict[str, Any]) -> Path:
    """Return ``results/<date>-<gpu>[-<kind>].json``, numbered where there is one already.

    What no GPU was used for isn't kept there.
    """
    gpu = machine.get("gpu", {}).get("name")
    if not gpu:
        return Path("runs", f"benchmarks-{kind or 'cuda'}-cpu.json")
    name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    stem = f"{date}-{name}{kind and '-'}{kind}"
    numbered = (f"{stem}{number and f'-{number}'}.json" for number in ("", *range(2, 1000)))
    return next(FOLDER / name for name in numbered if not (FOLDER / name).exists())


def _gpu(cupy: Any) -> dict[str, Any]:
    runtime = cupy.cuda.runtime
    device = runtime.getDevice()
    properties = runtime.getDeviceProperties(device)
    found: dict[str, Any] = {
        "name": properties["name"].decode(),
        "capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "memory_bytes": properties["totalGlobalMem"],
        "l2_bytes": properties["l2CacheSize"],
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
    }
    for name in ("clockRate", "memoryClockRate"):
        if properties.get(name):
            found[f"{name}_khz"] = properties[name]
    found.update(_from_nvidia_smi(device))
    return found


def _from_nvidia_smi(device: int) -> dict[str, Any]:
    """Return the driver's version and the clocks as they are now; {} without the program."""
    import subprocess

    fields = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu"
    command = ["nvidia-smi", f"--id={device}", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields.split(","), map(str.strip, done.stdout.split(",")), strict=False))


def describe(cupy: Any = None) -> dict[str, Any]:
    """Return the machine, the versions, and the GPU where CuPy is handed over."""
    found = machine()
    compiler = nvrtc.compiler()
    found["nvrtc"] = None if compiler is None else "{}.{}".format(*compiler.version)
    for name in ("cupy", "torch", "triton"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = getattr(module, "__version__", "?")
    if cupy is not None:
        found["gpu"] = _gpu(cupy)
    return found


class Record:
    """A result file that grows by a row at a time."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {**head, "rows": []}
        write(path, self.content)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; the file holds it when this returns."""
        self.content["rows"].append({**row, "time": now()})
        write(self.path, self.content)

    def set(self, **values: Any) -> None:
        """Set what stands beside the rows."""
        self.content.update(values)
        write(self.path, self.content)


# -- reading ---------------------------------------------------------------------------------------
def is_cuda_result(content: Any) -> bool:
    """Whether a file's content is a result of all rows on a GPU, in full size and length."""
    return (
        isinstance(content, dict)
        and content.get("kind") == "cuda"
        and str(content.get("device", "")).startswith("cuda")
        and content.get("whole") is True
        and content.get("quick") is False
        and content.get("scale") == 1
    )


def newest_of(folder: Path, wanted: Callable[[Any], bool]) -> Path | None:
    """Return the newest of a folder's results that are wanted; None where there is none."""
    found = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(ValueError, OSError):
            content = json.loads(path.read_text(encoding="utf-8"))
            if wanted(content):
                found.append((str(content.get("started", "")), path.name, path))
    return max(found)[2] if found else None


def newest(folder: Path = FOLDER) -> Path | None:
    """Return the newest result of a GPU in a folder; None where there is none."""
    return newest_of(folder, is_cuda_result)


def _milliseconds(measured: dict[str, Any]) -> str:
    if "median_ms" not in measured:
        return "—"
    median, low, high = (measured[name] for name in ("median_ms", "low_ms", "high_ms"))
    if median < 0.05:
        return f"{median * 1e3:.3g} µs ({low * 1e3:.3g}–{high * 1e3:.3g})"
    return f"{median:.4g} ms ({low:.4g}–{high:.4g})"


def _verdict(row: dict[str, Any], against: Sequence[str]) -> str:
    if row["status"] != "measured":
        return row["status"] + (f": {row['error']}" if row.get("error") else "")
    texts = []
    for bar in row.get("bars", ()):
        names = {"copy": "of copy", "matmul": "of matmul", "operations": "TFLOP/s"}
        of = names.get(bar["of"], f"× {bar['of']}")
        if bar.get("found") is None:
            if bar["of"] in PEERS and bar["of"] not in against:
                continue  # it wasn't asked for
            texts.append(f"{of}: not judged, {bar['why']}")
            continue
        scale = 1e-12 if bar["of"] == "operations" else 1.0
        found, least = bar["found"] * scale, bar["least"] * scale
        mark = "met" if bar["met"] else f"gap, wanted {least:.3g}"
        if bar["met"] and bar.get("stretch_met"):
            mark = "met, stretch too"
        texts.append(f"{found:.3g} {of}: {mark}")
    return "; ".join(texts) or ("not judged" if row.get("bars") else "no bar")


def table(content: dict[str, Any]) -> str:
    """Return a result as a table in Markdown."""
    rows = content.get("rows", [])
    names = [OURS]
    for row in rows:
        names += [name for name in row.get("contenders", {}) if name not in names]
    lines = [
        "| | " + " | ".join(names) + " | bar |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for row in rows:
        found = row.get("contenders", {})
        cells = [_milliseconds(found.get(name, {})) for name in names]
        title = row.get("title", row["name"]) + (f" ({row['note']})" if row.get("note") else "")
        texts = (title, *cells, _verdict(row, content.get("against", PEERS)))
        lines.append("| " + " | ".join(text.replace("|", "/") for text in texts) + " |")
    return "\n".join(lines)


def remarks(content: dict[str, Any]) -> str:
    """Return what was noted beside a result, as a list in Markdown; "" where nothing was."""
    return "".join(f"\n- {note}" for note in content.get("notes", ()))


def heading(content: dict[str, Any]) -> str:
    """Return one line about where and when a result was taken."""
    machine = content.get("machine", {})
    gpu = machine.get("gpu", {})
    parts = [
        gpu.get("name", machine.get("cpu", "?")),
        f"driver {gpu['driver_version']}" if "driver_version" in gpu else "",
        f"NVRTC {machine['nvrtc']}" if machine.get("nvrtc") else "",
        *[f"{name} {machine[name]}" for name in ("numpy", "cupy", "torch") if machine.get(name)],
        str(content.get("started", ""))[:10],
    ]
    ceilings = content.get("ceilings", {})
    units = {"copy": ("copy", 1e12, "TB/s"), "matmul": ("bf16 matmul", 1e12, "TFLOP/s")}
    for key, (name, unit, text) in units.items():
        if key in ceilings:
            parts.append(f"{name} {ceilings[key] / unit:.3g} {text}")
    return ", ".join(part for part in parts if part)


def block(folder: Path = FOLDER) -> str:
    """Return what the README's block says: the newest result of a GPU, or that there is none."""
    path = newest(folder)
    if path is None:
        return NOT_YET
    content = json.loads(path.read_text(encoding="utf-8"))
    return (
        f"{heading(content)}. Median and 10th to 90th percentile "
        f"([benchmarks/results/{path.name}](benchmarks/results/{path.name}), "
        f"which also holds what was tried).\n\n{table(content)}"
    )


def within(text: str, begin: str, end: str, content: str) -> str:
    """Return a document with what stands between two markers replaced.

    Raises
    ------
    ValueError
        The document hasn't the two markers, once each and in order.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the document must hold {begin} and then {end}, once each")
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{content}\n{end}{after}"


def with_block(text: str, folder: Path = FOLDER) -> str:
    """Return a document with its block brought up to date."""
    return within(text, BEGIN, END, block(folder))
