"""The public surface: every object has a docstring in NumPy's style and an example that runs.

Public is what stands in a public place under a name without an underscore: what the place defines,
and what it imports as ``name as name``. Of a public class its methods and properties are public.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

import tensorflowlite as tfl

PLACES = (
    "", "amp", "autograd", "cuda", "data", "data.transforms", "debug", "debug.nvtx", "errors",
    "fft", "io", "linalg", "nn", "nn.functional", "nn.init", "nn.utils",
    "nn.utils.parametrizations", "nn.utils.parametrize", "nn.utils.rnn", "optim",
    "optim.lr_scheduler", "optim.swa_utils", "random", "train",
)  # fmt: skip


class Public(NamedTuple):
    """One public object: where a user finds it, what it is, and the class it belongs to."""

    path: str
    value: Any
    owner: type | None = None

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.value) or ""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def place(name: str) -> ModuleType:
    return importlib.import_module(f"tensorflowlite.{name}" if name else "tensorflowlite")


def names_of(module: ModuleType) -> list[str]:
    """The public names of a place, as its source has them."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            found += [alias.name for alias in node.names if alias.asname == alias.name]
    if module is tfl:
        found += tfl._PLACES
    return [name for name in found if not name.startswith("_")]


def members(path: str, owner: type) -> Iterator[Public]:
    """The public methods and properties that a class has of its own, or of a private base."""
    for base in owner.__mro__:
        if not base.__module__.startswith("tensorflowlite"):
            continue
        if base is not owner and not base.__name__.startswith("_"):
            continue
        for name, value in vars(base).items():
            if isinstance(value, classmethod | staticmethod):
                value = value.__func__
            if not name.startswith("_") and isinstance(value, FunctionType | property):
                yield Public(f"{path}.{name}", value, owner)


def public_objects() -> list[Public]:
    """Every public object once, under the first path that leads to it."""
    found: dict[int, Public] = {}
    for module_name in PLACES:
        module = place(module_name)
        for name in names_of(module):
            value = getattr(module, name)
            path = f"{module.__name__}.{name}".replace("tensorflowlite", "tfl", 1)
            if not callable(value) or id(value) in found:
                continue
            found[id(value)] = Public(path, value)
    for item in list(found.values()):  # a method that is a function has its place already
        if isinstance(item.value, type):
            for member in members(item.path, item.value):
                found.setdefault(id(member.value), member)
    return list(found.values())


OBJECTS = public_objects()
FUNCTIONS = {item.name: item for item in OBJECTS if item.owner is None and ">>>" in item.doc}


def exempt(item: Public) -> str:
    """Why an object needs no example of its own; "" where it does.

    A property, an error and a short method without parameters say what they are. A method that
    isn't shown in its class's example, or in the one of a class that this derives from, is a
    public function under its own or another name, or its in-place form.
    """
    if isinstance(item.value, property):
        return "a property"
    if item.owner is None:
        error = isinstance(item.value, type) and issubclass(item.value, Exception)
        return "an error" if error else ""
    if not parameters(item) and "\n\n" not in item.doc:
        return "a short method without parameters"
    if item.doc.startswith("Called "):
        return "a hook that a subclass defines"
    if item.owner is tfl.Tensor and (FUNCTIONS.get(item.name.rstrip("_")) or says_as(item.doc)):
        return "the method, or the in-place form, of a function"
    for base in item.owner.__mro__:
        shown = section(inspect.getdoc(base) or "", "Examples")
        if re.search(rf"(\.|def ){item.name}\(", shown):
            return "in the example of its class"
        if base is not item.owner and item.name in vars(base) and base is not object:
            return "a method of a class that it derives from"
    return ""


def parameters(item: Public) -> set[str]:
    """The names of an object's parameters but ``**others``; not what a method is of."""
    if not callable(item.value):
        return set()
    found = list(inspect.signature(item.value).parameters.values())
    if item.owner is not None:
        del found[0]
    return {p.name for p in found if p.kind is not p.VAR_KEYWORD}


