"""Native convolutions: right against float64, the same bits on any threads, clear errors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite.backend import backend_for
from tensorflowlite.backend.slots import conv as conv_slots

pytestmark = pytest.mark.usefixtures("kernels_as_before")

Array = np.ndarray[Any, Any]

# Images, channels, outputs, size, kernel, stride, padding, dilation, groups.
SAME = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))
CASES = [
    (2, 3, 5, (7, 9), (3, 3), (1, 1), SAME, (1, 1), 1),
    (3, 16, 33, (14, 14), (3, 3), (1, 1), SAME, (1, 1), 1),  # channels beyond the blocks
    (1, 4, 64, (28, 28), (3, 3), (1, 1), SAME, (1, 1), 1),
    (2, 70, 40, (9, 9), (3, 3), (1, 1), SAME, (1, 1), 1),
    (2, 32, 48, (6, 7), (3, 3), (1, 1), NONE, (1, 1), 1),  # read where it lies
    (2, 24, 17, (7, 7), (1, 1), (1, 1), NONE, (1, 1), 1),
    (2, 8, 16, (17, 13), (1, 1), (2, 2), NONE, (1, 1), 1),  # gaps in the gradient by the input
    (2, 8, 16, (17, 13), (1, 1), (3, 2), ((1, 1), (2, 2)), (1, 1), 1),
    (2, 4, 3, (4, 4), (1, 1), (7, 9), NONE, (1, 1), 1),  # strides beyond the image
    (2, 4, 6, (17, 13), (5, 5), (2, 2), ((2, 1), (0, 3)), (1, 1), 1),
    (2, 4, 6, (17, 13), (7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 2),
    (2, 4, 6, (17, 13), (3, 2), (2, 3), ((3, 0), (2, 5)), (2, 3), 2),
    (2, 36, 36, (9, 20), (3, 3), (1, 2), SAME, (1, 1), 2),
    (2, 8, 8, (17, 35), (3, 3), (1, 1), SAME, (1, 1), 8),  # depthwise
    (2, 4, 8, (9, 33), (3, 3), (2, 2), SAME, (1, 1), 4),
    (1, 2, 3, (5, 1100), (3, 5), (1, 2), ((0, 0), (0, 4)), (1, 2), 1),  # bands of columns
    (2, 2, 3, (5, 5), (3, 3), (1, 1), ((4, 4), (5, 5)), (1, 1), 1),  # more padding than kernel
    (1, 64, 8, (65, 66), (3, 3), (1, 1), SAME, (1, 1), 1),  # bands of rows
    (2, 3, 2, (1, 1), (3, 3), (1, 1), SAME, (1, 1), 1),
]
SHORT = [CASES[i] for i in (1, 4, 6, 11, 12, 13)]
cases = pytest.mark.parametrize("case", CASES, ids=[f"case{i}" for i in range(len(CASES))])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def arrays(case: Any, dtype: Any = np.float64, seed: int = 0) -> tuple[Array, Array, Array, Any]:
    """Return x, the kernels, the result's gradient and the geometry."""
    images, channels, outputs, size, kernel, *geometry = case
    stride, padding, dilation, groups = geometry
    generator = np.random.default_rng(seed)
    count = [
        (size[a] + sum(padding[a]) - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1
        for a in range(2)
    ]
    shapes = (images, channels, *size), (outputs, channels // groups, *kernel)
    x, w, y = (
        generator.standard_normal(shape).astype(dtype)
        for shape in (*shapes, (images, outputs, *count))
    )
    return x, w, y, (stride, padding, dilation, groups)


def reference(x: Array, w: Array, y: Array, geometry: Any) -> tuple[Array, Array, Array]:
    """Return the convolution and its gradients in float64, tap by tap."""
    (sy, sx), padding, (dy, dx), groups = geometry
    x, w, y = (array.astype(np.float64) for array in (x, w, y))
    wide = np.pad(x, ((0, 0), (0, 0), *padding))
    out, by_wide, by_w = np.zeros_like(y), np.zeros_like(wide), np.zeros_like(w)
    inputs, outputs = w.shape[1], w.shape[0] // groups
    height, width = y.shape[2:]
    for g in range(groups):
        of_x, of_y = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                rows = slice(i * dy, i * dy + (height - 1) * sy + 1, sy)
                columns = slice(j * dx, j * dx + (width - 1) * sx + 1, sx)
                part, tap = wide[:, of_x, rows, columns], w[of_y, :, i, j]
                out[:, of_y] += np.einsum("ok,nkyx->noyx", tap, part)
                by_wide[:, of_x, rows, columns] += np.einsum("ok,noyx->nkyx", tap, y[:, of_y])
                by_w[of_y, :, i, j] += np.einsum("noyx,nkyx->ok", y[:, of_y], part)
    (top, _), (left, _) = padding
    inside = by_wide[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return out, inside, by_w


def run(module: ModuleType, x: Array, w: Array, y: Array, geometry: Any) -> list[Array]:
    return [
        module.convolution(x, w, *geometry)[0],
        module.convolution_input_gradient(y, w, x.shape, *geometry),
        module.convolution_weight_gradient(y, x, w.shape, *geometry),
    ]


def check_close(found: list[Array], expected: Any, dtype: Any) -> None:
    unit = 60 * float(np.finfo(dtype).eps)
    for array, right in zip(found, expected, strict=True):
        assert array.dtype == dtype and array.shape == right.shape
        np.testing.assert_allclose(array, right, rtol=0, atol=unit * (np.abs(right).max() + 1e-3))


@dtypes
@cases
def test_right_with_every_instruction_set(native_module: ModuleType, case: Any, dtype: Any) -> None:
    *operands, geometry = arrays(case, dtype)
    expected = reference(*operands, geometry)
    for name in native_module.instruction_sets():
        native_module.use_instruction_set(name)
        check_close(run(native_module, *operands, geometry), expected, dtype)


@dtypes
@cases
def test_bits_for_any_number_of_threads(native_module: ModuleType, case: Any, dtype: Any) -> None:
    *operands, geometry = arrays(case, dtype)
    tfl.set_num_threads(1)
    one = run(native_module, *operands, geometry)
    for count in (2, 3):
        tfl.set_num_threads(count)
        for array, first in zip(run(native_module, *operands, geometry), one, strict=True):
            assert array.tobytes() == first.tobytes()


def test_many_images_sum_in_a_fixed_order(native_module: ModuleType) -> None:
    *operands, geometry = arrays(
        (37, 16, 16, (11, 10), (3, 3), (1, 1), SAME, (1, 1), 1), np.float32
    )
    check_close(run(native_module, *operands, geometry), reference(*operands, geometry), np.float32)
    bits = set()
    for count in (1, 2, 3):
        tfl.set_num_threads(count)
        bits.add(b"".join(a.tobytes() for a in run(native_module, *operands, geometry)))
    assert len(bits) == 1


@pytest.mark.parametrize("case", SHORT)
def test_slots_against_numpys(native_module: ModuleType, case: Any) -> None:
    """Also for inputs that lie otherwise in memory, and with NaN and infinities."""
    x, w, y, geometry = arrays(case)
    x[0, 0, 0, 0], x[-1, -1, -1, -1] = np.nan, np.inf
    y[0, -1, -1, 0] = -np.inf
    ours, theirs = backend_for("cpu"), conv_slots.slots(np)
    far_x = np.asfortranarray(x)
    far_w = np.repeat(w, 2, axis=1)[:, ::2]
    far_y = y[:, :, ::-1].copy()[:, :, ::-1]
    calls: Any = (
        ("convolution", (x, w), (far_x, far_w), ()),
        ("convolution_input_gradient", (y, w), (far_y, far_w), (x.shape,)),
        ("convolution_weight_gradient", (y, x), (far_y, far_x), (w.shape,)),
    )
    for name, near, far, rest in calls:
        slot = getattr(ours, name)
        assert ours.slots[name].accepts(*far, *rest, *geometry)
        found = slot(*far, *rest, *geometry)
        with np.errstate(invalid="ignore"):
            expected = theirs[name](*near, *rest, *geometry)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
        assert found.tobytes() == slot(*near, *rest, *geometry).tobytes()


def test_infinity_stays_with_the_places_that_read_it(native_module: ModuleType) -> None:
    """Vectors that run over the ends of rows read what isn't theirs, and drop it."""
    for case in CASES:
        x, w, y, geometry = arrays(case)
        x[..., -1] = np.inf
        y[..., 0] = np.inf
        with np.errstate(invalid="ignore"):
            expected = reference(x, w, y, geometry)
        for array, right in zip(run(native_module, x, w, y, geometry), expected, strict=True):
            np.testing.assert_array_equal(np.isfinite(array), np.isfinite(right))


@pytest.mark.parametrize("shape", [(0, 4, 5, 5), (2, 0, 5, 5), (2, 4, 0, 5)])
def test_empty(native_module: ModuleType, shape: tuple[int, ...]) -> None:
    geometry = ((1, 1), SAME, (1, 1), 1)
    x, w = np.ones(shape), np.ones((3, shape[1], 3, 3))
    count = [max(0, size + 2 - 2) for size in shape[2:]]
    y = np.ones((shape[0], 3, *count))
    out, by_x, by_w = run(native_module, x, w, y, geometry)
    assert out.shape == y.shape and by_x.shape == x.shape and by_w.shape == w.shape
    assert not out.any() and not by_w.any()
    bias = np.arange(3.0)
    out = native_module.convolution(x, w, *geometry, bias, "relu")[0]
    np.testing.assert_array_equal(out, np.broadcast_to(bias[:, None, None], y.shape))


ACTIVATIONS = [None, "relu", "tanh", "gelu", "silu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", SHORT)
def test_layer_against_its_decomposition(
    native_module: ModuleType, case: Any, activation: str | None
) -> None:
    x, w, y, geometry = arrays(case)
    bias = np.linspace(-1, 1, w.shape[0])
    functions = {
        None: lambda z: z,
        "relu": tfl.nn.functional.relu,
        "tanh": tfl.tanh,
        "gelu": tfl.nn.functional.gelu,
        "silu": tfl.nn.functional.silu,
    }
    results = []
    for fused in (True, False):
        leaves = [tfl.tensor(a, requires_grad=True) for a in (x, w, bias)]
        wide = tfl.nn.functional.pad(leaves[0], (*geometry[1][1], *geometry[1][0]))
        around: Any = {"stride": geometry[0], "dilation": geometry[2], "groups": geometry[3]}
        if fused:
            out = tfl.nn.functional.conv2d(wide, *leaves[1:], activation=activation, **around)
        else:
            z = tfl.nn.functional.conv2d(wide, leaves[1], **around)
            out = functions[activation](z + leaves[2].reshape((1, -1, 1, 1)))
        out.backward(tfl.tensor(y))
        results.append([out, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(
            one.detach().numpy(), other.detach().numpy(), rtol=1e-11, atol=1e-12
        )


def test_what_a_layer_saves(native_module: ModuleType) -> None:
    """The result where its derivative is read from it, else what the activation was given."""
    x, w, _, geometry = arrays(CASES[1])
    bias = np.linspace(-1, 1, w.shape[0])
    z = native_module.convolution(x, w, *geometry)[0] + bias[:, None, None]
    slot = backend_for("cpu").conv_act
    out, saved = slot(x, w, bias, *geometry, "relu")
    assert saved is out
    np.testing.assert_array_equal(out, np.maximum(z, 0))
    out, saved = slot(x, w, bias, *geometry, "gelu")
    np.testing.assert_array_equal(saved, z)
    assert saved is not out
    assert slot(x, w, *geometry, None)[1] is None


def test_over_one_axis(native_module: ModuleType) -> None:
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((2, 6, 40)), generator.standard_normal((8, 3, 5))
    geometry: Any = ((2,), ((1, 3),), (2,), 2)
    ours, theirs = backend_for("cpu"), conv_slots.slots(np)
    out = ours.convolution(x, w, *geometry)
    y = generator.standard_normal(out.shape)
    pairs = [
        (out, theirs["convolution"](x, w, *geometry)),
        *(
            (getattr(ours, name)(*args), theirs[name](*args))
            for name, args in (
                ("convolution_input_gradient", (y, w, x.shape, *geometry)),
                ("convolution_weight_gradient", (y, x, w.shape, *geometry)),
            )
        ),
    ]
    for found, expected in pairs:
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_left_to_numpy(native_module: ModuleType) -> None:
    slots = backend_for("cpu").slots
    x, w, y, geometry = arrays(CASES[0])
    accepts = slots["convolution"].accepts
    assert accepts(x, w, *geometry)
    assert not accepts(x.astype(np.float16), w.astype(np.float16), *geometry)
    assert not accepts(x, w.astype(np.float32), *geometry)
    assert not accepts(x[..., None], w[..., None], (1,) * 3, ((0, 0),) * 3, (1,) * 3, 1)
    assert not accepts(x[:0], w, *geometry)
    flat: Any = ((1, 1), NONE, (1, 1), 1)
    assert accepts(np.ones((2, 3, 2, 2)), np.ones((8, 3, 1, 1)), *flat)
    assert not accepts(np.ones((2, 3, 2, 2)), np.ones((7, 3, 1, 1)), *flat)  # one product
    assert not accepts(np.ones((2, 3, 1, 3)), np.ones((8, 3, 1, 1)), *flat)
    far = ((10**6, 10**6), (10**6, 10**6))
    assert not accepts(x, w, (1, 1), far, (10**6, 10**6), 1)
    assert not slots["convolution_input_gradient"].accepts(
        y.astype(np.float32), w, x.shape, *geometry
    )


X, W = np.ones((2, 4, 5, 5)), np.ones((6, 2, 3, 3))
GOOD: Any = ((1, 1), SAME, (1, 1), 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": X.astype(np.float16)}, "x must be float32 or float64"),
        ({"x": X[0]}, "x must have 4 dimensions"),
        ({"x": X[..., ::2]}, "x must be C-contiguous"),
        ({"w": W.astype(np.float32)}, "weight must be float64"),
        ({"w": W[0]}, "weight must have 4 dimensions"),
        ({"w": W.transpose(1, 0, 2, 3)}, "weight must be C-contiguous"),
        ({"w": W[:, :, :0]}, "the kernel must have at least one element"),
        ({"w": W[:5].copy()}, "groups must divide"),
        ({"groups": 0}, "groups must divide"),
        ({"groups": -2}, "groups must divide"),
        ({"groups": 4}, "groups must divide"),
        ({"stride": (0, 1)}, "stride must be from 1"),
        ({"stride": (1, 1 << 31)}, "stride must be from 1"),
        ({"dilation": (1, -1)}, "dilation must be from 1"),
        ({"padding": ((0, 0), (-1, 0))}, "padding of columns must be from 0"),
        ({"padding": ((0, 1 << 40), (0, 0))}, "padding of rows must be from 0"),
        ({"bias": np.ones(5)}, "bias must have shape"),
        ({"bias": np.ones(6, np.float32)}, "bias must be float64"),
        ({"activation": "none"}, "activation must be one of"),
    ],
)
def test_bad_arguments(native_module: ModuleType, change: dict[str, Any], message: str) -> None:
    stride, padding, dilation, groups = GOOD
    given: dict[str, Any] = {
        "x": X, "w": W, "stride": stride, "padding": padding, "dilation": dilation,
        "groups": groups, "bias": None, "activation": "relu",
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=f"^convolution: {message}"):
        native_module.convolution(*given.values())


@pytest.mark.parametrize("name", ["convolution_input_gradient", "convolution_weight_gradient"])
def test_bad_arguments_of_gradients(native_module: ModuleType, name: str) -> None:
    y = np.ones((2, 6, 5, 5))
    other, shape = (W, X.shape) if "input" in name else (X, W.shape)
    call = getattr(native_module, name)
    assert call(y, other, shape, *GOOD).shape == shape
    bad: list[tuple[Any, ...]] = [
        (y[:, :, :4].copy(), other, shape, *GOOD),
        (y[:1], other, shape, *GOOD),
        (y.astype(np.float32), other, shape, *GOOD),
        (y, other[0], shape, *GOOD),
        (y, other, (2, 4, -5, 5), *GOOD),
        (y, other, (1 << 40, 1, 1, 1), *GOOD),
        (y, other, shape, (1, 1), SAME, (1, 1), 3),
        (y, other, shape, (2, 1), SAME, (1, 1), 2),
    ]
    for arguments in bad:
        with pytest.raises(ValueError, match=f"^{name}: "):
            call(*arguments)
    for arguments in [(y, other, shape[:3], *GOOD), (y, other, shape, (1,), SAME, (1, 1), 2)]:
        with pytest.raises(TypeError):
            call(*arguments)


def test_results_beyond_memory(native_module: ModuleType) -> None:
    x, w = np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))
    wide = (((1 << 31) - 1,) * 2,) * 2
    with pytest.raises((MemoryError, ValueError)):
        native_module.convolution(x, w, (1, 1), wide, (1, 1), 1)


@pytest.mark.parametrize("groups", [3, 2**31, 2**62 + 2**61])
def test_groups_of_nothing(native_module: ModuleType, groups: int) -> None:
    """No channels divide into any number of groups: their product with others must not overflow."""
    x = np.empty((1, 0, 4, 4), np.float32)
    weight = np.empty((0, 0, 3, 3), np.float32)
    with pytest.raises(ValueError, match="groups must divide"):
        native_module.convolution(
            x, weight, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=groups
        )
