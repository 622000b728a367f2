"""Work on modules and their parameters: clipping, vectors, calls with other parameters."""

from __future__ import annotations

from . import parametrizations as parametrizations
from . import parametrize as parametrize
from . import rnn as rnn
from .gradients import clip_grad_norm_ as clip_grad_norm_
from .gradients import clip_grad_value_ as clip_grad_value_
from .gradients import clip_grads_with_norm_ as clip_grads_with_norm_
from .gradients import get_total_norm as get_total_norm
from .gradients import l1_penalty as l1_penalty
from .gradients import parameters_to_vector as parameters_to_vector
from .gradients import vector_to_parameters as vector_to_parameters
from .stateless import functional_call as functional_call
from .stateless import stack_module_state as stack_module_state
from .summary import summary as summary
from .weights import remove_spectral_norm as remove_spectral_norm
from .weights import remove_weight_norm as remove_weight_norm
from .weights import spectral_norm as spectral_norm
from .weights import weight_norm as weight_norm