def section(doc: str, title: str) -> str:
    """The text of one section of a docstring in NumPy's style, "" where it has none."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n---|\Z)", doc, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else ""


def described(doc: str, title: str = "Parameters") -> set[str]:
    """The parameters that a docstring describes."""
    lines = re.findall(r"^(\S[^:\n]*?)(?: : .*)?$", section(doc, title), re.MULTILINE)
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}


def paths(item: Public) -> str:
    return item.path


def test_there_is_a_surface() -> None:
    assert len(OBJECTS) > 300


def says_as(doc: str) -> bool:
    """Whether a docstring leaves the parameters to those of another public object: "as in `x`"."""
    text = re.split(r"^\w+\n---", doc, maxsplit=1, flags=re.MULTILINE)[0]
    return any(name in FUNCTIONS for name in re.findall(r"(?<!`)`(\w+)`(?!`)", text))


@pytest.mark.parametrize("item", OBJECTS, ids=paths)
def test_documented(item: Public) -> None:
    """A summary, and the parameters: all of them, or none where there are one or two."""
    summary = item.doc.partition("\n\n")[0]
    assert summary, f"{item.path} has no docstring"
    assert summary.endswith((".", ":")), f"{item.path}: the summary is no sentence: {summary!r}"
    if isinstance(item.value, type) and issubclass(item.value, Exception | str | tuple):
        return
    given, names = parameters(item), described(item.doc)
    if isinstance(item.value, type) and is_dataclass(item.value):
        names = described(item.doc, "Attributes")
    if item.owner is not None:
        names.discard("x")  # the tensor, where a method is a public function
    if names:
        assert names | {"args"} == given | {"args"}, f"{item.path}: {names} of {given}"
    elif item.owner is None:
        assert len(given) <= 2 or says_as(item.doc), f"{item.path} describes none of {given}"


@pytest.mark.parametrize("item", OBJECTS, ids=paths)
def test_example(item: Public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if ">>>" not in item.doc:
        assert exempt(item), f"{item.path} has no example"
        return
    monkeypatch.chdir(tmp_path)
    tfl.manual_seed(0)
    test = doctest.DocTestParser().get_doctest(item.doc, {}, item.path, None, None)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    with contextlib.redirect_stderr(io.StringIO()):
        outcome = runner.run(test, out=report.write)
    assert outcome.attempted and not outcome.failed, report.getvalue()


def layers() -> list[Public]:
    """The modules that are called; lists and dicts of modules aren't."""
    return [
        item
        for item in OBJECTS
        if isinstance(item.value, type)
        and issubclass(item.value, tfl.nn.Module)
        and not issubclass(item.value, tfl.nn.ModuleList | tfl.nn.ModuleDict)
    ]


@pytest.mark.parametrize("item", layers(), ids=paths)
def test_a_layers_example_shows_what_comes_out(item: Public) -> None:
    shown = section(item.doc, "Examples")
    assert re.search(r"\.shape$|^tensor\(|\.item\(\)", shown, re.MULTILINE), item.path


