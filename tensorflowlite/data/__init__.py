"""Data: sets of samples, the loader that makes batches of them, transforms, and file readers."""

from ..errors import WorkerError as WorkerError
from . import transforms as transforms
from .collate import default_collate as default_collate
from .dataset import Dataset as Dataset
from .dataset import Subset as Subset
from .dataset import TensorDataset as TensorDataset
from .dataset import random_split as random_split
from .loader import DataLoader as DataLoader
from .npz import read_npz as read_npz
from .readers import IdxFolder as IdxFolder
from .readers import load_digits as load_digits
from .readers import read_idx as read_idx
from .readers import read_idx_folder as read_idx_folder
from .sampling import SampleRandom as SampleRandom
from .table import Table as Table
from .table import read_csv as read_csv
