"""Worker processes: the same batches, their errors and ends, and nothing left behind.

The data sets stand in a module of their own, written to a temporary folder, so that workers can
import them however pytest was started.
"""

from __future__ import annotations

import gc
import glob
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.data import (
    DataLoader,
    Subset,
    TensorDataset,
    WorkerError,
    random_split,
    transforms,
)
from tensorflowlite.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[1]

SAMPLES = '''
import os
import signal
import sys
import time

import numpy as np


class Samples:
    """Twelve samples; some do what a test asks for."""

    def __init__(self, bad=None, what=None, size=12):
        self.bad, self.what, self.size = bad, what, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index == self.bad:
            if self.what == "raise":
                raise ValueError("no picture here")
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "exit":
                os._exit(5)
            if self.what == "segfault":
                import ctypes
                ctypes.string_at(0)
            if self.what == "hang":
                while True:
                    time.sleep(60)
            if self.what == "open":
                return np.load("there/was/a/file.npy"), 0
            if self.what == "connection":
                raise ConnectionResetError("the data server went away")
            if self.what == "unpicklable":
                return lambda: None
        return np.full((2, 2), index, np.float32), os.getpid()


class Long(Samples):
    """Samples of very different sizes."""

    def __getitem__(self, index):
        return np.full((1 + 3000 * index,), index, np.float64)


def as_dict(rows):
    return {"x": np.stack([x for x, _ in rows]), "text": [str(int(x[0, 0])) for x, _ in rows]}


def imported(rows):
    heavy = ("cupy", "matplotlib", "sklearn", "torch", "tqdm")
    return [name for name in heavy if name in sys.modules]


def as_list(rows):
    return list(rows)


class Unloadable:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index

    def __setstate__(self, state):
        raise RuntimeError("the file is not on this machine")

    def __getstate__(self):
        return {"a": 1}
'''


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    (folder / "loader_samples.py").write_text(SAMPLES)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("loader_samples")
    sys.path.remove(str(folder))


# Not every system shows its shared memory as files.
LOOKS_INTO_MEMORY = os.path.isdir("/dev/shm")


def segments(process_id):
    """Return the names of the shared memory that loaders of a process hold, where files show it."""
    return glob.glob(f"/dev/shm/tfl{process_id:x}_*")


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert segments(os.getpid()) == []


def pixels(size=50):
    return np.random.default_rng(0).random((size, 1, 6, 6), dtype=np.float32)


