"""The reader of tables in CSV form."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from .readers import FilePath, read_bytes

_DELIMITERS = (",", ";", "\t", "|")
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
# Of class names only these: "none" and "NA" may be classes.
_MISSING_CLASS = frozenset(("", "nan", "?"))
_LARGEST = float(np.finfo(np.float32).max)
_MOST_COLUMNS = 1 << 17
_COMPARED = 1000  # columns whose names are compared with a name that isn't there
_FEW = 20  # the most distinct integers in a target that are taken for classes


@dataclass(frozen=True)
class Table:
    """What ``read_csv`` returns.

    Attributes
    ----------
    features : numpy.ndarray
        float32 (N, F): every column but the target, in the order of the file.
    target : numpy.ndarray
        Class indices int64 (N,) for classification, values float32 (N,) for regression.
    feature_names : tuple of str
        The F names of the features.
    target_name : str
        The name of the target's column.
    class_names : tuple of str or None
        What each class index stands for; None for regression.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflowlite.data import Table
    >>> Table(np.ones((1, 2), np.float32), np.ones(1, np.float32), ("a", "b"), "y", None).task
    'regression'
    """

    features: np.ndarray
    target: np.ndarray
    feature_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return "regression" if self.class_names is None else "classification"


class _Source:
    """The text of the file, read record by record; record 0 is the header.

    Where a record stands is asked only for an error, so it is found by reading again.
    """

    def __init__(self, path: FilePath, text: str, delimiter: str) -> None:
        self.path = path
        self._text = text
        self._delimiter = delimiter
        self._fields = 0  # of the record that is being read, so far
        self.header = [name.strip() for name in next(self._records())]

    def _reader(self) -> Any:
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """Yield the lines, unless a record has so many fields that a list of them fills memory."""
        for line in io.StringIO(self._text, newline=""):
            self._fields += line.count(self._delimiter) + 1
            if self._fields > _MOST_COLUMNS:
                raise DataError(
                    f"read_csv: a row must have at most {_MOST_COLUMNS} fields, got "
                    f"{self._fields}; '{self.path}' is no table, or has another delimiter"
                )
            yield line

    def _records(self) -> Iterator[list[str]]:
        reader = self._reader()
        try:
            for record in reader:
                self._fields = 0
                if record:  # an empty line gives an empty one
                    yield record
        except csv.Error as error:
            raise DataError(
                f"read_csv: the file must be in CSV form, got a fault in row {reader.line_num} "
                f"({error}); '{self.path}'"
            ) from None

    def blocks(self) -> Iterator[tuple[int, list[list[str]]]]:
        """Yield (number of the first record, records), all of the header's length."""
        records, first, width = self._records(), 1, len(self.header)
        next(records)
        # A few thousand at a time: two million strings held at once take twice as long.
        while block := list(itertools.islice(records, 4096)):
            for number, record in enumerate(block, first):
                if len(record) != width:
                    raise DataError(
                        f"read_csv: every row must have the {width} fields that the header has, "
                        f"got {len(record)} in row {self.line(number)}; '{self.path}'"
                    )
            yield first, block
            first += len(block)

    def line(self, number: int) -> int:
        """Return the line of the file in which a record ends, from 1."""
        reader, self._fields = self._reader(), 0
        left = number
        for record in reader:
            self._fields = 0
            left -= bool(record)
            if left < 0:
                break
        return int(reader.line_num)


