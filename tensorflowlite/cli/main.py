"""The command's arguments, and how its errors read."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from ..errors import OutOfMemoryError, TensorflowliteError
from ..version import __version__
from .explain_options import add_parser as add_explain
from .options import add_options

# What a shell expects of a command that Ctrl-C or SIGTERM ended: 128 and the signal's number.
_INTERRUPTED, _TERMINATED = 130, 143


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = _Parser(
        prog="tensorflowlite", description="Train networks, report runs, explain steps, "
        "look at the machine, run benchmarks."
    )
    parser.add_argument("--version", action="version", version=f"tensorflowlite {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train a network on data")
    tasks = train.add_subparsers(dest="task", required=True, metavar="TASK")
    digits = tasks.add_parser("digits", help="the UCI handwritten digits of scikit-learn")
    idx = tasks.add_parser("idx", help="a folder of IDX files, as MNIST is kept")
    idx.add_argument("--data", required=True, metavar="DIR", help="the folder of the files")
    table = tasks.add_parser("csv", help="a table: classification or regression")
    table.add_argument("--data", required=True, metavar="FILE", help="the file, with a header")
    table.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    table.add_argument(
        "--kind",
        choices=("classification", "regression"),
        default=None,
        help="what the target is (default: told by its values)",
    )
    for name, subparser in (("digits", digits), ("idx", idx), ("csv", table)):
        add_options(subparser, name)
        _add_run_options(subparser)
    report = commands.add_parser("report", help="write a page about a run, or runs side by side")
    report.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a run")
    report.add_argument(
        "--out", metavar="FILE",
        help="the page (default: report.html in the run's folder, comparison.html for several)",
    )  # fmt: skip
    commands.add_parser("doctor", help="versions, CPU, native extension, GPU")
    add_explain(commands)
    program = commands.add_parser("explain-program", help="list what an exported program does")
    program.add_argument("file", metavar="FILE", help="what tfl.export wrote")
    bench = commands.add_parser("bench", help="run a benchmark", add_help=False)
    bench.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", help="the folder of the run (default: runs/TASK-MODEL-NNN)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="FILE",
        help="go on with the run in --out, or with the newest, from its newest checkpoint or from "
        "FILE; begin where there is none yet",
    )
    parser.add_argument("--overwrite", action="store_true", help="write over the run in --out")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--strict", action="store_true",
        help="look for mistakes while it trains (debug.strict); slower, the same results",
    )  # fmt: skip
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the command's name; by default that of the process.

    Returns
    -------
    int
        0; 1 after an error, whose one sentence is on standard error; 2 for arguments that can't
        be read; 130 after Ctrl-C and 143 after SIGTERM: a training finishes its step, and leaves
        a checkpoint from which ``--resume`` goes on. With ``--debug``, or
        ``TENSORFLOWLITE_DEBUG=1`` in the environment, the traceback is shown as well.

    Examples
    --------
    >>> from tensorflowlite.cli import main
    >>> main(["doctor"])  # doctest: +ELLIPSIS
    tensorflowlite ...
    0
    """
    try:
        parsed = make_parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    debug = parsed.debug or os.environ.get("TENSORFLOWLITE_DEBUG", "0") not in ("", "0")
    try:
        return _run(parsed)
    except KeyboardInterrupt:
        print("tensorflowlite: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except SystemExit as stop:
        if stop.code != _TERMINATED:
            raise
        print("tensorflowlite: terminated", file=sys.stderr)
        return _TERMINATED
    except BrokenPipeError:
        # Whoever read the output has gone; nothing is left to say, and to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(_sentence(error), file=sys.stderr)
        return 1


def _run(parsed: argparse.Namespace) -> int:
    # Imported when asked for: `--help` and `doctor` needn't wait for the rest.
    if parsed.command == "train":
        from .training import train

        return train(parsed)
    if parsed.command == "report":
        from .reporting import report

        return report(parsed.runs, parsed.out)
    if parsed.command == "bench":
        from .bench import bench

        return bench(parsed.arguments)
    if parsed.command == "explain":
        from .explaining import explain_command

        return explain_command(parsed)
    if parsed.command == "explain-program":
        from ..programs.loaded import load_program

        print(load_program(parsed.file).explain())
        return 0
    from .doctor import doctor

    return doctor()


def _sentence(error: Exception) -> str:
    if isinstance(error, OutOfMemoryError):
        return f"{error.args[0]}; lower --batch-size"
    if isinstance(error, TensorflowliteError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "tensorflowlite: the memory must hold a batch, got too little; lower --batch-size"
    text = " ".join(str(error).split())
    return (
        f"tensorflowlite: got an unexpected {type(error).__name__} ({text}); "
        "run again with --debug for where it came from"
    )
