"""The models of ``examples/models`` against Hugging Face's, with small random configurations.

The weights go over through safetensors files that the official package writes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

import tensorflowlite as tfl
from examples.models import bert, gpt2, llama, vit
from examples.models.generation import generate

VOCABULARY, LENGTH = 61, 11
CLOSE = 2e-5  # of float32 logits of order 1 after three layers of sums in another order
_rng = np.random.default_rng(1)
IDS = _rng.integers(1, VOCABULARY, (3, LENGTH))
IMAGES = _rng.normal(size=(3, 3, 8, 8)).astype(np.float32)
LABELS = np.where(_rng.random(IDS.shape) < 0.3, -100, _rng.integers(0, VOCABULARY, IDS.shape))
CLASSES = np.array([2, 0, 4])
PADDED = np.array([[1] * LENGTH, [1] * 7 + [0] * 4, [1] * 3 + [0] * 8])


class Case(NamedTuple):
    """One of our models beside Hugging Face's, and what they are given."""

    ours: Any
    config: Any
    theirs: Any
    their_config: Any
    inputs: Any
    labels: Any


def hidden(**sizes: Any) -> dict[str, Any]:
    return {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
            "num_attention_heads": 4, **sizes}  # fmt: skip


GPT2_SIZES = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": 32, "n_layer": 3, "n_head": 4}
LLAMA_SIZES = hidden(vocab_size=VOCABULARY, num_key_value_heads=2)
BERT_SIZES = hidden(vocab_size=VOCABULARY, max_position_embeddings=32, num_labels=5)
VIT_SIZES = hidden(image_size=8, patch_size=2, num_labels=5)
STRETCH = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 16}  # fmt: skip
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None}


def llama_case(rope: dict[str, Any] | None = None, **sizes: Any) -> Case:
    stretch = None if rope is None else llama.RopeScaling(**rope)
    kind = {"rope_type": "default"} if rope is None else {"rope_type": "llama3", **rope}
    return Case(
        llama.Llama,
        llama.LlamaConfig(**LLAMA_SIZES, **sizes, rope_theta=500.0, rope_scaling=stretch),
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig(
            **LLAMA_SIZES, **sizes, **NO_TOKENS, rope_parameters={**kind, "rope_theta": 500.0}
        ),
        IDS,
        LABELS,
    )


CASES = {
    "gpt2": lambda: Case(
        gpt2.GPT2, gpt2.GPT2Config(**GPT2_SIZES), transformers.GPT2LMHeadModel,
        transformers.GPT2Config(**GPT2_SIZES, **NO_TOKENS), IDS, LABELS,
    ),
    "llama": llama_case,
    "llama_tied": lambda: llama_case(tie_word_embeddings=True, head_dim=6),
    "llama_stretched": lambda: llama_case(STRETCH),
    "bert": lambda: Case(
        bert.BertForMaskedLM, bert.BertConfig(**BERT_SIZES), transformers.BertForMaskedLM,
        transformers.BertConfig(**BERT_SIZES), IDS, LABELS,
    ),
    "bert_classes": lambda: Case(
        bert.BertForSequenceClassification, bert.BertConfig(**BERT_SIZES),
        transformers.BertForSequenceClassification, transformers.BertConfig(**BERT_SIZES),
        IDS, CLASSES,
    ),
    "vit": lambda: Case(
        vit.ViT, vit.ViTConfig(**VIT_SIZES), transformers.ViTForImageClassification,
        transformers.ViTConfig(**VIT_SIZES), IMAGES, CLASSES,
    ),
}  # fmt: skip


