"""Tiny random llama models and everything a trainer must reproduce on them, in float64.

For every case writes CASE.gguf (F32 weights, named, permuted and keyed as llama.cpp's converter
does), or for settings that GGUF has no keys for a folder CASE as transformers saves it, and
CASE.expect.gguf (see README.md for the contents). The weights are rounded to F32 first, so the
float64 results are exact for the file. A forward written independently in numpy from the GGUF
file alone (interleaved rope on permuted q/k rows) must agree to 1e-12.

    python llama_tiny.py OUTPUT_FOLDER [CASE ...]
"""
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from gguf import MODEL_ARCH, get_tensor_name_map
from torch.nn import functional as F
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup)

from common import (LONGEST, Fixture, lora_model, lora_tensors, patch_f64, permute, read_gguf,
                    rope_params, rope_theta)

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
SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             head_dim=16, intermediate_size=24, vocab_size=37, tie_word_embeddings=True)
CASES |= {
    "llama_linear": dict(SMALL, rope=dict(rope_type="linear", factor=4.0)),
    "llama_llama3": dict(SMALL, rope=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                          high_freq_factor=4.0,
                                          original_max_position_embeddings=256),
                         max_position_embeddings=2048),
    "llama_yarn": dict(SMALL, rope=dict(rope_type="yarn", factor=4.0,
                                        original_max_position_embeddings=64)),
    "llama_bias": dict(SMALL, attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
    # folders
    "llama_yarn_free": dict(SMALL, rope=dict(rope_type="yarn", factor=4.0, beta_fast=20.0,
                                             beta_slow=0.5, attention_factor=1.3, truncate=False,
                                             original_max_position_embeddings=64)),
    "llama_dynamic": dict(SMALL, rope=dict(rope_type="dynamic", factor=5.0),
                          max_position_embeddings=16),
    "mistral_window": dict(SMALL, sliding_window=6, num_attention_heads=4, num_key_value_heads=2,
                           head_dim=4, rope_theta=1000.0),
}
FOLDERS = ("llama_yarn_free", "llama_dynamic", "mistral_window")
# Seeds chosen so that greedy text is varied without near-ties and clipping starts on, ends off.
SEEDS = {"llama_tied_gqa": 2, "llama_untied_mha": 4, "llama_untied_headdim": 3,
         "llama_linear": 7, "llama_llama3": 3, "llama_yarn": 10, "llama_bias": 1,
         "llama_yarn_free": 1, "llama_dynamic": 10, "mistral_window": 8}
LENGTHS = (13, 7, 20)
STEPS, GREEDY, WARMUP = 50, 64, 5
RANK, ALPHA = 4, 8
ADAMW = dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
SCALE = {"q_proj": 0.25, "k_proj": 0.25, "embed": 0.15, "lm_head": 0.15}  # standard deviations
EPS = float(np.float32(1e-5))  # the GGUF key is f32, so the reference uses the rounded value too


def build_model(spec, gen):
    """A causal LM in float64 whose weights are exact F32 values, lively enough to matter."""
    spec = dict(max_position_embeddings=256) | spec
    rope = {"rope_type": "default"} | spec.pop("rope", {})
    rope["rope_theta"] = spec.pop("rope_theta", 10000.0)
    mistral = "sliding_window" in spec
    kind, made = ((MistralConfig, MistralForCausalLM) if mistral
                  else (LlamaConfig, LlamaForCausalLM))
    config = kind(**spec, rms_norm_eps=EPS, bos_token_id=1, eos_token_id=2,
                  attn_implementation="eager", rope_parameters=rope)
    model = made(config).double().eval()
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


def write_rope(w, params):
    """The keys of llama.cpp's converter; llama3's factors are a tensor."""
    kind = params["rope_type"]
    if kind in ("linear", "yarn"):
        w.add_string("llama.rope.scaling.type", kind)
        w.add_float32("llama.rope.scaling.factor", params["factor"])
    if kind == "yarn":
        w.add_uint32("llama.rope.scaling.original_context_length",
                     params["original_max_position_embeddings"])