def run_script(tmp_path, text, **keywords):
    """Run a script in a Python of its own; return its standard output and error."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **keywords,
    )


def test_order_and_augmentation_are_the_same_for_any_number_of_workers():
    data = Subset(TensorDataset(pixels(), np.arange(50)), np.arange(50)[::-1])
    transform = transforms.Compose(
        [transforms.RandomShift(2), transforms.RandomHorizontalFlip(), transforms.Normalize(0.5, 2)]
    )

    def epochs(workers):
        with DataLoader(
            data, 8, True, num_workers=workers, seed=4, transform=transform, prefetch_factor=3
        ) as loader:
            found = [list(loader) for _ in range(2)]
            loader.load_state_dict({"seed": 4, "epoch": 1, "position": 5})
            found.append(list(loader))
            return found

    for here, there in zip(epochs(0), epochs(2), strict=True):
        assert len(here) == len(there) > 0
        for one, other in zip(here, there, strict=True):
            assert type(other) is tuple
            for a, b in zip(one, other, strict=True):
                assert isinstance(b, tfl.Tensor) and a.dtype == b.dtype
                np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_workers_live_as_long_as_the_loader_and_start_again_after_close(samples):
    loader = DataLoader(samples.Samples(), 3, num_workers=2, device="cpu")
    first = processes(loader)
    assert len(first) == 2 and os.getpid() not in first
    assert processes(loader) == first
    for _ in loader:  # left early, with batches on their way
        break
    assert processes(loader) == first
    loader.close()
    loader.close()
    assert not any(is_alive(process) for process in first)
    second = processes(loader)
    assert len(second) == 2 and not second & first
    del loader
    gc.collect()
    assert not any(is_alive(process) for process in second)


def processes(loader):
    """Return the processes that make the batches of an iteration over ``Samples``."""
    return {int(process) for _, owner in loader for process in owner.numpy()}


def is_alive(process_id):
    try:
        os.kill(process_id, 0)
        # One that has ended stays in the table until its parent asks, and init may take its time.
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_batches_of_growing_sizes_and_other_structures(samples):
    with DataLoader(samples.Long(), 1, num_workers=2, prefetch_factor=1) as loader:
        batches = list(loader)
        for index, batch in enumerate(batches):
            assert batch.shape == (1, 1 + 3000 * index) and batch.dtype == np.float64
            assert (batch.numpy() == index).all()
    with DataLoader(
        samples.Samples(), 5, num_workers=1, collate_fn=samples.as_dict, prefetch_factor=1
    ) as loader:
        last = list(loader)[-1]
        assert last["x"].shape == (2, 2, 2) and last["text"] == ["10", "11"]


def test_blocks_that_grew_unseen_are_removed(samples):
    # Batches that nobody takes, and one that fails after its block grew, tell no generation.
    data = samples.Long(11, "unpicklable")
    loader = DataLoader(data, 1, num_workers=1, sampler=[0, 4, 5, 7], prefetch_factor=2)
    for epoch in range(3):
        loader.sampler = [epoch, 4 + epoch, 9]
        assert next(iter(loader)).shape == (1, 1 + 3000 * epoch)
    loader.sampler = [0, 1, 2]
    assert len(list(loader)) == 3
    if LOOKS_INTO_MEMORY:
        assert len(segments(os.getpid())) == 3  # two for batches, one for the order
    loader.sampler = [10, 9, 10, 9]
    next(iter(loader))
    loader.close()
    assert segments(os.getpid()) == []


def test_workers_import_nothing_heavy(samples):
    with DataLoader(samples.Samples(size=1), num_workers=1, collate_fn=samples.imported) as loader:
        assert list(loader) == [[]]


def test_memory_is_not_shared_between_batches(samples):
    with DataLoader(samples.Samples(), 1, num_workers=1, prefetch_factor=1) as loader:
        batches = [x for x, _ in loader]
    assert [batch.numpy()[0, 0, 0] for batch in batches] == list(range(12))


def test_a_second_iteration_ends_the_first(samples):
    with DataLoader(samples.Samples(), 3, num_workers=1) as loader:
        first = iter(loader)
        next(first)
        assert len(list(loader)) == 4
        with pytest.raises(WorkerError, match="one iteration can be under way at a time"):
            next(first)


def test_an_exception_arrives_with_its_traceback_and_sample(samples):
    with DataLoader(
        samples.Samples(7, "raise"), 2, num_workers=2, sampler=[1, 2, 3, 7, 0]
    ) as loader:
        batches = iter(loader)
        next(batches)
        with pytest.raises(WorkerError) as caught:
            next(batches)
        lines = str(caught.value).splitlines()
        assert lines[0] == (
            "DataLoader: loading sample 7 must succeed, got ValueError: no picture here in worker "
            "1; its traceback:"
        )
        assert "Traceback (most recent call last):" in lines
        assert any("loader_samples.py" in line for line in lines)
        # The workers are still there for another try.
        loader.sampler = [1, 2]
        assert len(list(loader)) == 1


@pytest.mark.parametrize(
    ("what", "place", "error"),
    [
        ("connection", "loading sample 4", "ConnectionResetError: the data server went away"),
        ("unpicklable", "handing over a batch", "Can't"),
    ],
)
def test_errors_that_could_be_taken_for_the_end_of_the_loader(samples, what, place, error):
    data = samples.Samples(4, what)
    text = f"DataLoader: {place} must succeed, got .*{error}"
    loader = DataLoader(data, 1, num_workers=1, collate_fn=samples.as_list)
    with loader, pytest.raises(WorkerError, match=text):
        list(loader)


def test_a_transform_that_fails_names_the_batch(samples):
    with DataLoader(
        samples.Samples(), 3, num_workers=1, transform=transforms.RandomShift(1)
    ) as loader:
        message = (
            "transforming the batch of samples 0, 1, 2 must succeed, got .*ShapeError: RandomShift"
        )
        with pytest.raises(WorkerError, match=message):
            list(loader)


@pytest.mark.parametrize(("what", "end"), [("kill", "by SIGKILL"), ("exit", "with exit code 5")])
def test_a_worker_that_ends_is_noticed(samples, what, end):
    loader = DataLoader(samples.Samples(5, what), 1, num_workers=2)
    start = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        list(loader)
    assert time.monotonic() - start < 20
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(
        f"DataLoader: worker 1 must stay alive, got an end {end} while preparing batches; "
    )
    assert text.endswith(", or use num_workers=0")
    assert ("out of memory" in text) == (what == "kill")


@pytest.mark.parametrize("what", ["segfault", "hang"])
def test_a_worker_that_crashes_or_hangs_tells_where(samples, what):
    """In one error, of whatever state the process is in; nothing stays behind."""
    resource_tracker.ensure_running()
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    loader = DataLoader(samples.Samples(5, what), 1, num_workers=2, timeout=1)
    workers = processes_of(loader)
    start = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        list(loader)
    assert time.monotonic() - start < 20
    first, *trace = str(caught.value).splitlines()
    assert first == {
        "segfault": "DataLoader: worker 1 must stay alive, got an end by SIGSEGV while preparing "
        "batches; what it printed stands above, or use num_workers=0; its traceback:",
        "hang": "DataLoader: worker 1 must answer within 1 s, got nothing while "
        "preparing batches; raise timeout if it is only slow; its traceback:",
    }[what]
    assert any("loader_samples.py" in line and "in __getitem__" in line for line in trace)
    assert not any(is_alive(process) for process in workers)
    assert not files or len(os.listdir("/proc/self/fd")) == files
    if what == "hang":
        with pytest.raises(ArgumentError, match=r"timeout must be a number of seconds .* got -1"):
            DataLoader(samples.Samples(), num_workers=1, timeout=-1)


def processes_of(loader):
    """Start the workers of a loader, and return them."""
    loader._pool._start()
    return [process.pid for process in loader._pool._processes]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanishes_within_the_epoch(samples, workers):
    with DataLoader(samples.Samples(4, "open"), 2, num_workers=workers) as loader:
        batches = iter(loader)
        assert [next(batches)[0].shape for _ in range(2)] == [(2, 2, 2)] * 2
        with pytest.raises(WorkerError if workers else FileNotFoundError) as caught:
            next(batches)
        told = f"{caught.value} {getattr(caught.value, '__notes__', '')}"
        assert "loading sample 4" in told and "there/was/a/file.npy" in told


def test_a_worker_killed_between_batches_is_noticed(samples):
    loader = DataLoader(samples.Samples(), 1, num_workers=1, prefetch_factor=1)
    batches = iter(loader)
    _, owner = next(batches)
    os.kill(int(owner.numpy()[0]), signal.SIGKILL)
    with pytest.raises(WorkerError, match="got an end by SIGKILL"):
        list(batches)
    assert len(list(loader)) == 12  # new workers


def test_what_cannot_be_pickled_is_named():
    class Local(list):
        pass

    text = (
        "must be picklable to be sent to workers, got: .*; define classes and functions at the top "
        "level of a module, open files in __getitem__, or use num_workers=0"
    )
    with pytest.raises(ArgumentError, match=f"DataLoader: dataset {text}"):
        next(iter(DataLoader(Local([1, 2]), num_workers=1)))
    with pytest.raises(ArgumentError, match=f"DataLoader: collate_fn {text}"):
        next(iter(DataLoader(range(3), num_workers=1, collate_fn=lambda rows: rows)))
    with pytest.raises(ArgumentError, match=f"DataLoader: transform {text}"):
        next(iter(DataLoader(range(3), num_workers=1, transform=lambda x, random: x)))
    with pytest.raises(ArgumentError, match=r"DataLoader: dataset .* cannot pickle '.*lock'"):
        next(iter(DataLoader([threading.Lock()], num_workers=1)))


def test_a_dataset_that_cannot_be_loaded_in_a_worker(samples):
    with pytest.raises(WorkerError) as caught:
        next(iter(DataLoader(samples.Unloadable(), num_workers=1)))
    assert str(caught.value).startswith(
        "DataLoader: workers must be able to load the data set, collate_fn and transform, got "
        "RuntimeError: the file is not on this machine in worker 0; define classes and functions "
        "in a file that workers can import"
    )


def test_the_file_of_the_data_set_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = TensorDataset(np.arange(200_000))
    with DataLoader(data, 50_000, num_workers=2) as loader:
        total = sum(int(x.numpy().sum()) for (x,) in loader)
    assert total == 200_000 * 199_999 // 2
    assert list(tmp_path.iterdir()) == []


def test_empty_loaders_and_splits_with_workers():
    train, none = random_split(TensorDataset(np.arange(4)), [4, 0])
    with DataLoader(none, 2, num_workers=1) as loader:
        assert list(loader) == []
        assert list(loader) == []
    with DataLoader(train, 2, num_workers=1) as loader:
        assert len(list(loader)) == 2


# -- scripts ---------------------------------------------------------------------------------------
def test_a_script_without_its_main_guard_gets_one_sentence(tmp_path):
    script = run_script(
        tmp_path,
        """
        import numpy as np
        from tensorflowlite.data import DataLoader, TensorDataset

        for batch in DataLoader(TensorDataset(np.arange(4)), 2, num_workers=2):
            print(batch)
        """,
    )
    out, error = script.communicate(timeout=60)
    assert script.returncode == 1 and out == ""
    path = tmp_path / "script.py"
    assert error.splitlines()[-1].endswith(
        'DataLoader: a script that uses num_workers=2 must start below `if __name__ == "__main__":`'
        f", got a loader that runs when '{path}' is imported, as every worker does; move the code "
        "there"
    )
    assert error.count("Traceback") == 1  # none of the workers


def test_a_script_that_is_no_file_gets_one_sentence():
    text = (
        "from tensorflowlite.data import DataLoader\n"
        "if __name__ == '__main__':\n"
        "    print(len(list(DataLoader(range(6), 2, num_workers=1))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments, **keywords):
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            **keywords,
        )

    ended = run("-", input=text)
    assert ended.returncode == 1 and ended.stderr.count("Traceback") == 1
    assert ended.stderr.rstrip().endswith(
        "DataLoader: with num_workers=1 the script must be a file, which workers can import, got "
        "<stdin>; save it, or use num_workers=0"
    )
    assert run("-c", text).stdout == "3\n"  # there is nothing to import here


def test_a_script_that_leaves_early_cleans_up_in_silence(tmp_path):
    script = run_script(
        tmp_path,
        """
        import os
        import numpy as np
        from tensorflowlite.data import DataLoader, TensorDataset

        if __name__ == "__main__":
            loader = DataLoader(TensorDataset(np.arange(100_000)), 10, num_workers=2)
            for (batch,) in loader:
                print(batch.numpy().tolist())
                break
            kept = iter(loader)
            next(kept)
        """,
    )
    out, error = script.communicate(timeout=60)
    assert (script.returncode, out, error) == (0, f"{list(range(10))}\n", "")
    assert segments(script.pid) == []


WAITING = """
import os
import time
import numpy as np
from tensorflowlite.data import DataLoader, TensorDataset

if __name__ == "__main__":
    loader = DataLoader(TensorDataset(np.arange(1000)), 10, num_workers=2)
    batches = iter(loader)
    next(batches)
    print(*(process.pid for process in loader._pool._processes), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_a_script_that_is_ended(tmp_path, how):
    script = run_script(tmp_path, WAITING, start_new_session=True)
    workers = [int(word) for word in script.stdout.readline().split()]
    assert len(workers) == 2
    assert segments(script.pid) or not LOOKS_INTO_MEMORY
    if how == signal.SIGINT:
        os.killpg(script.pid, how)  # as Ctrl-C does
    else:
        os.kill(script.pid, how)
    _, error = script.communicate(timeout=30)
    if how == signal.SIGINT:
        assert error.count("Traceback") == 1 and error.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (
        segments(script.pid) or any(is_alive(process) for process in workers)
    ):
        time.sleep(0.05)
    assert segments(script.pid) == []
    assert not any(is_alive(process) for process in workers)