def read_csv(
    path: FilePath, target: str, delimiter: str | None = None, *, task: str | None = None
) -> Table:
    """Read a table of numbers with one column to predict.

    The first line must name the columns. Every column but ``target`` must hold numbers; the target
    may hold class names.

    Parameters
    ----------
    path : str or path
        The file, in UTF-8.
    target : str
        The name of the column to predict.
    delimiter : str, optional
        What separates the fields. By default the most frequent of ``, ; tab |`` in the header.
    task : {"classification", "regression"}, optional
        By default a target of text is taken for classes, and so is one of integers with at most
        20 distinct values, each of them twice on average.

    Returns
    -------
    Table
        Features, target and their names. Classes are sorted: integers by value, text by letters.

    Raises
    ------
    DataError
        Where the file can't be read, is empty, or has no header, double names, rows of another
        length, missing values, text in a column of numbers, or a single class. The message names
        the row (its line in the file, the header being line 1) and the column.
    ArgumentError
        Where there is no column of the target's name, or ``task`` is none of the two.

    Examples
    --------
    >>> import os, tempfile
    >>> from tensorflowlite.data import read_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("length,width,kind\\n1.5,0.5,setosa\\n4,2,virginica\\n")
    ...     table = read_csv(path, target="kind")
    >>> table.features.tolist(), table.target.tolist(), table.class_names
    ([[1.5, 0.5], [4.0, 2.0]], [0, 1], ('setosa', 'virginica'))
    """
    if task not in (None, "classification", "regression"):
        raise ArgumentError(
            f"read_csv: task must be 'classification', 'regression' or None, got {task!r}"
        )
    source = _open(path, delimiter)
    position = _find_column(source, target)
    names = tuple(source.header[:position] + source.header[position + 1 :])
    if not names:
        raise DataError(
            "read_csv: the table must have at least one column beside the target, got "
            f"{target!r:.80} alone; '{path}' or the delimiter is wrong"
        )
    texts: list[str] = []
    blocks: list[np.ndarray] = []
    for first, rows in source.blocks():
        texts += [row.pop(position).strip() for row in rows]
        blocks.append(_numbers(source, rows, names, first))
    if not texts:
        raise DataError(f"read_csv: the table must have rows below its header, got none; '{path}'")
    features = np.concatenate(blocks)
    if task is None:
        task = _infer_task(source, texts, target)
    if task == "regression":
        values = _numbers(source, [[text] for text in texts], (target,), 1)
        return Table(features, values[:, 0], names, target, None)
    indices, classes = _classes(source, texts, target)
    return Table(features, indices, names, target, classes)