def llama3_factors(params, dim):
    """What plain frequencies are divided by, as the converter computes it."""
    low, high = params["low_freq_factor"], params["high_freq_factor"]
    old = params["original_max_position_embeddings"]
    factors = []
    for i in range(dim // 2):
        wave = 2 * math.pi * params["rope_theta"] ** (2 * i / dim)
        smooth = (old / wave - low) / (high - low)
        factors.append(1.0 if wave < old / high else params["factor"] if wave > old / low
                       else 1 / ((1 - smooth) / params["factor"] + smooth))
    return factors


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
    if getattr(cfg, "sliding_window", None):
        w.add_sliding_window(cfg.sliding_window)
    params = rope_params(cfg)
    write_rope(w, params)
    if params["rope_type"] == "llama3":
        fixture.tensor("rope_freqs.weight", llama3_factors(params, cfg.head_dim), np.float32)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, cfg.num_hidden_layers)
    for hf_name, param in model.named_parameters():
        value = param.detach().numpy()
        if "q_proj" in hf_name:
            value = permute(value, cfg.num_attention_heads)
        elif "k_proj" in hf_name:
            value = permute(value, cfg.num_key_value_heads)
        fixture.tensor(names.get_name(hf_name, (".weight", ".bias")), value, np.float32)
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
    """Tokens and the smallest gap between the best two logits (near-ties would make it brittle).

    Without a cache, but for dynamic NTK: there the keys in transformers' cache stay turned as they
    were while the frequencies go on changing, so that a cache gives other text."""
    ids, gap = prompt.tolist(), float("inf")
    cached = rope_params(model.config)["rope_type"] == "dynamic"
    past, new = None, ids
    with torch.no_grad():
        for _ in range(GREEDY):
            out = model(torch.tensor([new if cached else ids]), use_cache=cached,
                        past_key_values=past)
            past = out.past_key_values if cached else None
            top = out.logits[0, -1].topk(2)
            gap = min(gap, (top.values[0] - top.values[1]).item())
            ids.append(top.indices[0].item())
            new = ids[-1:]
    return ids[len(prompt):], gap


