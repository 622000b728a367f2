"""Networks as functions, with PyTorch's names and signatures: axes are called ``dim`` here.

Names, nothing else: what is no operation of ``ops/`` as it stands is in the file of its family.
"""

from __future__ import annotations

from ...ops.activation import elu as elu
from ...ops.activation import gelu as gelu
from ...ops.activation import hardtanh as hardtanh
from ...ops.activation import leaky_relu as leaky_relu
from ...ops.activation import logsigmoid as logsigmoid
from ...ops.activation import mish as mish
from ...ops.activation import relu as relu
from ...ops.activation import relu6 as relu6
from ...ops.activation import selu as selu
from ...ops.activation import sigmoid as sigmoid
from ...ops.activation import silu as silu
from ...ops.activation import softplus as softplus
from ...ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from ...ops.elementwise import tanh as tanh
from ...ops.embedding import embedding as embedding
from ...ops.fused import check_activation as check_activation
from ...ops.fused import conv2d as conv2d
from ...ops.fused import linear as linear
from ...ops.losses import check_reduction as check_reduction
from ...ops.normalization import layer_norm as layer_norm
from ...ops.normalization import rms_norm as rms_norm
from ...ops.pooling import avg_pool2d as avg_pool2d
from ...ops.pooling import max_pool2d as max_pool2d
from .activation import log_softmax as log_softmax
from .activation import softmax as softmax
from .dropout import dropout as dropout
from .losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .losses import cross_entropy as cross_entropy
from .losses import l1_loss as l1_loss
from .losses import mse_loss as mse_loss
from .losses import nll_loss as nll_loss
from .normalization import batch_norm as batch_norm
from .shaping import flatten as flatten