def _open(path: FilePath, delimiter: str | None) -> _Source:
    content = read_bytes("read_csv", path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise DataError(
            f"read_csv: the file must be text in UTF-8, got the byte {byte:02x} "
            f"in row {line}; '{path}' is no CSV file or has another encoding"
        ) from None
    if not text.strip():
        raise DataError(
            f"read_csv: the file must hold a header and rows, got an empty file; '{path}'"
        )
    if delimiter is None:
        first = text.lstrip("\r\n").split("\n", 1)[0]
        delimiter = max(_DELIMITERS, key=first.count)
    source = _Source(path, text, delimiter)
    _check_header(source.header, path)
    return source


def _check_header(header: list[str], path: FilePath) -> None:
    if all(_is_number(name) for name in header):
        raise DataError(
            "read_csv: the first line must name the columns, got numbers "
            f"({', '.join(header[:4]):.80}{', ...' if len(header) > 4 else ''}); add a header to "
            f"'{path}'"
        )
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if not name:
            raise DataError(
                f"read_csv: every column must have a name, got none for column {number} of "
                f"{len(header)}; name it in '{path}'"
            )
        if name in seen:
            raise DataError(
                f"read_csv: the names of the columns must differ, got {name!r:.80} twice; rename "
                f"one in '{path}'"
            )
        seen.add(name)


def _find_column(source: _Source, target: str) -> int:
    if target in source.header:
        return source.header.index(target)
    columns = ", ".join(f"{name!r:.80}" for name in source.header[:20])
    if len(source.header) > 20:
        columns += f", ... ({len(source.header)} in all)"
    by_lower = {name[:80].lower(): name for name in source.header[:_COMPARED]}
    near = difflib.get_close_matches(str(target)[:80].lower(), by_lower, n=1)
    hint = f"did you mean '{by_lower[near[0]]:.80}'?" if near else f"'{source.path}'"
    raise ArgumentError(
        f"read_csv: the target must be one of the columns {columns}, got {target!r}; {hint}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _numbers(
    source: _Source, rows: list[list[str]], names: tuple[str, ...], first: int
) -> np.ndarray:
    """Return the fields as float32 (rows, names), or name the first that is no finite number."""
    count = len(rows) * len(names)
    try:
        flat = np.fromiter(map(float, itertools.chain.from_iterable(rows)), np.float64, count)
    except ValueError:
        raise _bad_field(source, rows, names, first) from None
    with np.errstate(over="ignore"):
        values = flat.astype(np.float32).reshape(len(rows), len(names))
    # float() also reads 1_000, which no table means.
    if not np.isfinite(values).all() or any("_" in text for row in rows for text in row):
        raise _bad_field(source, rows, names, first)
    return values


def _bad_field(
    source: _Source, rows: list[list[str]], names: tuple[str, ...], first: int
) -> DataError:
    number, name, text = next(
        (number, name, text.strip())
        for number, row in enumerate(rows, first)
        for name, text in zip(names, row, strict=True)
        if not _is_number(text) or not abs(float(text)) <= _LARGEST
    )
    line = source.line(number)
    if text.lower() in _MISSING:
        return _missing_value(source, text, line, name)
    wanted = "finite numbers in the range of float32" if _is_number(text) else "numbers"
    return DataError(
        f"read_csv: column {name!r:.80} must hold {wanted}, got {text!r:.80} in row "
        f"{line}; '{source.path}'"
    )


def _missing_value(source: _Source, text: str, line: int, name: str) -> DataError:
    got = f"'{text.strip()}'" if text.strip() else "an empty field"
    return DataError(
        f"read_csv: every value must be there, got {got} in column {name!r:.80} in row {line}; "
        f"fill or drop the row in '{source.path}'"
    )


def _infer_task(source: _Source, texts: list[str], target: str) -> str:
    distinct = set(texts)
    numbers = [float(text) for text in distinct if _is_number(text)]
    fractions = any(not value.is_integer() for value in numbers)
    if len(numbers) < len(distinct):
        words = distinct.difference(text for text in distinct if _is_number(text))
        if fractions and not all(word.lower() in _MISSING for word in words):
            number, word = next(pair for pair in enumerate(texts, 1) if pair[1] in words)
            line = source.line(number)
            raise DataError(
                f"read_csv: the target {target!r:.80} must hold numbers or class names, got "
                f"{word!r:.80} in row {line} among numbers with fractions; mend '{source.path}' or "
                "give task='classification'"
            )
        return "regression" if fractions else "classification"
    few = len(set(numbers)) <= min(_FEW, len(texts) // 2)
    return "classification" if few and not fractions else "regression"


def _classes(source: _Source, texts: list[str], target: str) -> tuple[np.ndarray, tuple[str, ...]]:
    distinct = sorted(set(texts))
    missing = [text for text in distinct if text.lower() in _MISSING_CLASS]
    if missing:
        number = 1 + texts.index(missing[0])
        raise _missing_value(source, missing[0], source.line(number), target)
    if all(_is_number(text) and float(text).is_integer() for text in distinct):
        # 1 and 1.0 are one class.
        name_of = {text: str(int(float(text))) for text in distinct}
        classes = sorted(set(name_of.values()), key=int)
    else:
        name_of = {text: text for text in distinct}
        classes = distinct
    if len(classes) < 2:
        raise DataError(
            f"read_csv: the target {target!r:.80} must hold at least two classes, got only "
            f"{classes[0]!r:.80}; '{source.path}'"
        )
    position = {name: index for index, name in enumerate(classes)}
    index_of = {text: position[name] for text, name in name_of.items()}
    return np.array([index_of[text] for text in texts], np.int64), tuple(classes)
