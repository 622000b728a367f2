"""The update rules of the optimizers: primitives that change their arrays in place."""

from __future__ import annotations

from .adaptive import adadelta_step as adadelta_step
from .adaptive import adagrad_step as adagrad_step
from .adaptive import adamax_step as adamax_step
from .adaptive import asgd_step as asgd_step
from .adaptive import lion_step as lion_step
from .adaptive import nadam_step as nadam_step
from .adaptive import radam_step as radam_step
from .adaptive import rmsprop_step as rmsprop_step
from .adaptive import rprop_step as rprop_step
from .descent import adam_step as adam_step
from .descent import sgd_step as sgd_step
from .layerwise import adafactor_step as adafactor_step
from .layerwise import lamb_step as lamb_step
from .layerwise import muon_step as muon_step
from .rules import scalar_for as scalar_for
from .rules import state_like as state_like
from .rules import state_of as state_of
from .rules import step_for as step_for
from .rules import write_scalar as write_scalar