def pair(name: str, path: Path, dtype: Any = torch.float32) -> tuple[Case, Any, Any]:
    """Return a case, our model and theirs, with the same weights."""
    case = CASES[name]()
    torch.manual_seed(3)
    theirs = case.theirs(case.their_config).to(dtype).eval()
    with torch.no_grad():  # what starts as zeros and ones would hide what is mixed up
        for parameter in theirs.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    seen: set[int] = set()
    kept = {}
    for key, value in theirs.state_dict().items():  # as files do: what is shared once
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            kept[key] = value.contiguous()
    save_file(kept, path / "model.safetensors")
    weights = tfl.load_safetensors(path / "model.safetensors")
    return case, case.ours.from_hugging_face(weights, case.config), theirs


@pytest.mark.parametrize("name", CASES)
def test_logits_loss_and_gradients(name: str, tmp_path: Path) -> None:
    case, ours, theirs = pair(name, tmp_path)
    inputs, labels = torch.tensor(case.inputs), torch.tensor(case.labels)
    expected = theirs(inputs, labels=labels)
    x = tfl.tensor(case.inputs)
    logits = ours(x)
    assert logits.dtype == tfl.float32
    np.testing.assert_allclose(
        logits.detach().numpy(), expected.logits.detach().numpy(), CLOSE, CLOSE
    )
    loss = ours.loss(x, tfl.tensor(case.labels))
    np.testing.assert_allclose(float(loss), float(expected.loss), CLOSE)
    loss.backward()
    expected.loss.backward()
    check_gradients(case, ours, theirs)


def check_gradients(case: Case, ours: Any, theirs: Any) -> None:
    wanted = {key: torch.zeros_like(p) if p.grad is None else p.grad
              for key, p in theirs.named_parameters(remove_duplicate=False)}  # fmt: skip
    found = dict(ours.named_parameters())
    assert len(found) == len(dict(theirs.named_parameters()))
    for key, parameter in found.items():
        grad, expected = parameter.grad.numpy(), wanted[key].numpy()
        if case.ours is gpt2.GPT2 and key.endswith(
            ("c_attn.weight", "c_proj.weight", "c_fc.weight")
        ):
            expected = expected.T
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(grad, expected, CLOSE, CLOSE * scale, err_msg=key)


@pytest.mark.parametrize("name", ["bert", "bert_classes"])
def test_padding(name: str, tmp_path: Path) -> None:
    _, ours, theirs = pair(name, tmp_path)
    expected = theirs(torch.tensor(IDS), attention_mask=torch.tensor(PADDED)).logits
    found = ours(tfl.tensor(IDS), tfl.tensor(PADDED))
    found, expected = found.detach().numpy(), expected.detach().numpy()
    if name == "bert":  # what stands at padding is nobody's business
        found, expected = found[PADDED == 1], expected[PADDED == 1]
    np.testing.assert_allclose(found, expected, CLOSE, CLOSE)


def test_token_types(tmp_path: Path) -> None:
    _, ours, theirs = pair("bert_classes", tmp_path)
    types = (np.arange(LENGTH) > 4).astype(np.int64) * np.ones_like(IDS)
    expected = theirs(torch.tensor(IDS), token_type_ids=torch.tensor(types)).logits
    found = ours(tfl.tensor(IDS), None, tfl.tensor(types))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), CLOSE, CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama_tied", "llama_stretched"])
def test_greedy_generation(name: str, tmp_path: Path) -> None:
    _, ours, theirs = pair(name, tmp_path)
    expected = theirs.generate(
        torch.tensor(IDS), max_new_tokens=15, do_sample=False, pad_token_id=0
    ).numpy()
    np.testing.assert_array_equal(generate(ours, tfl.tensor(IDS), 15).numpy(), expected)
    end = int(expected[0, LENGTH + 2])
    stopped = theirs.generate(
        torch.tensor(IDS), max_new_tokens=15, do_sample=False, eos_token_id=end, pad_token_id=end
    ).numpy()
    np.testing.assert_array_equal(generate(ours, tfl.tensor(IDS), 15, end).numpy(), stopped)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_cache_changes_nothing(name: str, tmp_path: Path) -> None:
    from examples.models.generation import Cache

    _, ours, _ = pair(name, tmp_path)
    x, cache = tfl.tensor(IDS), Cache()
    parts = [ours(x[:, a:b], cache) for a, b in [(0, 4), (4, 5), (5, 9), (9, LENGTH)]]
    whole = tfl.concat(parts, axis=1).detach().numpy()
    np.testing.assert_allclose(whole, ours(x).detach().numpy(), CLOSE, CLOSE)


