"""Processes that a signal ends, and loaders with worker processes: what takes a second each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import tensorflowlite as tfl
from tensorflowlite.train.checkpoint import read_checkpoint

from ..command import bars, write_idx
from ..resuming import check_the_loader_goes_on


def test_the_loader_goes_on_within_its_epoch(tmp_path: Path) -> None:
    check_the_loader_goes_on(tmp_path, workers=2)


SCRIPT = """
import sys, time
from tensorflowlite.cli import main
from tensorflowlite.train import Trainer
step = Trainer._step
def slow(self, epoch, batch):
    value = step(self, epoch, batch)
    print("step", flush=True)
    time.sleep(0.05)
    return value
Trainer._step = slow
sys.exit(main(["train", "idx", "--data", "bars", "--model", "mlp", "--quiet", *sys.argv[1:]]))
"""


def test_the_command_ends_with_the_signal_s_exit_code(tmp_path: Path) -> None:
    write_idx(tmp_path / "bars", "t10k", *bars())
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--out", "run", "--resume", "--batch-size", "8"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(tfl.__file__).parents[1])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors == (
        "fit: interrupted in epoch 1; 'run/checkpoint.safetensors' holds a checkpoint to resume "
        "from\ntensorflowlite: terminated\n"
    )
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")["batch"] > 0
