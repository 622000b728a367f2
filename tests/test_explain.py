"""Stories of training steps: their numbers are the tape's, and they tell where gradients go."""

from __future__ import annotations

import base64
import json
import math
import threading

import numpy as np
import pytest

import tensorflowlite as tfl
from tensorflowlite import nn, optim
from tensorflowlite.backend import as_array, backend_of
from tensorflowlite.core.graph import parents_of
from tensorflowlite.core.primitive import exchange_rules, registry, watch
from tensorflowlite.core.tape import Pass
from tensorflowlite.errors import ArgumentError, StateError
from tensorflowlite.io import WriteError
from tensorflowlite.nn import functional as F
from tensorflowlite.story.formulas import formulas_of, stands_for, text_of
from tensorflowlite.story.thinning import thinned
from tensorflowlite.story.wordings import STANDS_FOR, WORDED


def host(array):
    array = getattr(array, "array", array)
    array = as_array(array)
    return np.array(backend_of(array).to_host(array))


# -- every number ----------------------------------------------------------------------------------
class Eyewitness:
    """Keeps whole arrays of what a step does: results of calls, and gradients at every rule."""

    def __init__(self, story):
        self.results, self.flows = [], []
        self.inside = 0
        self.recorder = story._recorder  # whose own probes of rules aren't part of the step

    def wrap(self, name, run):
        op = registry.get(name)

        def seen(*args, **options):
            result = run(*args, **options)
            if op is not None and not self.inside and not self.recorder._resting:
                out = result[0] if op.keeps_residual else result
                outs = out if isinstance(out, tuple | list) else [out]
                self.results.append((op.called, [host(one) for one in outs]))
            return result

        return seen

    def watched(self, op, rule):
        place = None
        for rules in (op.raw, op.run_traced):
            if not callable(rules):
                place = next((i for i, one in enumerate(rules) if one is rule), place)

        def seen(node, g, k, need):
            if self.inside or self.recorder._resting:
                return rule(node, g, k, need)
            gs = g if isinstance(g, tuple) else (g,)
            above = [None if one is None else host(one) for one in gs]
            trace = isinstance(gs[0], tfl.Tensor)
            self.inside += not trace
            try:
                result = rule(node, g, k, need)
            finally:
                self.inside -= not trace
            found = {}
            for i, one in [(place, result)] if place is not None else enumerate(result):
                parents = list(parents_of(node))
                wanted = place is not None or need[i]
                if one is not None and parents[i] is not None and wanted:
                    found[i] = host(one)
            # The rules of one node are told as one flow.
            if self.flows and self.flows[-1][0] is node:
                self.flows[-1][3].update(found)
            else:
                self.flows.append((node, op.called, above, found))
            return result

        return seen


def number(value):
    return float(value) if isinstance(value, str) else value


