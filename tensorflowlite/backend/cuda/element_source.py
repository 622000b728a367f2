"""The CUDA source of an element program: text for ``backend/cuda/kernels.py`` to compile.

A program has a text for each form: ``contiguous`` and ``strided``, or with a reduction ``rows``
(the reduced axes come last) and ``columns`` (they come first). Macros that a launch chooses:
``TFL_AXES`` and ``TFL_KEPT``, how many joined axes there are and how many of them stay;
``TFL_INDEX``, in what elements are counted. Of the inputs' axes a text says only which are one
number, so that many programs share it.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import Any

from .. import dtypes
from ..elements.lowering import Instruction, Lowered, kind_of, lowered
from ..elements.programs import ElementProgram
from .kernels import TYPE_NAMES, Generated

MOST_AXES = 8
THREADS = 256

# The sources' names of what arrays hold and of the kinds of number.
STORED = {
    **TYPE_NAMES, dtypes.bool_: "unsigned char", dtypes.int32: "int", dtypes.int64: "long long",
}  # fmt: skip
_KINDS = {"bool": "unsigned char", "int32": "int", "int64": "long long", "float32": "float",
          "float64": "double"}  # fmt: skip
_FOLDS = {"sum": "FoldSum", "mean": "FoldSum", "max": "FoldMax", "min": "FoldMin"}


def folded_type(program: Lowered) -> Any:
    """Return the dtype in which a program's reduction is folded."""
    assert program.reduction is not None
    kind = program.kinds[program.reduction[1]]
    return {"float32": dtypes.float32, "float64": dtypes.float64}.get(kind, dtypes.int64)


