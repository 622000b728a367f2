"""Linear algebra on stacks of matrices, with gradients of any order.

The functions follow the Array API standard and NumPy. Matrices lie along the last two axes; any
axes in front are a stack. They are float32, float64, complex64 or complex128; integers become
float64, and halves are refused where a matrix is factored.
"""

from __future__ import annotations

from .errors import LinalgError as LinAlgError  # noqa: F401  (NumPy's spelling)
from .ops.einsum import outer as outer
from .ops.einsum import tensordot as tensordot
from .ops.einsum import vecdot as vecdot
from .ops.linalg_decompositions import cholesky as cholesky
from .ops.linalg_decompositions import eig as eig
from .ops.linalg_decompositions import eigh as eigh
from .ops.linalg_decompositions import eigvals as eigvals
from .ops.linalg_decompositions import eigvalsh as eigvalsh
from .ops.linalg_decompositions import qr as qr
from .ops.linalg_decompositions import svd as svd
from .ops.linalg_decompositions import svdvals as svdvals
from .ops.linalg_functions import diagonal as diagonal
from .ops.linalg_functions import expm as expm
from .ops.linalg_functions import matrix_power as matrix_power
from .ops.linalg_functions import multi_dot as multi_dot
from .ops.linalg_functions import trace as trace
from .ops.linalg_norms import cond as cond
from .ops.linalg_norms import matrix_norm as matrix_norm
from .ops.linalg_norms import matrix_rank as matrix_rank
from .ops.linalg_norms import norm as norm
from .ops.linalg_norms import vector_norm as vector_norm
from .ops.linalg_solving import det as det
from .ops.linalg_solving import inv as inv
from .ops.linalg_solving import logdet as logdet
from .ops.linalg_solving import lstsq as lstsq
from .ops.linalg_solving import pinv as pinv
from .ops.linalg_solving import slogdet as slogdet
from .ops.linalg_solving import solve as solve
from .ops.linalg_solving import solve_triangular as solve_triangular
from .ops.linalg_solving import tensorinv as tensorinv
from .ops.linalg_solving import tensorsolve as tensorsolve
from .ops.matrix import matmul as matmul
from .ops.products import cross as cross
from .ops.shaping import matrix_transpose as matrix_transpose
