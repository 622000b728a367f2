"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from . import lr_scheduler as lr_scheduler
from . import swa_utils as swa_utils
from .adagrad import Adadelta as Adadelta
from .adagrad import Adagrad as Adagrad
from .adagrad import RMSprop as RMSprop
from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .adam_family import Adamax as Adamax
from .adam_family import Lion as Lion
from .adam_family import NAdam as NAdam
from .adam_family import RAdam as RAdam
from .layerwise import LAMB as LAMB
from .layerwise import Adafactor as Adafactor
from .layerwise import Muon as Muon
from .lbfgs import LBFGS as LBFGS
from .optimizer import Optimizer as Optimizer
from .rprop import ASGD as ASGD
from .rprop import Rprop as Rprop
from .sgd import SGD as SGD
