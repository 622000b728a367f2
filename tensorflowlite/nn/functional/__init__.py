"""Networks as functions, with PyTorch's names and signatures: axes are called ``dim`` here.

Names, nothing else: what is no operation of ``ops/`` as it stands is in the file of its family.
"""

from __future__ import annotations

from ...ops.activation import gelu as gelu
from ...ops.activation import logsigmoid as logsigmoid
from ...ops.activation import sigmoid as sigmoid
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
from .activation import celu as celu
from .activation import elu as elu
from .activation import hardshrink as hardshrink
from .activation import hardsigmoid as hardsigmoid
from .activation import hardswish as hardswish
from .activation import hardtanh as hardtanh
from .activation import leaky_relu as leaky_relu
from .activation import mish as mish
from .activation import prelu as prelu
from .activation import relu as relu
from .activation import relu6 as relu6
from .activation import rrelu as rrelu
from .activation import selu as selu
from .activation import silu as silu
from .activation import softshrink as softshrink
from .activation import softsign as softsign
from .activation import tanhshrink as tanhshrink
from .activation import threshold as threshold
from .ctc import ctc_loss as ctc_loss
from .distance import bilinear as bilinear
from .distance import cosine_similarity as cosine_similarity
from .distance import normalize as normalize
from .distance import pairwise_distance as pairwise_distance
from .dropout import dropout as dropout
from .losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .losses import cross_entropy as cross_entropy
from .losses import l1_loss as l1_loss
from .losses import mse_loss as mse_loss
from .losses import nll_loss as nll_loss
from .margins import cosine_embedding_loss as cosine_embedding_loss
from .margins import hinge_embedding_loss as hinge_embedding_loss
from .margins import margin_ranking_loss as margin_ranking_loss
from .margins import multi_margin_loss as multi_margin_loss
from .margins import multilabel_margin_loss as multilabel_margin_loss
from .margins import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from .margins import soft_margin_loss as soft_margin_loss
from .margins import triplet_margin_loss as triplet_margin_loss
from .margins import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
from .normalization import batch_norm as batch_norm
from .regression import binary_cross_entropy as binary_cross_entropy
from .regression import gaussian_nll_loss as gaussian_nll_loss
from .regression import huber_loss as huber_loss
from .regression import kl_div as kl_div
from .regression import poisson_nll_loss as poisson_nll_loss
from .regression import smooth_l1_loss as smooth_l1_loss
from .shaping import flatten as flatten
from .softmax import glu as glu
from .softmax import gumbel_softmax as gumbel_softmax
from .softmax import log_softmax as log_softmax
from .softmax import one_hot as one_hot
from .softmax import softmax as softmax
from .softmax import softmin as softmin