# -- the names -------------------------------------------------------------------------------------
NAMES = {
    "": (
        "Tensor tensor asarray from_numpy from_dlpack zeros ones full empty arange linspace eye "
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
        "complex64 complex128 no_grad enable_grad inference_mode default_device manual_seed "
        "save load save_safetensors load_safetensors __version__ where clip erf concat stack "
        "einsum matmul sort argsort topk grad value_and_grad vjp jvp "
        "jacrev jacfwd hessian hvp checkpoint vmap profile"
    ),
    "amp": "autocast GradScaler custom_fwd custom_bwd is_autocast_available",
    "autograd": "grad backward Function once_differentiable gradcheck gradgradcheck "
        "detect_anomaly set_detect_anomaly is_anomaly_enabled",
    "cuda": (
        "is_available why_not synchronize memory_stats empty_cache tune memory_allocated "
        "max_memory_allocated reset_peak_memory_stats Event Stream stream current_stream nvtx "
        "set_float32_matmul_precision get_float32_matmul_precision"
    ),
    "debug": "log strict lockstep profile StrictWarning StrictError",
    "debug.nvtx": "range_push range_pop range modules",
    "random": "uniform normal randint permutation manual_seed get_state set_state",
    "linalg": (
        "cholesky cross det diagonal eig eigh eigvals eigvalsh inv matmul matrix_norm matrix_power "
        "matrix_rank matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace "
        "vecdot vector_norm cond expm logdet lstsq multi_dot norm solve_triangular tensorinv "
        "tensorsolve"
    ),
    "fft": (
        "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft fftfreq rfftfreq fftshift "
        "ifftshift fft2 ifft2 rfft2 irfft2"
    ),
    "nn": (
        "Module Parameter Sequential ModuleList ModuleDict Linear Conv2d MaxPool2d AvgPool2d "
        "BatchNorm1d BatchNorm2d LayerNorm Dropout Embedding Flatten Identity ReLU Sigmoid Tanh "
        "GELU SiLU Softmax MSELoss L1Loss CrossEntropyLoss NLLLoss BCEWithLogitsLoss "
        "MultiheadAttention TransformerEncoderLayer TransformerDecoderLayer TransformerEncoder "
        "TransformerDecoder Transformer RNN LSTM GRU RNNCell LSTMCell GRUCell "
        "ParameterList ParameterDict Bilinear Unflatten CosineSimilarity PairwiseDistance "
        "BatchNorm3d GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d RMSNorm "
        "LocalResponseNorm Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout "
        "ReLU6 LeakyReLU PReLU RReLU ELU CELU SELU Mish Softplus Softsign Hardtanh Hardsigmoid "
        "Hardswish LogSigmoid Tanhshrink Softshrink Hardshrink Threshold GLU LogSoftmax Softmin "
        "Softmax2d SmoothL1Loss HuberLoss BCELoss KLDivLoss PoissonNLLLoss GaussianNLLLoss CTCLoss "
        "HingeEmbeddingLoss SoftMarginLoss MarginRankingLoss MultiMarginLoss MultiLabelMarginLoss "
        "MultiLabelSoftMarginLoss CosineEmbeddingLoss TripletMarginLoss "
        "TripletMarginWithDistanceLoss"
    ),
    "nn.functional": (
        "linear conv2d relu gelu softmax log_softmax dropout embedding layer_norm batch_norm "
        "mse_loss l1_loss cross_entropy nll_loss binary_cross_entropy_with_logits "
        "scaled_dot_product_attention "
        "relu6 leaky_relu prelu rrelu elu celu selu silu mish softplus softsign hardtanh "
        "hardsigmoid hardswish sigmoid logsigmoid tanh tanhshrink softshrink hardshrink threshold "
        "glu softmin gumbel_softmax one_hot normalize cosine_similarity pairwise_distance bilinear "
        "group_norm instance_norm rms_norm local_response_norm dropout1d dropout2d dropout3d "
        "alpha_dropout feature_alpha_dropout smooth_l1_loss huber_loss binary_cross_entropy kl_div "
        "poisson_nll_loss gaussian_nll_loss hinge_embedding_loss soft_margin_loss "
        "margin_ranking_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss "
        "triplet_margin_loss triplet_margin_with_distance_loss cosine_embedding_loss ctc_loss "
        "gated geglu swiglu"
    ),
    "nn.init": (
        "calculate_gain uniform_ normal_ trunc_normal_ constant_ ones_ zeros_ eye_ dirac_ "
        "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ orthogonal_ sparse_"
    ),
    "nn.utils": (
        "clip_grad_norm_ clip_grad_value_ clip_grads_with_norm_ get_total_norm l1_penalty "
        "parameters_to_vector vector_to_parameters functional_call stack_module_state weight_norm "
        "remove_weight_norm spectral_norm remove_spectral_norm summary parametrize parametrizations"
    ),
    "nn.utils.parametrizations": "weight_norm spectral_norm",
    "nn.utils.parametrize": (
        "register_parametrization remove_parametrizations is_parametrized cached "
        "ParametrizationList type_before_parametrizations"
    ),
    "nn.utils.rnn": (
        "PackedSequence pack_padded_sequence pad_packed_sequence pad_sequence unpad_sequence "
        "pack_sequence unpack_sequence"
    ),
    "optim": (
        "Optimizer SGD Adam AdamW NAdam RAdam Adamax Adagrad Adadelta RMSprop Rprop ASGD Lion LAMB "
        "Adafactor Muon LBFGS"
    ),
    "optim.lr_scheduler": (
        "LRScheduler LambdaLR MultiplicativeLR StepLR MultiStepLR ConstantLR LinearLR "
        "ExponentialLR PolynomialLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR "
        "OneCycleLR ReduceLROnPlateau SequentialLR ChainedScheduler"
    ),
    "optim.swa_utils": (
        "AveragedModel SWALR update_bn get_ema_avg_fn get_ema_multi_avg_fn get_swa_avg_fn "
        "get_swa_multi_avg_fn"
    ),
    "data": "Dataset TensorDataset Subset random_split DataLoader read_idx read_csv read_npz",
    "data.transforms": "Normalize RandomShift RandomCrop RandomHorizontalFlip",
    "train": "Trainer EarlyStopping Checkpoint",
}


@pytest.mark.parametrize("place_name", NAMES)
def test_names_are_there(place_name: str) -> None:
    module = place(place_name)
    missing = [name for name in NAMES[place_name].split() if not hasattr(module, name)]
    assert not missing
    if place_name and "." not in place_name:
        assert getattr(tfl, place_name) is module