def check_array(told, array):
    """Hold what a story tells of an array to the array itself."""
    assert tuple(told["shape"]) == array.shape and told["dtype"] == array.dtype.name
    if not array.size:
        return
    wide = array.astype(np.float64) if array.dtype.kind not in "biu" else array
    finite = wide[np.isfinite(wide)]
    assert told["nan"] == np.isnan(wide).sum() and told["inf"] == np.isinf(wide).sum()
    assert told["zeros"] == (array == 0).mean()
    if finite.size:
        assert array.dtype.type(told["min"]) == finite.min()
        assert array.dtype.type(told["max"]) == finite.max()
        assert math.isclose(told["mean"], finite.mean(), rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(told["std"], finite.std(), rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(told["norm"], np.linalg.norm(finite.ravel()), rel_tol=1e-9)
    if array.size <= 64:
        values = np.array([number(v) for v in told["values"]]).astype(array.dtype)
        np.testing.assert_array_equal(values.reshape(array.shape), array)
    elif finite.size:
        histogram = told["histogram"]
        wanted, _ = np.histogram(finite, 16, (histogram["low"], histogram["high"]))
        # An element on the border of two bins may lie in either.
        assert sum(histogram["counts"]) == finite.size
        assert np.abs(np.cumsum(histogram["counts"]) - np.cumsum(wanted)).max() <= 1
        check_heat(told["heat"], wide)


def check_heat(heat, array):
    cells = np.frombuffer(base64.b64decode(heat["cells"]), np.uint8)
    cells = cells.reshape(heat["rows"], heat["columns"])
    if array.ndim < 2:
        return
    matrix = array.reshape(-1, array.shape[-1])
    blocks = [
        [np.arange(int(a), int(b)) for a, b in
         zip(np.linspace(0, length, parts + 1)[:-1], np.linspace(0, length, parts + 1)[1:],
             strict=True)]
        for length, parts in zip(matrix.shape, cells.shape, strict=True)
    ]
    means = np.array([[matrix[np.ix_(r, c)].mean() for c in blocks[1]] for r in blocks[0]])
    assert math.isclose(heat["low"], means.min(), rel_tol=1e-6, abs_tol=1e-12)
    assert math.isclose(heat["high"], means.max(), rel_tol=1e-6, abs_tol=1e-12)
    if heat["high"] > heat["low"]:
        levels = (means - heat["low"]) / (heat["high"] - heat["low"]) * 254
        assert np.abs(levels - cells).max() <= 0.51


def values_of(told):
    return np.array([number(v) for v in told["values"]], np.float64).reshape(told["shape"])


def summed_to(array, shape):
    lead = array.ndim - len(shape)
    axes = (*range(lead), *[i + lead for i, n in enumerate(shape) if n != array.shape[i + lead]])
    return array.sum(axes).reshape(shape)


def check_story(story, witness, parameters, before):
    """Hold all of a story of one iteration to what the eyewitness kept."""
    page = json.loads(story.to_json())
    (iteration,) = page["iterations"]
    calls, flows, values = (iteration[name] for name in ("calls", "flows", "values"))
    told = [one for one in calls if one["operation"] != "detach"]
    assert [one["operation"] for one in told] == [name for name, _ in witness.results]
    for call, (_, arrays) in zip(told, witness.results, strict=True):
        for value, array in zip(call["outputs"], arrays, strict=True):
            check_array(values[value]["array"], array)
    assert [f["operation"] for f in flows] == [name for _, name, _, _ in witness.flows]
    for flow, (_, _, above, products) in zip(flows, witness.flows, strict=True):
        upstream = flow["upstream"] if isinstance(flow["upstream"], list) else [flow["upstream"]]
        for one, array in zip(upstream, above, strict=True):
            if one is not None:
                check_array(one, array)
        assert [part["input"] for part in flow["parts"]] == sorted(products)
        for part, (_, array) in zip(flow["parts"], sorted(products.items()), strict=True):
            shape = tuple(part["product"]["shape"])
            if array.shape == shape and part["product"]["dtype"] == array.dtype.name:
                check_array(part["product"], array)
            else:  # the tape un-broadcasts what the rule gave
                assert math.prod(shape) <= 64
                np.testing.assert_allclose(
                    values_of(part["product"]), summed_to(array, shape), rtol=1e-4, atol=1e-7
                )
        check_local(flow, upstream)
    check_fan_out(iteration)
    updates = {one["parameter"]: one for one in iteration["updates"]}
    assert set(updates) == set(parameters)
    for name, p in parameters.items():
        check_array(updates[name]["before"], before[name])
        check_array(updates[name]["after"], host(p))
        check_array(updates[name]["gradient"], host(p.grad))
        check_array(updates[name]["step"], host(p) - before[name])
    return page


def check_local(flow, above):
    """The derivative times the gradient above is the product."""
    for part in flow["parts"]:
        local, product = part["local"], part["product"]
        if local is None or "values" not in product or "values" not in above[0]:
            continue
        g, wanted = values_of(above[0]), values_of(product)
        if "values" not in local["array"]:
            continue
        slopes = values_of(local["array"])
        found = (
            summed_to(g * slopes, wanted.shape) if local["kind"] == "elementwise"
            else (g.reshape(-1) @ slopes).reshape(wanted.shape)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)


def check_fan_out(iteration):
    """What reaches an operation is the sum of what its consumers hand down."""
    checked = 0
    for number_of_pass, _ in enumerate(iteration["passes"]):
        flows = [f for f in iteration["flows"] if f["pass"] == number_of_pass]
        terms = {}
        for flow in flows:
            for part in flow["parts"]:
                if part["value"] is not None and "values" in part["product"]:
                    terms.setdefault(part["value"], []).append(values_of(part["product"]))
        for flow in flows:
            if flow["call"] is None or isinstance(flow["upstream"], list):
                continue
            (made,) = iteration["calls"][flow["call"]]["outputs"]
            if made in terms and "values" in flow["upstream"]:
                np.testing.assert_allclose(
                    sum(terms[made]), values_of(flow["upstream"]), rtol=1e-4, atol=1e-7
                )
                checked += 1
    return checked


class Block(nn.Module):
    """A small transformer block: attention and a feed-forward layer, each with a way around."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        h = self.norm(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return (x + self.inner(x)).mean(1)


def make_mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), (5, 3)


def make_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(27, 2),
    ), (4, 1, 6, 6)  # fmt: skip


def make_transformer():
    return Block(), (2, 3, 8)


@pytest.mark.parametrize("make", [make_mlp, make_cnn, make_transformer])
def test_every_number_is_the_tapes(make):
    tfl.manual_seed(3)
    model, shape = make()
    x, y = tfl.randn(*shape), tfl.tensor([i % 2 for i in range(shape[0])])
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    parameters = dict(model.named_parameters())
    before = {name: host(p) for name, p in parameters.items()}
    with tfl.explain() as story:
        witness = Eyewitness(story)
        watch.start(witness.wrap)
        restore = exchange_rules(witness.watched)
        try:
            F.cross_entropy(model(x)[:, :2], y).backward()
        finally:
            restore()
            watch.stop(witness.wrap)
        optimizer.step()
    page = check_story(story, witness, parameters, before)
    assert {one["state"] for one in page["reasons"]} <= {"healthy", "vanished", "zero"}
    slots = {slot["name"] for one in page["iterations"][0]["updates"] for slot in one["slots"]}
    assert slots == {"step", "exp_avg", "exp_avg_sq"}
    for update in page["iterations"][0]["updates"]:
        state = optimizer.state[parameters[update["parameter"]]]
        for slot in update["slots"]:
            check_array(slot["after"], host(state[slot["name"]]))


def test_every_number_of_second_order_is_the_tapes():
    w = tfl.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
    x = tfl.tensor([[1.0, 2.0], [-0.5, 3.0], [0.1, -0.2]], requires_grad=True)
    before = {"w": host(w)}
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    with tfl.explain() as story:
        witness = Eyewitness(story)
        watch.start(witness.wrap)
        restore = exchange_rules(witness.watched)
        try:
            (slope,) = tfl.autograd.grad(tfl.tanh(x @ w).sum(), [x], create_graph=True)
            (slope * slope).sum().backward()
        finally:
            restore()
            watch.stop(witness.wrap)
        optimizer.step()
    page = check_story(story, witness, {"w": w}, before)
    (iteration,) = page["iterations"]
    assert [one["create_graph"] for one in iteration["passes"]] == [True, False]
    phases = [one["phase"] for one in iteration["calls"]]
    assert "backward" in phases and phases[0] == "forward"
    of_second = [f for f in iteration["flows"] if f["pass"] == 1]
    assert any(
        f["call"] is not None and iteration["calls"][f["call"]]["phase"] == "backward"
        for f in of_second
    )


def test_where_a_value_fans_out_the_terms_add_up():
    x = tfl.tensor([1.0, 2.0], requires_grad=True)
    with tfl.explain() as story:
        h = x * 3.0
        (h * h + tfl.sin(h) - h).sum().backward()
    (iteration,) = story.data["iterations"]
    assert check_fan_out(iteration) >= 4
    made = next(c for c in iteration["calls"] if c["operation"] == "multiply")["outputs"][0]
    parts = [p for f in iteration["flows"] for p in f["parts"] if p["value"] == made]
    assert len(parts) == 4  # twice in h * h


def test_the_same_training_with_and_without_a_story():
    def trained(explained):
        tfl.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        x, y = tfl.randn(12, 6), tfl.randint(0, 2, (12,))

        def step():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

        for _ in range(3):
            if explained:
                with tfl.explain():
                    step()
            else:
                step()
        return [host(p) for p in model.parameters()], host(tfl.randn(3))

    (plain, drawn), (explained, also_drawn) = trained(False), trained(True)
    np.testing.assert_array_equal(drawn, also_drawn)
    for one, other in zip(plain, explained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


# -- iterations ------------------------------------------------------------------------------------
def test_an_iteration_ends_with_the_optimizers_step():
    model = nn.Linear(2, 1)
    first = optim.SGD([model.weight], lr=0.1)
    second = optim.SGD([model.bias], lr=0.1)
    with tfl.explain() as story:
        for _ in range(3):
            first.zero_grad(set_to_none=False)
            second.zero_grad()
            loss = (model(tfl.ones((4, 2))) ** 2).mean()
            loss.backward()
            first.step()
            second.step()
    iterations = story.data["iterations"]
    assert len(iterations) == 3
    assert [[u["parameter"] for u in one["updates"]] for one in iterations] == [
        ["weight", "bias"]
    ] * 3
    losses = [one["loss"] for one in iterations]
    assert losses == sorted(losses, reverse=True) and losses[-1] == pytest.approx(float(loss))


def test_steps_by_hand_are_iterations_too():
    w = tfl.tensor([1.0, 2.0], requires_grad=True)
    b = tfl.tensor(0.5, requires_grad=True)
    with tfl.explain() as story:
        for _ in range(3):
            (w * w + b).sum().backward()
            with tfl.no_grad():
                w -= 0.1 * w.grad
                b -= 0.1 * b.grad
            w.grad = b.grad = None
    assert len(story) == 3
    for one in story.data["iterations"]:
        assert [update["parameter"] for update in one["updates"]] == ["w", "b"]
        of_w = one["updates"][0]
        before, slope, step, after = (
            np.array(of_w[key]["values"]) for key in ("before", "gradient", "step", "after")
        )
        np.testing.assert_allclose(slope, 2 * before, rtol=1e-6)
        np.testing.assert_allclose(after, before - 0.1 * slope, rtol=1e-6)
        np.testing.assert_allclose(step, after - before, rtol=1e-4)
        assert {c["phase"] for c in one["calls"]} == {"forward", "update"}
    names = {v["name"] for v in story.data["iterations"][0]["values"] if v["kind"] == "parameter"}
    assert names == {"w", "b"}


def test_explaining_a_function():
    w = tfl.tensor([3.0], requires_grad=True)
    story = tfl.explain(lambda x: (x * w).sum(), tfl.tensor([2.0]))
    assert story.why("w").state == "healthy" and w.grad.item() == 2.0
    story = tfl.explain(lambda: 5)
    assert any("no tensor" in note for note in story.data["notes"])
    with pytest.raises(ArgumentError, match="explain: the function must be callable, got int"):
        tfl.explain(5)
    with pytest.raises(ArgumentError, match="arguments go with a function, got 'x'"):
        tfl.explain(x=1)
    with pytest.raises(ZeroDivisionError):
        tfl.explain(lambda: 1 // 0)
    assert watch.wrap is None


def test_what_functions_of_ones_own_do():
    class Cube(tfl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x * x

    w = tfl.tensor([2.0], requires_grad=True)
    with tfl.explain() as story:
        Cube.apply(w * 1.0).sum().backward()
    (iteration,) = story.data["iterations"]
    assert [c["operation"] for c in iteration["calls"]] == ["multiply", "Cube", "sum"]
    flow = next(f for f in iteration["flows"] if f["operation"] == "Cube")
    assert flow["parts"][0]["product"]["values"] == [12.0]
    assert story.why("w").path == ("sum", "Cube", "multiply")


def test_transforms_and_jit_under_a_story():
    w = tfl.tensor([1.0, 2.0], requires_grad=True)

    def loss(v):
        return (v * v).sum()

    with tfl.explain() as story:
        tfl.grad(loss)(w)
        tfl.jit(loss)(w).backward()
        tfl.vmap(lambda v: v * 2)(tfl.ones((3, 2)))
    (iteration,) = story.data["iterations"]
    assert len(iteration["passes"]) == 2
    assert any("vmap" in note for note in story.data["notes"])


# -- off, and bad input ----------------------------------------------------------------------------
def test_nothing_is_left_when_it_is_over():
    def state():
        return [
            Pass.run, tfl.Tensor.detach, vars(tfl.autograd.Function)["apply"], optim.SGD.step,
            optim.Optimizer.step, optim.Optimizer.zero_grad, watch.wrap,
            *[(op.raw, op.run_traced, op.defers) for op in registry.values()],
        ]  # fmt: skip

    before = state()
    with pytest.raises(ValueError, match="mine"), tfl.explain():
        raise ValueError("mine")
    after = state()
    assert len(before) == len(after)
    assert all(a is b or a == b for a, b in zip(before, after, strict=True))


def test_one_story_at_a_time():
    with tfl.explain(), pytest.raises(StateError, match="one story is recorded at a time"):
        tfl.explain(lambda: tfl.ones(2))
    with tfl.explain() as story:
        pass
    with pytest.raises(StateError, match="next_iteration: the story must be under way"):
        story.next_iteration()


def test_other_threads_are_not_told_of():
    def work():
        for _ in range(20):
            w = tfl.tensor([1.0], requires_grad=True)
            (tfl.cos(w) * 2).sum().backward()

    other = threading.Thread(target=work)
    with tfl.explain() as story:
        other.start()
        for _ in range(20):
            w = tfl.tensor([1.0], requires_grad=True)
            (tfl.sin(w) * 2).sum().backward()
        other.join()
    operations = {c["operation"] for one in story.data["iterations"] for c in one["calls"]}
    assert "sin" in operations and "cos" not in operations
    (iteration,) = story.data["iterations"]
    assert all(flow["call"] is not None for flow in iteration["flows"])


def test_an_unwritable_path(tmp_path):
    story = tfl.explain(lambda: tfl.ones(2).sum())
    with pytest.raises(WriteError, match="explain: "):
        story.to_html(tmp_path / "nowhere" / "story.html")


def test_nan_and_infinity_are_texts():
    w = tfl.tensor([float("nan"), float("inf"), -float("inf")], requires_grad=True)
    story = tfl.explain(lambda: (w * 2).sum())
    page = json.loads(story.to_json())
    values = [v["array"]["values"] for v in page["iterations"][0]["values"] if v["name"] == "w"]
    assert values == [["nan", "inf", "-inf"]]


@pytest.mark.parametrize(
    "dtype", [tfl.float16, tfl.bfloat16, tfl.float64, tfl.complex64, tfl.int8, tfl.bool_]
)
@pytest.mark.parametrize("size", [0, 3, 100])
def test_arrays_of_any_dtype_and_size(dtype, size):
    x = tfl.ones((size,)).astype(dtype)
    story = tfl.explain(lambda: tfl.concat([x, x]))
    (iteration,) = json.loads(story.to_json())["iterations"]
    out = iteration["values"][iteration["calls"][0]["outputs"][0]]["array"]
    assert out["shape"] == [2 * size] and out["dtype"] == dtype.name


def test_many_operations_fit_a_page(tmp_path):
    tfl.manual_seed(0)
    w = tfl.randn(40, 40).requires_grad_()

    def long():
        h = w
        for _ in range(3000):
            h = tfl.tanh(h)
        return h.mean()

    story = tfl.explain(long)
    story.to_html(tmp_path / "story.html")
    assert (tmp_path / "story.html").stat().st_size < 3_000_000
    assert story.why("w").state in ("healthy", "vanished")
    whole = story.data
    for largest in (2_400_000, 1_900_000):
        small = thinned(whole, largest)
        text = json.dumps(small, ensure_ascii=False, separators=(",", ":"))
        assert len(text.encode()) < largest + 200 and "left out" in small["notes"][-1]
        assert len(small["iterations"][0]["calls"]) == 3001
    assert not whole["notes"]


def test_of_many_iterations_the_first_and_the_last_stay():
    w = tfl.tensor([[1.0] * 200] * 2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.01)
    with tfl.explain() as story:
        for _ in range(40):
            (w * w).mean().backward()
            optimizer.step()
    small = thinned(story.data, 60_000)
    kept = [one["index"] for one in small["iterations"]]
    assert kept[0] == 0 and kept[-1] == 39 and 2 <= len(kept) < 40
    (reason,) = small["reasons"]
    assert reason["iteration"] == 39


# -- formulas --------------------------------------------------------------------------------------
def test_every_worded_formula_belongs_to_an_operation():
    assert set(STANDS_FOR) <= set(registry)
    for name, texts in WORDED.items():
        assert set(texts) <= {*registry[name].inputs, "all inputs"}, name


def test_every_differentiable_operation_has_a_formula():
    for op in registry.values():
        if op.differentiable:
            assert all(one["text"] for one in formulas_of(op)) and formulas_of(op), op.name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tanh", "g − g · out²"), ("divide", "g / y"), ("matmul", "g @ yᵀ"),
        ("sqrt", "g / (2 · out)"), ("subtract", "g"), ("sigmoid", "g · out · (1 − out)"),
        ("atan2", "g · y / (x² + y²)"),
    ],
)  # fmt: skip
def test_formulas_are_read_from_the_declarations(name, text):
    assert formulas_of(registry[name])[0]["text"] == text


def test_of_two_rules_on_a_line_the_right_one_is_read():
    rules = (lambda k, g, x: g - (x - g), lambda k, g, x: k.matmul(k.add(g, x), x**2))
    assert [text_of(rule) for rule in rules] == ["g − (x − g)", "(g + x) @ x²"]


def test_what_a_fused_operation_stands_for_is_told():
    fused = [op for op in registry.values() if op.decompose is not None]
    assert fused and all(stands_for(op) for op in fused)
    assert stands_for(registry["tanh"]) is None
