"""What the Python peers share: the demo model, its tokenizer, LoRA with lorash's own start values,
the training rows, and the report lines that turns.py reads.

The weights are the GGUF's, dequantised to f32 by transformers, so both sides start from the same
numbers. The tokenizer is built from the GGUF too: transformers' own conversion leaves out the
digit splitting and so gives other ids for some texts.
"""
import csv
import os
import time
from pathlib import Path

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def report(**values):
    """One 'bench: key=value ...' line for turns.py; lists are joined by commas."""
    def text(v):
        if isinstance(v, (list, tuple)):
            return ",".join(text(x) for x in v)
        return f"{v:.9g}" if isinstance(v, float) else str(v)
    print("bench: " + " ".join(f"{k}={text(v)}" for k, v in values.items()), flush=True)


def threads():
    return int(os.environ.get("LORASH_BENCH_THREADS") or os.cpu_count())


def set_threads():
    """Before anything is computed: as many threads as the other side gets."""
    import torch
    torch.set_num_threads(threads())
    return torch


def gguf_fields(path):
    from gguf import GGUFReader
    return GGUFReader(path).fields


def tokenizer(path):
    """(tokenizers.Tokenizer, id of the end-of-text token) out of the GGUF."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    fields = gguf_fields(path)

    def get(key):
        return fields["tokenizer.ggml." + key].contents()

    tokens = get("tokens")
    assert get("pre") == "smollm", "this script knows SmolLM2's tokenizer only"
    merges = [tuple(merge.split(" ")) for merge in get("merges")]
    tok = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, get("token_type")) if kind == 3]
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return tok, int(get("eos_token_id"))


def load_model(path, dtype="float32", attention="sdpa"):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.disable_progress_bar()
    path = Path(path)
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation=attention)
    return model.to(getattr(torch, dtype))


# --- lorash's counter-based start values ---

def rng_key(seed, stream):
    mask = 2**64 - 1
    z = (seed + 0x9E3779B97F4A7C15 * stream) & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    z ^= z >> 31
    return z & 0xFFFFFFFF, z >> 32


def philox(key, counter):
    """Philox 4x32-10 for an [n, 4] array of counters; [n, 4] of uint32."""
    import numpy as np
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, x2, x3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (p1 >> half) ^ x1 ^ np.uint64(k0), p1 & low, \
            (p0 >> half) ^ x3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=1).astype(np.uint32)


def uniform(key, tensor, shape, limit):
    """Values of adapter tensor number 'tensor': uniform in +-limit, element by element."""
    import numpy as np
    n = int(np.prod(shape))
    counter = np.zeros(((n + 3) // 4, 4), np.uint32)
    counter[:, 0] = np.arange(len(counter))
    counter[:, 2] = tensor
    bits = philox(key, counter).reshape(-1)[:n]
    unit = (bits >> np.uint32(8)).astype(np.float64) * 2.0**-24
    return ((2 * unit - 1) * limit).astype(np.float32).reshape(shape)


def add_lora(model, r=8, alpha=16, seed=42, dtype="float32"):
    """PEFT LoRA on all linears, B zero, A as lorash draws it from the same seed."""
    import torch
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(
        r=r, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", bias="none",
        task_type="CAUSAL_LM"))
    key = rng_key(seed, 1)
    params = dict(model.named_parameters())
    index = 0
    with torch.no_grad():
        for layer in range(model.config.num_hidden_layers):
            for linear in LINEARS:
                name = f"base_model.model.model.layers.{layer}.{linear}.lora_%s.default.weight"
                a, b = params[name % "A"], params[name % "B"]
                values = uniform(key, 2 * index, tuple(a.shape), 1 / a.shape[1] ** 0.5)
                a.copy_(torch.from_numpy(values))
                assert not b.any()
                index += 1
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == 2 * index
    for p in trained:
        p.data = p.data.to(getattr(torch, dtype))
    return model


# --- rows ---

def read_texts(path):
    """Column 'text' of a CSV."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def token_rows(path, model, max_length):
    """Token ids of every row, end-of-text token appended, cut to max_length (as TRL does)."""
    tok, eos = tokenizer(model)
    return [(tok.encode(text).ids + [eos])[:max_length] for text in read_texts(path)]


def now():
    return time.perf_counter()