def run_length(program: ElementProgram) -> int:
    """Return how many elements a thread takes at once where they lie side by side.

    Examples
    --------
    >>> from tensorflowlite.backend.elements.programs import Input, Step
    >>> half = dtypes.float16
    >>> run_length(ElementProgram((Input(half, (True,)),), (Step("exp", (0,), (), half),), (1,)))
    8
    """
    held = [one.dtype for one in program.inputs if any(one.spans)]
    held += [program.dtype_of(value) for value in program.outputs]
    sizes = [dtype.itemsize for dtype in held if dtype != dtypes.bool_]
    return max(2, min(8, 16 // min(sizes, default=2)))


def _number(kind: str, value: Any) -> str:
    if kind in ("bool", "int32", "int64"):
        return f"static_cast<{_KINDS[kind]}>({int(value) & (2**64 - 1):#x}ull)"
    if kind == "float32":
        if math.isnan(value):
            return "tfl::not_a_number<float>()"
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        return f"tfl::float_of({bits:#010x}u)"
    if math.isfinite(value):
        return float(value).hex()
    name = "not_a_number" if math.isnan(value) else "infinity"
    return f"{'-' if value < 0 else ''}static_cast<double>(tfl::{name}<float>())"


def _expression(one: Instruction) -> str:
    if one.operation == "constant":
        return _number(one.kind, one.parameters[0])
    values = [f"v{operand}" for operand in one.operands]
    # As C++ rounds what it is given to the kind.
    rounded = [struct.unpack("f", struct.pack("f", p))[0] if one.kind == "float32" else p
               for p in one.parameters]  # fmt: skip
    values += [_number(one.kind, parameter) for parameter in rounded]
    return f"tfl::elements::{one.operation}::of({', '.join(values)})"


class _Source:
    """Writes one program's text."""

    def __init__(self, program: ElementProgram, form: str) -> None:
        self.form = form
        self.program, self.lowered = program, lowered(program)
        self.ins = [STORED[one.dtype] for one in program.inputs]
        self.outs = [STORED[dtype] for _, dtype in self.lowered.outputs]
        self.reduces = self.lowered.reduction is not None
        self.singles = [not any(one.spans) for one in program.inputs]

    def text(self) -> str:
        parts = [
            '#include "element_kernels.cuh"\n\nnamespace e = tfl::elements;',
            self.types(), self.chain(),
        ]  # fmt: skip
        parts.append(getattr(self, self.form)())
        if self.reduces:
            parts.append(self.finish())
        return "\n\n".join(parts) + "\n"

    def types(self) -> str:
        arrays = len(self.ins) + len(self.outs) + self.reduces
        lines = [
            "struct Layout {",
            f"  static constexpr int arrays = {arrays};",
            f"  long long sizes[{MOST_AXES}];",
            f"  long long strides[arrays][{MOST_AXES}];  // in bytes",
            "};",
            "struct Results {",
            *[f"  {stored} out{i};" for i, stored in enumerate(self.outs)],
        ]
        if self.lowered.reduction is not None:
            op, value, dtype, _, _ = self.lowered.reduction
            lines += [f"  {_KINDS[self.lowered.kinds[value]]} folded;", "};",
                      f"using Fold = e::{_FOLDS[op]};", f"using Result = {STORED[dtype]};",
                      f"using Folded = {STORED[folded_type(self.lowered)]};"]  # fmt: skip
        else:
            lines.append("};")
        return "\n".join(lines)

    def chain(self) -> str:
        parameters = ", ".join(f"{stored} x{i}" for i, stored in enumerate(self.ins))
        lines = [f"TFL_DEVICE Results chain({parameters}) {{"]
        for i, one in enumerate(self.program.inputs):
            lines.append(f"  const {_KINDS[kind_of(one.dtype)]} v{i} = e::number_from(x{i});")
        for i, instruction in enumerate(self.lowered.instructions, len(self.ins)):
            kind = _KINDS[self.lowered.kinds[i]]
            lines.append(f"  const {kind} v{i} = {_expression(instruction)};")
        lines.append("  Results made;")
        for i, (value, _) in enumerate(self.lowered.outputs):
            lines.append(f"  made.out{i} = e::Stored<{self.outs[i]}>::of(v{value});")
        if self.lowered.reduction is not None:
            lines.append(f"  made.folded = v{self.lowered.reduction[1]};")
        return "\n".join([*lines, "  return made;", "}"])

    def pointers(self) -> str:
        found = [f"const {stored}* x{i}" for i, stored in enumerate(self.ins)]
        found += [f"{stored}* out{i}" for i, stored in enumerate(self.outs)]
        return ", ".join(found)

    def called(self, form: str, single: str) -> str:
        """Return a call of the chain whose arguments are written as ``form`` says."""
        words = [(single if alone else form).format(i=i) for i, alone in enumerate(self.singles)]
        return f"const Results made = chain({', '.join(words)});"

    def contiguous(self) -> str:
        spread = [i for i, alone in enumerate(self.singles) if not alone]
        outs = range(len(self.outs))
        names = [f"x{i}" for i in spread] + [f"out{i}" for i in outs]
        return "\n".join([
            f"constexpr int run = {run_length(self.program)};",
            "",
            f'extern "C" TFL_KERNEL({THREADS})',
            f"    elements_contiguous({self.pointers()}, long long count) {{",
            f"  const long long step = gridDim.x * {THREADS}ll * run;",
            *[f"  const {self.ins[i]} s{i} = *x{i};" for i, one in enumerate(self.singles) if one],
            f"  const bool aligned = {' && '.join(f'tfl::aligned({name})' for name in names)};",
            f"  long long first = (blockIdx.x * {THREADS}ll + threadIdx.x) * run;",
            "  for (; first < count; first += step) {",
            "    const long long left = count - first;",
            "    const int here = left < run ? static_cast<int>(left) : run;",
            "    const bool packed = aligned && here == run;",
            *[f"    const auto a{i} = e::read_run<run>(x{i} + first, here, packed);"
              for i in spread],
            *[f"    e::Run<{self.outs[i]}, run> o{i};" for i in outs],
            "#pragma unroll",
            "    for (int j = 0; j < run; ++j) {",
            f"      {self.called('a{i}.at[j]', 's{i}')}",
            *[f"      o{i}.at[j] = made.out{i};" for i in outs],
            "    }",
            *[f"    e::write_run<run>(out{i} + first, o{i}, here, packed);" for i in outs],
            "  }",
            "}",
        ])  # fmt: skip

    def at_offsets(self, indent: str) -> list[str]:
        """Return the lines that compute an element whose offsets are known."""
        words = [f"*e::moved(x{i}, offsets[{i}])" for i in range(len(self.ins))]
        lines = [f"const Results made = chain({', '.join(words)});"]
        lines += [f"*e::moved(out{i}, offsets[{len(self.ins) + i}]) = made.out{i};"
                  for i in range(len(self.outs))]  # fmt: skip
        return [indent + line for line in lines]

    def strided(self) -> str:
        return "\n".join([
            f'extern "C" TFL_KERNEL({THREADS})',
            "    elements_strided(const Layout layout, "
            f"{self.pointers()}, long long count) {{",
            f"  const long long step = gridDim.x * {THREADS}ll;",
            f"  long long i = blockIdx.x * {THREADS}ll + threadIdx.x;",
            "  for (; i < count; i += step) {",
            "    long long offsets[Layout::arrays] = {};",
            "    e::locate<0, TFL_AXES - 1>(layout, static_cast<TFL_INDEX>(i), offsets);",
            *self.at_offsets("    "),
            "  }",
            "}",
        ])  # fmt: skip

    def kernel(self, name: str, parameters: str) -> list[str]:
        pointers = ", ".join(filter(None, [self.pointers(), parameters]))
        return [
            f'extern "C" TFL_KERNEL({THREADS})',
            f"    {name}(const Layout layout, {pointers}) {{",
        ]

    def result(self, first: str, last: str, number: str, folded: str) -> list[str]:
        """Return the lines that write a place of the result."""
        return [
            "  long long places[Layout::arrays] = {};",
            f"  e::locate<{first}, {last}>(layout, static_cast<TFL_INDEX>({number}), places);",
            "  *e::moved(result, places[Layout::arrays - 1]) =",
            f"      e::finished<Result>({folded}, divisor);",
        ]

    def rows(self) -> str:
        """The reduced axes come last: a warp or a block takes a row, or a chunk of it."""
        return "\n".join([
            *self.kernel("elements_rows",
                         "Folded* partials, Result* result, long long rows, "
                         "long long length, long long chunk, long long divisor"),
            "  const long long down = blockDim.y;",
            "  const long long row = blockIdx.x * down + threadIdx.y;",
            "  const long long begin = blockIdx.y * chunk;",
            "  const long long end = begin + chunk < length ? begin + chunk : length;",
            "  Folded folded = Fold::nothing<Folded>();",
            "  if (row < rows) {",
            "    long long base[Layout::arrays] = {};",
            "    e::locate<0, TFL_KEPT - 1>(layout, static_cast<TFL_INDEX>(row), base);",
            "    for (long long j = begin + threadIdx.x; j < end; j += blockDim.x) {",
            "      long long offsets[Layout::arrays];",
            "#pragma unroll",
            "      for (int i = 0; i < Layout::arrays; ++i) offsets[i] = base[i];",
            "      e::locate<TFL_KEPT, TFL_AXES - 1>(layout, static_cast<TFL_INDEX>(j), offsets);",
            *self.at_offsets("      "),
            "      folded = Fold::of(folded, static_cast<Folded>(made.folded));",
            "    }",
            "  }",
            "  folded = tfl::over_row<Fold>(folded);",
            "  if (threadIdx.x || row >= rows) return;",
            "  if (gridDim.y > 1) {",
            "    partials[blockIdx.y * rows + row] = folded;",
            "    return;",
            "  }",
            *self.result("0", "TFL_KEPT - 1", "row", "folded"),
            "}",
        ])  # fmt: skip

    def columns(self) -> str:
        """The reduced axes come first: a block takes 32 columns over a chunk of rows."""
        return "\n".join([
            *self.kernel("elements_columns", "Folded* partials, Result* result, long long rows, "
                         "long long columns, long long chunk, long long divisor"),
            "  const long long column = blockIdx.x * 32ll + threadIdx.x;",
            "  const long long begin = blockIdx.y * chunk;",
            "  const long long end = begin + chunk < rows ? begin + chunk : rows;",
            "  Folded folded = Fold::nothing<Folded>();",
            "  if (column < columns) {",
            "    long long base[Layout::arrays] = {};",
            "    e::locate<TFL_AXES - TFL_KEPT, TFL_AXES - 1>(",
            "        layout, static_cast<TFL_INDEX>(column), base);",
            "    for (long long row = begin + threadIdx.y; row < end; row += 8) {",
            "      long long offsets[Layout::arrays];",
            "#pragma unroll",
            "      for (int i = 0; i < Layout::arrays; ++i) offsets[i] = base[i];",
            "      e::locate<0, TFL_AXES - TFL_KEPT - 1>(",
            "          layout, static_cast<TFL_INDEX>(row), offsets);",
            *self.at_offsets("      "),
            "      folded = Fold::of(folded, static_cast<Folded>(made.folded));",
            "    }",
            "  }",
            "  folded = e::over_rows<Fold>(folded);",
            "  if (threadIdx.y || column >= columns) return;",
            "  if (gridDim.y > 1) {",
            "    partials[blockIdx.y * columns + column] = folded;",
            "    return;",
            "  }",
            *self.result("TFL_AXES - TFL_KEPT", "TFL_AXES - 1", "column", "folded"),
            "}",
        ])  # fmt: skip

    def finish(self) -> str:
        """A warp folds the chunks' results of one kept element, always in the same order."""
        return "\n".join([
            f"constexpr int first_kept = {'0' if self.form == 'rows' else 'TFL_AXES - TFL_KEPT'};",
            "",
            f'extern "C" TFL_KERNEL({THREADS})',
            "    elements_finish(const Layout layout, const Folded* partials, Result* result,",
            "                    long long parts, long long kept, long long divisor) {",
            "  const long long number = blockIdx.x * 8ll + threadIdx.y;",
            "  Folded folded = Fold::nothing<Folded>();",
            "  if (number < kept) {",
            "    for (long long part = threadIdx.x; part < parts; part += 32) {",
            "      folded = Fold::of(folded, partials[part * kept + number]);",
            "    }",
            "  }",
            "  folded = tfl::over_lanes<Fold>(folded);",
            "  if (threadIdx.x || number >= kept) return;",
            *self.result("first_kept", "first_kept + TFL_KEPT - 1", "number", "folded"),
            "}",
        ])  # fmt: skip


@functools.lru_cache(maxsize=4096)
def source(program: ElementProgram, form: str) -> Generated:
    """Return the source of a valid program in one of its forms.

    Examples
    --------
    >>> from tensorflowlite.backend.elements.programs import Input, Step
    >>> f4 = dtypes.float32
    >>> program = ElementProgram((Input(f4, (True,)),), (Step("exp", (0,), (), f4),), (1,))
    >>> "const float v1 = tfl::elements::exp::of(v0);" in source(program, "contiguous").text
    True
    """
    return Generated("elements.cu", _Source(program, form).text())
