"""Tiny random llama models and everything a trainer must reproduce on them, in float64.

For every case writes CASE.gguf (F32 weights, named, permuted and keyed as llama.cpp's converter
does) and CASE.expect.gguf (see README.md for the contents). The weights are rounded to F32
first, so the float64 results are exact for the file. A forward written independently in numpy
from the GGUF file alone (interleaved rope on permuted q/k rows) must agree to 1e-12.

    python llama_tiny.py OUTPUT_FOLDER [CASE ...]
"""
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import MODEL_ARCH, get_tensor_name_map
from torch.nn import functional as F
from transformers import (LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup,
                          get_linear_schedule_with_warmup)

from common import (Fixture, lora_model, lora_tensors, patch_f64, permute, read_gguf,
                    rope_theta)

CASES = {
    "llama_tied_gqa": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                           num_key_value_heads=2, intermediate_size=80, vocab_size=97,
                           tie_word_embeddings=True),
    "llama_untied_mha": dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
                             num_key_value_heads=3, intermediate_size=56, vocab_size=61,
                             rope_theta=500000.0, tie_word_embeddings=False),
    "llama_untied_headdim": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                 num_key_value_heads=1, head_dim=16, intermediate_size=64,
                                 vocab_size=80, tie_word_embeddings=False),
}
# Seeds chosen so that greedy text is varied without near-ties and clipping starts on, ends off.
SEEDS = {"llama_tied_gqa": 2, "llama_untied_mha": 4, "llama_untied_headdim": 3}
LENGTHS = (13, 7, 20)
STEPS, GREEDY, WARMUP = 50, 64, 5
RANK, ALPHA = 4, 8
ADAMW = dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
SCALE = {"q_proj": 0.25, "k_proj": 0.25, "embed": 0.15, "lm_head": 0.15}  # standard deviations
EPS = float(np.float32(1e-5))  # the GGUF key is f32, so the reference uses the rounded value too


def build_model(spec, gen):
    """A LlamaForCausalLM in float64 whose weights are exact F32 values, lively enough to matter."""
    spec = dict(spec)
    theta = spec.pop("rope_theta", 10000.0)
    config = LlamaConfig(**spec, max_position_embeddings=256, rms_norm_eps=EPS, bos_token_id=1,
                         eos_token_id=2, attn_implementation="eager",
                         rope_parameters={"rope_type": "default", "rope_theta": theta})
    model = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape, generator=gen)
            if "norm" in name:
                value = 1 + 0.2 * noise
            else:
                value = next((s for part, s in SCALE.items() if part in name), 0.2) * noise
            assert (value != 0).all()
            param.copy_(value)
    return model


def write_model(model, path, name):
    cfg = model.config
    fixture = Fixture(path, "llama")
    w = fixture.writer
    w.add_type("model")
    w.add_name(name)
    w.add_file_type(0)
    w.add_quantization_version(2)
    w.add_block_count(cfg.num_hidden_layers)
    w.add_context_length(cfg.max_position_embeddings)
    w.add_embedding_length(cfg.hidden_size)
    w.add_feed_forward_length(cfg.intermediate_size)
    w.add_head_count(cfg.num_attention_heads)
    w.add_head_count_kv(cfg.num_key_value_heads)
    w.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    w.add_rope_freq_base(rope_theta(cfg))
    w.add_rope_dimension_count(cfg.head_dim)
    w.add_vocab_size(cfg.vocab_size)
    if cfg.head_dim * cfg.num_attention_heads != cfg.hidden_size:
        w.add_key_length(cfg.head_dim)
        w.add_value_length(cfg.head_dim)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, cfg.num_hidden_layers)
    for hf_name, param in model.named_parameters():
        value = param.detach().numpy()
        if "q_proj" in hf_name:
            value = permute(value, cfg.num_attention_heads)
        elif "k_proj" in hf_name:
            value = permute(value, cfg.num_key_value_heads)
        fixture.tensor(names.get_name(hf_name, (".weight",)), value, np.float32)
    fixture.close()