def test_dir_names_what_comes_in_at_first_use() -> None:
    assert {"nn", "optim", "data", "train", "autograd", "cuda", "debug"} <= set(dir(tfl))


# -- the signatures of the standard ----------------------------------------------------------------
ONE_ARRAY = (
    "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag "
    "isfinite isinf isnan log log1p log2 log10 logical_not negative positive real reciprocal round "
    "sign signbit sin sinh square sqrt tan tanh trunc matrix_transpose nonzero"
)
TWO_ARRAYS = (
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign "
    "divide equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and "
    "logical_or logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract "
    "matmul"
)
OTHERS = """
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
asarray(obj, /, *, dtype=None, device=None, copy=None)
empty(shape, *, dtype=None, device=None)
empty_like(x, /, *, dtype=None, device=None)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
from_dlpack(x, /, *, device=None, copy=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
meshgrid(*arrays, indexing='xy')
ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)
tril(x, /, *, k=0)
triu(x, /, *, k=0)
zeros(shape, *, dtype=None, device=None)
zeros_like(x, /, *, dtype=None, device=None)
astype(x, dtype, /, *, copy=True, device=None)
can_cast(from_, to, /)
finfo(type, /)
iinfo(type, /)
isdtype(dtype, kind)
result_type(*arrays_and_dtypes)
clip(x, /, min=None, max=None)
take(x, indices, /, *, axis=None)
take_along_axis(x, indices, /, *, axis=-1)
__array_namespace_info__()
tensordot(x1, x2, /, *, axes=2)
vecdot(x1, x2, /, *, axis=-1)
broadcast_arrays(*arrays)
broadcast_shapes(*shapes)
broadcast_to(x, /, shape)
concat(arrays, /, *, axis=0)
expand_dims(x, /, axis)
flip(x, /, *, axis=None)
moveaxis(x, source, destination, /)
permute_dims(x, /, axes)
repeat(x, repeats, /, *, axis=None)
reshape(x, /, shape, *, copy=None)
roll(x, /, shift, *, axis=None)
squeeze(x, /, axis)
stack(arrays, /, *, axis=0)
tile(x, repetitions, /)
unstack(x, /, *, axis=0)
argmax(x, /, *, axis=None, keepdims=False)
argmin(x, /, *, axis=None, keepdims=False)
count_nonzero(x, /, *, axis=None, keepdims=False)
searchsorted(x1, x2, /, *, side='left', sorter=None)
where(condition, x1, x2, /)
isin(x1, x2, /, *, invert=False)
unique_all(x, /)
unique_counts(x, /)
unique_inverse(x, /)
unique_values(x, /)
argsort(x, /, *, axis=-1, descending=False, stable=True)
sort(x, /, *, axis=-1, descending=False, stable=True)
cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
max(x, /, *, axis=None, keepdims=False)
mean(x, /, *, axis=None, keepdims=False)
min(x, /, *, axis=None, keepdims=False)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
all(x, /, *, axis=None, keepdims=False)
any(x, /, *, axis=None, keepdims=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
"""
STANDARD = dict.fromkeys(ONE_ARRAY.split(), "(x, /)")
STANDARD |= dict.fromkeys(TWO_ARRAYS.split(), "(x1, x2, /)")
STANDARD |= {line.partition("(")[0]: line for line in OTHERS.split("\n") if line}


@pytest.mark.parametrize("name", STANDARD)
def test_signature_is_the_standards(name: str) -> None:
    """As many parameters by position only, and the others by the standard's names and defaults.

    An axis may be given by position too, as NumPy allows.
    """
    names: dict[str, Any] = {}
    exec(f"def function({STANDARD[name].partition('(')[2]}: ...", names)
    wanted = list(inspect.signature(names["function"]).parameters.values())
    ours = inspect.signature(getattr(tfl, name)).parameters
    only = [p for p in ours.values() if p.kind is p.POSITIONAL_ONLY]
    assert len(only) == sum(p.kind is p.POSITIONAL_ONLY for p in wanted)
    for p in wanted:
        if p.kind is p.VAR_POSITIONAL:
            assert any(q.kind is q.VAR_POSITIONAL for q in ours.values())
        elif p.kind is not p.POSITIONAL_ONLY:
            assert ours[p.name].kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
            if p.default is not p.empty:
                assert ours[p.name].default == p.default
    if not any(p.kind is p.VAR_POSITIONAL for p in ours.values()):
        others = [p for p in wanted if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        assert all(ours[p.name].kind is p.POSITIONAL_OR_KEYWORD for p in others)
