"""Formulas of gradients whose declarations call a kernel or a helper instead of saying them.

By operation and input, ``g`` being the gradient from above. All others are read from the
declarations themselves (`formulas`).
"""

from __future__ import annotations

_LINEAR = {
    "x": "g′ @ w, where g′ = g · activation′(x @ wᵀ + bias)",
    "w": "g′ᵀ @ x",
    "bias": "g′, summed over the batch",
}
_MAXIMUM = "g where {0} {2} {1}, half of it where they are equal, else 0"
_REDUCED = "g where x is the {} along the axes, shared among equals, else 0"
_NORM = "rstd · (g·w − mean(g·w) − x̂ · mean(g·w · x̂)), x̂ the normalised x"

WORDED: dict[str, dict[str, str]] = {
    # activations
    "relu": {"x": "g where out > 0, else 0"},
    "sigmoid": {"x": "g · out · (1 − out)"},
    "silu": {"x": "g · s · (1 + x · (1 − s)), where s = sigmoid(x)"},
    "gelu": {"x": "g · (Φ(x) + x · φ(x)), Φ and φ the normal distribution and its density; of an "
                  "approximate one the same with Φ by tanh"},
    "hardtanh": {"x": "g where low < x < high, else 0"},
    "softplus": {"x": "g · sigmoid(β · x); g where β · x > threshold"},
    "erf": {"x": "g · 2/√π · exp(−x²)"},
    "softmax": {"x": "out · (g − sum(g · out))"},
    "log_softmax": {"x": "g − exp(out) · sum(g)"},
    "logsumexp": {"x": "g · exp(x − out)"},
    # layers
    "linear_act": _LINEAR,
    "conv_act": {
        "x": "g′ convolved with w, turned over; g′ = g · activation′ of the convolution with bias",
        "w": "the correlation of x with g′",
        "bias": "g′, summed over batch and positions",
    },
    "convolution": {
        "x": "g convolved with the weight, turned over", "weight": "the correlation of x with g",
    },
    "max_pool": {"x": "g where the window's maximum was, else 0"},
    "avg_pool": {"x": "g / what the window's sum was divided by, spread over each window"},
    "embedding": {"weight": "g, added up in the rows that were looked up, but for the padding's"},
    "layer_norm": {"all inputs": f"x: {_NORM}\nw: sum(g · x̂)\nbias: sum(g)"},
    "batch_norm": {"all inputs": f"x: {_NORM}, means over the batch\nw: sum(g · x̂)\nbias: sum(g)"},
    "rms_norm": {"all inputs": "x: r · (g·w − x̂ · mean(g·w · x̂)), r = 1 / rms(x), x̂ = r·x\n"
                               "w: sum(g · x̂)"},
    "attention": {"all inputs": "value: Pᵀ @ g\n"
                                "scores S: P · (dP − sum(dP · P)), where dP = g @ valueᵀ\n"
                                "query: dS @ key · scale\nkey: dSᵀ @ query · scale"},
    # losses
    "softmax_cross_entropy": {"x": "g · (softmax(x) · sum(t) − t), t = onehot(target), smoothed "
                                   "and times the class weights where there are such"},
    "nll_loss": {"x": "−g at the target's place, times its class weight if there is one, else 0"},
    # reductions and shapes
    "sum": {"x": "g, spread over the axes that were summed"},
    "mean": {"x": "g / count, spread over the axes that were averaged"},
    "prod": {"x": "g · the product of the others"},
    "max": {"x": _REDUCED.format("greatest")},
    "min": {"x": _REDUCED.format("least")},
    "var": {"x": "g · 2 · (x − mean(x)) / freedom"},
    "std": {"x": "g · (x − mean(x)) / (out · freedom)"},
    "maximum": {"x": _MAXIMUM.format("x", "y", ">"), "y": _MAXIMUM.format("y", "x", ">")},
    "minimum": {"x": _MAXIMUM.format("x", "y", "<"), "y": _MAXIMUM.format("y", "x", "<")},
    "clip_low": {"x": "g where x ≥ y, else 0", "y": "g where x < y, else 0"},
    "clip_high": {"x": "g where x ≤ y, else 0", "y": "g where x > y, else 0"},
    "where": {"x": "g where the condition holds, else 0", "y": "g where it doesn't, else 0"},
    "power": {"x": "g · y · x^(y − 1)", "y": "g · out · log(x)"},
    "concat": {"all inputs": "each input's own piece of g"},
    "stack": {"all inputs": "each input's own slice of g"},
    "getitem": {"x": "g at the places that were taken, else 0"},
    "getitem_arrays": {"x": "g, added up at the places that were taken, else 0"},
    "reshape": {"x": "g, in the shape of x"},
    "permute_dims": {"x": "g, its axes put back"},
    "broadcast_to": {"x": "g, summed over the axes that were repeated"},
    "cumulative_sum": {"x": "the sums of g from each place to the end"},
    "sort": {"x": "g, each element put back where it came from"},
}  # fmt: skip

# What fused operations stand for, where their decompositions call helpers. The others' are read.
STANDS_FOR = {
    "linear_act": "z = x @ wᵀ + bias\nout = activation(z)",
    "conv_act": "z = convolution(x, w) + bias\nout = activation(z)",
    "attention": "scores = query @ keyᵀ · scale + mask\nout = dropout(softmax(scores)) @ value",
    "gated_activation": "out = activation(x) · y",
    "softmax_cross_entropy": "out = −Σ target · log(softmax(x))",
}
