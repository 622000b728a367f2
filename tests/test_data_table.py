"""``read_csv``: the tables that it reads, and the sentence for each that it can't."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tensorflowlite.data import read_csv
from tensorflowlite.errors import ArgumentError, DataError


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def sentence(path, target="y", kind=DataError, **keywords):
    """Return the text of the error that reading raises; it is one line."""
    with pytest.raises(kind) as caught:
        read_csv(path, target, **keywords)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_features_and_text_classes(write):
    table = read_csv(write("a,kind,b\n1,dog,2.5\n-3,cat,1e2\n 4 , dog,0\n"), "kind")
    assert table.features.dtype == np.float32 and table.target.dtype == np.int64
    assert table.features.tolist() == [[1, 2.5], [-3, 100], [4, 0]]
    assert table.target.tolist() == [1, 0, 1]
    assert table.class_names == ("cat", "dog")
    assert table.feature_names == ("a", "b") and table.target_name == "kind"
    assert table.task == "classification"


def test_integer_classes_are_sorted_by_value(write):
    rows = "".join(f"{i},{label}\n" for i, label in enumerate(["10", "9", "2.0", "10", "9", "2"]))
    table = read_csv(write("a,y\n" + rows), "y")
    assert table.class_names == ("2", "9", "10")
    assert table.target.tolist() == [2, 1, 0, 2, 1, 0]


def test_regression_is_told_by_fractions_or_many_integers(write):
    table = read_csv(write("a,y\n1,0.5\n2,1\n3,1\n4,1\n"), "y")
    assert table.task == "regression" and table.target.dtype == np.float32
    assert table.class_names is None and table.target.tolist() == [0.5, 1, 1, 1]
    many = "a,y\n" + "".join(f"1,{i % 30}\n" for i in range(300))
    assert read_csv(write(many), "y").task == "regression"
    each_once = "a,y\n1,1\n1,2\n1,3\n"
    assert read_csv(write(each_once), "y").task == "regression"


def test_task_can_be_stated(write):
    path = write("a,y\n1,0\n2,1\n3,1\n4,0\n")
    assert read_csv(path, "y").task == "classification"
    assert read_csv(path, "y", task="regression").target.tolist() == [0, 1, 1, 0]
    path = write("a,y\n1,0.5\n2,1.5\n3,0.5\n")
    assert read_csv(path, "y", task="classification").class_names == ("0.5", "1.5")
    assert sentence(path, kind=ArgumentError, task="ranking") == (
        "read_csv: task must be 'classification', 'regression' or None, got 'ranking'"
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(write, delimiter):
    path = write(delimiter.join("aby") + "\n" + delimiter.join(["1", "2", "0.5"]) + "\n")
    assert read_csv(path, "y").features.tolist() == [[1, 2]]


def test_delimiter_can_be_stated(write):
    assert read_csv(write("a b y\n1 2 0.5\n"), "y", " ").features.tolist() == [[1, 2]]


def test_quotes_empty_lines_windows_ends_and_byte_order_mark(write):
    text = '"first, one",y\r\n"1",one\r\n\r\n2,"t\nwo"\r\n'
    table = read_csv(write(text, "utf-8-sig"), "y")
    assert table.feature_names == ("first, one",)
    assert table.class_names == ("one", "t\nwo") and table.features.tolist() == [[1], [2]]


def test_class_names_may_look_like_missing_values(write):
    assert read_csv(write("a,y\n1,none\n2,minor\n"), "y").class_names == ("minor", "none")


def test_text_in_a_numeric_column(write):
    path = write("age,y\n1,a\n\n2,b\n3O,a\n")
    assert sentence(path) == (
        f"read_csv: column 'age' must hold numbers, got '3O' in row 5; '{path}'"
    )
    path = write('"a","y"\n1,"two\nlines"\n1_000,b\n')
    assert "column 'a' must hold numbers, got '1_000' in row 4" in sentence(path)


def test_text_far_down_in_a_long_file(write):
    path = write("a,b,y\n" + "1,2,0.5\n" * 9000 + "1,x,0.5\n")
    assert "column 'b' must hold numbers, got 'x' in row 9002" in sentence(path)


@pytest.mark.parametrize("text", ["", "  ", "NA", "nan", "?", "null"])
def test_missing_value(write, text):
    path = write(f"a,b,y\n1,2,u\n1,{text},v\n")
    got = f"'{text}'" if text.strip() else "an empty field"
    assert sentence(path) == (
        f"read_csv: every value must be there, got {got} in column 'b' in row 3; fill or drop the "
        f"row in '{path}'"
    )


def test_missing_target(write):
    assert "got an empty field in column 'y' in row 3" in sentence(write("a,y\n1,u\n2,\n"))
    assert "got an empty field in column 'y' in row 3" in sentence(write("a,y\n1,0.5\n2,\n"))
    assert "got 'nan' in column 'y' in row 3" in sentence(write("a,y\n1,0\n2,nan\n3,0\n"))


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e39"])
def test_numbers_that_float32_cannot_hold(write, text):
    assert (
        f"column 'a' must hold finite numbers in the range of float32, got '{text}' in row 2"
    ) in sentence(write(f"a,y\n{text},u\n"))


def test_text_in_a_target_of_numbers(write):
    path = write("a,y\n1,0.5\n2,oops\n3,1.5\n")
    assert sentence(path) == (
        "read_csv: the target 'y' must hold numbers or class names, got 'oops' in row 3 among "
        f"numbers with fractions; mend '{path}' or give task='classification'"
    )
    text = sentence(path, task="regression")
    assert "column 'y' must hold numbers, got 'oops' in row 3" in text


@pytest.mark.parametrize(("row", "got"), [("1,2", 2), ("1,2,3,4", 4)])
def test_ragged_rows(write, row, got):
    path = write(f"a,b,y\n1,2,u\n{row}\n")
    assert sentence(path) == (
        f"read_csv: every row must have the 3 fields that the header has, got {got} in row 3; "
        f"'{path}'"
    )


def test_unknown_target(write):
    path = write("length,width,label\n1,2,u\n")
    assert sentence(path, "Lable", ArgumentError) == (
        "read_csv: the target must be one of the columns 'length', 'width', 'label', got 'Lable'; "
        "did you mean 'label'?"
    )
    assert "did you mean" not in sentence(path, "qqq", ArgumentError)


def test_header_faults(write):
    path = write("a,b,a,y\n1,2,3,u\n")
    assert sentence(path) == (
        f"read_csv: the names of the columns must differ, got 'a' twice; rename one in '{path}'"
    )
    path = write(",b,y\n0,1,u\n")
    assert sentence(path) == (
        f"read_csv: every column must have a name, got none for column 1 of 3; name it in '{path}'"
    )
    path = write("5.1,3.5,1\n4.9,3.0,1\n")
    assert sentence(path) == (
        f"read_csv: the first line must name the columns, got numbers (5.1, 3.5, 1); add a header "
        f"to '{path}'"
    )


def test_empty_files(write, tmp_path):
    for text in ("", "\n \n"):
        path = write(text)
        assert sentence(path) == (
            f"read_csv: the file must hold a header and rows, got an empty file; '{path}'"
        )
    path = write("a,y\n")
    assert sentence(path) == (
        f"read_csv: the table must have rows below its header, got none; '{path}'"
    )
    missing = tmp_path / "missing.csv"
    assert sentence(missing) == (
        f"read_csv: the path must name a readable file, got '{missing}'; No such file or directory"
    )


def test_files_that_are_no_table(write, tmp_path):
    path = tmp_path / "picture.csv"
    path.write_bytes(b"a,y\n1,u\n\x89PNG,\xff\n")
    assert sentence(path) == (
        f"read_csv: the file must be text in UTF-8, got the byte 89 in row 3; '{path}' is no CSV "
        "file or has another encoding"
    )
    path = write('a,y\n1,u\n"2,v\n')
    text = sentence(path)
    assert text.startswith("read_csv: the file must be in CSV form, got a fault in row 3 (")
    path = write("y\n1\n2\n")
    assert "at least one column beside the target, got 'y' alone" in sentence(path)


def test_a_single_class(write):
    path = write("a,y\n1,u\n2,u\n")
    assert sentence(path) == (
        f"read_csv: the target 'y' must hold at least two classes, got only 'u'; '{path}'"
    )


def test_a_large_table_is_read_in_seconds(tmp_path):
    path = tmp_path / "large.csv"
    line = ",".join(f"0.{i}2345" for i in range(20))
    rows = "".join(f"{line},{i % 3}\n" for i in range(50_000))
    path.write_text(",".join(f"c{i}" for i in range(20)) + ",y\n" + rows)
    start = time.perf_counter()
    table = read_csv(path, "y")
    assert table.features.shape == (50_000, 20)
    assert time.perf_counter() - start < 4  # 0.5 measured; a slow way takes minutes