def batch_logits(model, samples):
    """Each sample alone, positions from 0; rows concatenated."""
    return torch.cat([model(ids[None], use_cache=False).logits[0] for ids in samples])


def batch_loss(model, samples):
    """Mean over all targets of the batch; the last position of a sample has none."""
    total = sum(F.cross_entropy(model(ids[None], use_cache=False).logits[0, :-1], ids[1:],
                                reduction="sum") for ids in samples)
    return total / sum(len(ids) - 1 for ids in samples)


def train_curve(model, params, start, samples, lr, schedule):
    """Losses before each step, gradient norms before clipping, and the rates used."""
    with torch.no_grad():
        for param, value in zip(params, start):
            param.copy_(value)
    optimizer = torch.optim.AdamW(params, lr=lr, **ADAMW)
    scheduler = schedule(optimizer)
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = batch_loss(model, samples)
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return losses, norms, rates


def greedy(model, prompt):
    """Tokens and the smallest gap between the best two logits (near-ties would make it brittle)."""
    ids, gap = prompt.tolist(), float("inf")
    with torch.no_grad():
        for _ in range(GREEDY):
            top = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            gap = min(gap, (top.values[0] - top.values[1]).item())
            ids.append(top.indices[0].item())
    return ids[len(prompt):], gap


def numpy_logits(path, ids):
    """Independent forward: straight from the GGUF file, in the layout llama.cpp works in."""
    meta, t = read_gguf(path)
    t = {name: value.astype(np.float64) for name, value in t.items()}
    key = lambda name: meta["llama." + name]
    heads, kv_heads = key("attention.head_count"), key("attention.head_count_kv")
    dim, eps = key("rope.dimension_count"), float(key("attention.layer_norm_rms_epsilon"))
    rows = np.arange(len(ids))
    freq = float(key("rope.freq_base")) ** (-2.0 * np.arange(dim // 2) / dim)
    turn = np.exp(1j * np.outer(rows, freq))[:, None, :]

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight

    def rope(x, count):
        x = x.reshape(len(ids), count, dim // 2, 2)
        z = (x[..., 0] + 1j * x[..., 1]) * turn
        return np.stack((z.real, z.imag), -1).reshape(len(ids), count, dim)

    x = t["token_embd.weight"][ids]
    for i in range(key("block_count")):
        w = lambda name: t[f"blk.{i}.{name}.weight"]
        h = norm(x, w("attn_norm"))
        q = rope(h @ w("attn_q").T, heads)
        k = rope(h @ w("attn_k").T, kv_heads)
        v = (h @ w("attn_v").T).reshape(len(ids), kv_heads, dim)
        out = np.zeros((len(ids), heads, dim))
        for head in range(heads):
            kv = head // (heads // kv_heads)
            s = q[:, head] @ k[:, kv].T / np.sqrt(dim)
            s = np.where(rows[:, None] >= rows, s, -np.inf)
            p = np.exp(s - s.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, kv]
        x = x + out.reshape(len(ids), -1) @ w("attn_output").T
        h = norm(x, w("ffn_norm"))
        gate = h @ w("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w("ffn_up").T)) @ w("ffn_down").T
    return norm(x, t["output_norm.weight"]) @ t.get("output.weight", t["token_embd.weight"]).T


def make_case(name, folder):
    gen = torch.Generator().manual_seed(SEEDS[name])
    model = build_model(CASES[name], gen)
    vocab = model.config.vocab_size
    write_model(model, folder / f"{name}.gguf", name)

    samples = [torch.randint(vocab, (n,), generator=gen) for n in LENGTHS]
    fixture = Fixture(folder / f"{name}.expect.gguf")
    fixture.meta(model=f"{name}.gguf", lora__r=RANK, lora__alpha=float(ALPHA), adamw__lr=1e-3,
                 adamw__lr_scheduled=2e-3, adamw__beta1=ADAMW["betas"][0],
                 adamw__beta2=ADAMW["betas"][1], adamw__eps=ADAMW["eps"],
                 adamw__weight_decay=ADAMW["weight_decay"], clip=1.0, steps=STEPS, warmup=WARMUP)
    fixture.tensor("input_ids", torch.cat(samples), np.int32)
    fixture.tensor("sample_start", np.cumsum((0,) + LENGTHS), np.int32)

    # The base model: logits, greedy text, gradients of every weight.
    logits = batch_logits(model, samples)
    fixture.tensor("logits", logits)
    mine = np.concatenate([numpy_logits(folder / f"{name}.gguf", ids.numpy()) for ids in samples])
    error = np.abs(mine - logits.detach().numpy()).max()
    assert error < 1e-12, error
    tokens, gap = greedy(model, samples[1][:5])
    fixture.tensor("greedy_prompt", samples[1][:5], np.int32)
    fixture.tensor("greedy", tokens, np.int32)
    full_loss = batch_loss(model, samples)
    full_loss.backward()
    fixture.tensor("full_loss", full_loss)
    for hf_name, param in model.named_parameters():
        fixture.tensor("full." + hf_name.removeprefix("model."), param.grad)

    # LoRA: B is random, or every gradient of A would be exactly 0.
    model = lora_model(model, RANK, ALPHA)
    names, params = zip(*lora_tensors(model))
    with torch.no_grad():
        for param_name, param in zip(names, params):
            scale = (3 * param.shape[1]) ** -0.5 if param_name.endswith(".A") else 0.05
            param.copy_(scale * torch.randn(param.shape, generator=gen))
    start = [param.detach().clone() for param in params]
    for param_name, param in zip(names, params):
        fixture.tensor("lora." + param_name, param, np.float32)
    fixture.tensor("logits_lora", batch_logits(model, samples))
    loss = batch_loss(model, samples)
    loss.backward()
    fixture.tensor("loss", loss)
    for param_name, param in zip(names, params):
        fixture.tensor("grad." + param_name, param.grad)

    constant = lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda step: 1.0)
    cosine = lambda opt: get_cosine_schedule_with_warmup(opt, WARMUP, STEPS)
    linear = lambda opt: get_linear_schedule_with_warmup(opt, WARMUP, STEPS)
    curve, norms, _ = train_curve(model, params, start, samples, 1e-3, constant)
    curve2, norms2, rates = train_curve(model, params, start, samples, 2e-3, cosine)
    _, _, rates_linear = train_curve(model, params, start, samples, 2e-3, linear)
    for key, value in (("curve", curve), ("grad_norm", norms), ("curve_cosine", curve2),
                       ("grad_norm_cosine", norms2), ("lr_cosine", rates),
                       ("lr_linear", rates_linear)):
        fixture.tensor(key, value, np.float64)
    fixture.close()

    meta, back = read_gguf(folder / f"{name}.expect.gguf")
    assert meta["lora.r"] == RANK and back["curve"].tolist() == curve
    assert np.array_equal(back["logits"], logits.detach().numpy())
    print(f"{name}: numpy differs {error:.1e}, logit std {logits.std():.3f}, greedy gap {gap:.2e}, "
          f"distinct {len(set(tokens))}\n  full loss {full_loss:.9f}, LoRA curve {curve[0]:.9f} -> "
          f"{curve[-1]:.9f}, cosine -> {curve2[-1]:.9f}\n  gradient norm {norms[0]:.4f} -> "
          f"{norms[-1]:.4f}, clipped {sum(n > 1 for n in norms)} and {sum(n > 1 for n in norms2)} "
          f"of {STEPS} steps")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    patch_f64()
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or CASES:
        make_case(name, folder)


if __name__ == "__main__":
    main()