def numpy_frequencies(key, t, dim, length):
    """(inverse frequencies, factor of cos and sin) from the file's keys, after FORMATS.md."""
    base, i = float(key("rope.freq_base")), np.arange(dim // 2)
    inv = base ** (-2.0 * i / dim)
    kind, factor = key("rope.scaling.type", "none"), float(key("rope.scaling.factor", 1))
    if kind == "none":
        return inv / t.get("rope_freqs.weight", np.ones(dim // 2)), 1
    if kind == "linear":
        return inv / factor, 1
    if kind == "dynamic":
        limit = key("context_length")
        stretched = base * (factor * max(length, limit) / limit - (factor - 1)) ** (dim / (dim - 2))
        return stretched ** (-2.0 * i / dim), 1
    old = key("rope.scaling.original_context_length")
    pair = lambda turns: dim * math.log(old / (2 * math.pi * turns)) / (2 * math.log(base))
    low, high = pair(key("yarn_beta_fast", 32)), pair(key("yarn_beta_slow", 1))
    if key("yarn_truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((i - low) / (high - low), 0, 1)
    return (inv / factor * ramp + inv * (1 - ramp),
            key("yarn_attention", 0.1 * math.log(factor) + 1))


def numpy_logits(path, ids, length, extra):
    """Independent forward: straight from the GGUF file, in the layout llama.cpp works in. 'extra':
    settings that GGUF has no keys for; 'length': the longest text of the batch."""
    meta, t = read_gguf(path)
    t = {name: value.astype(np.float64) for name, value in t.items()}
    meta = {name.removeprefix("llama."): value for name, value in meta.items()} | extra
    key = lambda name, preset=None: meta[name] if preset is None else meta.get(name, preset)
    heads, kv_heads = key("attention.head_count"), key("attention.head_count_kv")
    dim, eps = key("rope.dimension_count"), float(key("attention.layer_norm_rms_epsilon"))
    rows = np.arange(len(ids))
    freq, scale = numpy_frequencies(key, t, dim, length)
    turn = scale * np.exp(1j * np.outer(rows, freq))[:, None, :]
    seen = rows[:, None] >= rows
    if key("attention.sliding_window", 0):
        seen &= rows[:, None] - rows < key("attention.sliding_window")

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight

    def rope(x, count):
        x = x.reshape(len(ids), count, dim // 2, 2)
        z = (x[..., 0] + 1j * x[..., 1]) * turn
        return np.stack((z.real, z.imag), -1).reshape(len(ids), count, dim)

    x = t["token_embd.weight"][ids]
    for i in range(key("block_count")):
        w = lambda name: t[f"blk.{i}.{name}.weight"]
        lin = lambda x, name: x @ w(name).T + t.get(f"blk.{i}.{name}.bias", 0)
        h = norm(x, w("attn_norm"))
        q = rope(lin(h, "attn_q"), heads)
        k = rope(lin(h, "attn_k"), kv_heads)
        v = lin(h, "attn_v").reshape(len(ids), kv_heads, dim)
        out = np.zeros((len(ids), heads, dim))
        for head in range(heads):
            kv = head // (heads // kv_heads)
            s = q[:, head] @ k[:, kv].T / np.sqrt(dim)
            s = np.where(seen, s, -np.inf)
            p = np.exp(s - s.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, kv]
        x = x + lin(out.reshape(len(ids), -1), "attn_output")
        h = norm(x, w("ffn_norm"))
        gate = lin(h, "ffn_gate")
        x = x + lin(gate / (1 + np.exp(-gate)) * lin(h, "ffn_up"), "ffn_down")
    return norm(x, t["output_norm.weight"]) @ t.get("output.weight", t["token_embd.weight"]).T


def write_folder(model, folder):
    """As transformers saves it, in float32; only the two files that matter."""
    with tempfile.TemporaryDirectory() as scratch:
        model.config.dtype = torch.float32
        made = type(model)(model.config).float()
        made.load_state_dict(model.state_dict())
        made.save_pretrained(scratch)
        folder.mkdir(exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_bytes((Path(scratch) / name).read_bytes())


def write_case(model, folder, name):
    """The files of the model. Returns the GGUF for the numpy check and what it has no keys for."""
    if name not in FOLDERS:
        write_model(model, folder / f"{name}.gguf", name)
        return folder / f"{name}.gguf", {}
    write_folder(model, folder / name)
    write_model(model, folder / name / "check.gguf", name)
    rope = rope_params(model.config)
    extra = {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": rope.get("factor")}
    extra |= {"yarn_" + k: rope[k] for k in ("beta_fast", "beta_slow", "truncate") if k in rope}
    if "attention_factor" in rope:
        extra["yarn_attention"] = rope["attention_factor"]
    return folder / name / "check.gguf", {} if rope["rope_type"] == "default" else extra


def make_case(name, folder):
    gen = torch.Generator().manual_seed(SEEDS[name])
    model = build_model(CASES[name], gen)
    vocab = model.config.vocab_size
    path, extra = write_case(model, folder, name)

    samples = [torch.randint(vocab, (n,), generator=gen) for n in LENGTHS]
    fixture = Fixture(folder / f"{name}.expect.gguf")
    longest = max(LENGTHS)
    fixture.meta(model=name if name in FOLDERS else f"{name}.gguf", lora__r=RANK, lora__alpha=float(ALPHA), adamw__lr=1e-3,
                 adamw__lr_scheduled=2e-3, adamw__beta1=ADAMW["betas"][0],
                 adamw__beta2=ADAMW["betas"][1], adamw__eps=ADAMW["eps"],
                 adamw__weight_decay=ADAMW["weight_decay"], clip=1.0, steps=STEPS, warmup=WARMUP)
    fixture.tensor("input_ids", torch.cat(samples), np.int32)
    fixture.tensor("sample_start", np.cumsum((0,) + LENGTHS), np.int32)

    # The base model: logits, greedy text, gradients of every weight.
    tokens, gap = greedy(model, samples[1][:5])
    LONGEST["length"] = longest
    logits = batch_logits(model, samples)
    fixture.tensor("logits", logits)
    mine = np.concatenate([numpy_logits(path, ids.numpy(), longest, extra) for ids in samples])
    error = np.abs(mine - logits.detach().numpy()).max()
    stored = "llama3" in name  # the factors are F32 in the file, a reader may make them exact
    assert error < (1e-7 if stored else 1e-12), error
    if name in FOLDERS:
        path.unlink()
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
    LONGEST["length"] = 0

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
