"""The options of ``explain``, and which of them belong to what is explained."""

from __future__ import annotations

from typing import Any

SUBJECTS = ("classic", "digits")
_PARTS = ("train", "validation", "test")
# Which options belong to which subject; others are refused rather than ignored.
BELONGING = {
    "classic": ("loss", "steps", "lr", "seed"),
    "digits": ("model", "steps", "lr", "seed", "batch_size"),
    "run": ("sample", "part", "data"),
}
SAID = {"classic": "classic", "digits": "digits", "run": "a run"}
SAMPLES = 8


def add_parser(commands: Any) -> None:
    """Add ``explain`` to the command."""
    parser = commands.add_parser(
        "explain", help="show backpropagation at work: forward, loss, backward, update, on a page"
    )
    parser.add_argument(
        "subject", nargs="?", default="classic", metavar="SUBJECT",
        help="classic: a two-layer network that learns exclusive or (default); digits: the first "
        "steps of train digits; or a run's folder, or a checkpoint",
    )  # fmt: skip
    parser.add_argument(
        "--out", default="explain.html", metavar="FILE", help="the page (default: explain.html)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers as JSON too")
    parser.add_argument("--text", action="store_true", help="print the story, too")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (default: 3)")
    parser.add_argument("--lr", type=float, metavar="X", help="learning rate")
    parser.add_argument("--seed", type=int, metavar="N", help="seed (default: 0)")
    parser.add_argument("--loss", choices=("mse", "cross_entropy"), help="classic's (default: mse)")
    parser.add_argument("--model", choices=("mlp", "cnn"), help="digits' network (default: cnn)")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help=f"digits: samples a step (default: {SAMPLES})"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="a run's: which one, from 0")
    parser.add_argument("--part", choices=_PARTS, help="a run's: of which data (default: test)")
    parser.add_argument(
        "--data", metavar="PATH", help="a run's: samples of your own, in the form of its data"
    )