@pytest.mark.parametrize(("dtype", "close"), [("bfloat16", 6e-2), ("float16", 8e-3)])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "vit"])
def test_half_precision_files(name: str, dtype: str, close: float, tmp_path: Path) -> None:
    """Read exactly; the model computes in the file's dtype, or in float32 where asked to.

    In half precision the two round after other operations: a few units in the last place.
    """
    case, ours, theirs = pair(name, tmp_path, getattr(torch, dtype))
    x = tfl.tensor(case.inputs)
    inputs = torch.tensor(case.inputs)
    half = inputs.to(getattr(torch, dtype)) if case.inputs.dtype == np.float32 else inputs
    found = ours(x.astype(dtype) if case.inputs.dtype == np.float32 else x)
    assert found.dtype == dtype
    expected = theirs(half).logits.float().detach().numpy()
    np.testing.assert_allclose(found.detach().astype("float32").numpy(), expected, close, close)
    weights = tfl.load_safetensors(tmp_path / "model.safetensors")
    wide = case.ours.from_hugging_face(weights, case.config, dtype=tfl.float32)
    exact = case.theirs(case.their_config).eval()  # its constants in float32, too
    exact.load_state_dict(theirs.float().state_dict())
    expected = exact(inputs).logits.detach().numpy()
    np.testing.assert_allclose(wide(x).detach().numpy(), expected, CLOSE, CLOSE)


def test_names_of_published_files(tmp_path: Path) -> None:
    """Of GPT-2 without a prefix, of BERT with gamma and beta, of ViT with an encoder."""
    case, ours, _ = pair("gpt2", tmp_path)
    weights = tfl.load_safetensors(tmp_path / "model.safetensors")
    bare = {key.removeprefix("transformer."): value for key, value in weights.items()}
    bare["h.0.attn.bias"] = tfl.ones((1, 1, 32, 32))
    check_same(case.ours.from_hugging_face(bare, case.config), ours)

    case, ours, _ = pair("bert_classes", tmp_path)
    weights = tfl.load_safetensors(tmp_path / "model.safetensors")
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for key, value in weights.items()
    }
    old["cls.seq_relationship.bias"] = tfl.zeros(2)
    check_same(case.ours.from_hugging_face(old, case.config), ours)

    case, ours, _ = pair("vit", tmp_path)
    weights = tfl.load_safetensors(tmp_path / "model.safetensors")
    names = {
        "vit.layers.": "vit.encoder.layer.", "attention.q_proj.": "attention.attention.query.",
        "attention.k_proj.": "attention.attention.key.",
        "attention.v_proj.": "attention.attention.value.",
        "attention.o_proj.": "attention.output.dense.", "mlp.fc1.": "intermediate.dense.",
        "mlp.fc2.": "output.dense.",
    }  # fmt: skip
    published = {}
    for key, value in weights.items():
        for new, before in names.items():
            key = key.replace(new, before)
        published[key] = value
    check_same(case.ours.from_hugging_face(published, case.config), ours)


def check_same(one: Any, two: Any) -> None:
    for (key, a), (other, b) in zip(one.state_dict().items(), two.state_dict().items(),
                                    strict=True):  # fmt: skip
        assert key == other
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", CASES)
def test_training_from_scratch(name: str) -> None:
    """Without any weights to load: a few steps, dropout and all, bring the loss down."""
    tfl.manual_seed(0)
    case = CASES[name]()
    model = case.ours(case.config).train()
    optimizer = tfl.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = model.loss(tfl.tensor(case.inputs), tfl.tensor(case.labels))
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]
