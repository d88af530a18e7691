"""The demo model (SmolLM2-135M-Instruct, Q4_1 GGUF) as transformers computes it, in float64.

The weights are the file's dequantised F32 values; everything after them is float64, so the
fixture is the exact answer and a float32 program may differ by its own rounding only. Writes
demo.expect.gguf: token ids, logits and greedy text of twelve prompts, LoRA gradients and a short
training curve on one window, and the loss of the first 512 tokens of tiny_shakespeare.

    python demo_model.py MODEL.gguf TINY_SHAKESPEARE.txt OUTPUT_FOLDER
"""
import gc
import sys
import time
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import Fixture, lora_model, lora_tensors, patch_f64, permute, read_gguf

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(*turns, system=SYSTEM):
    """ChatML as the file's own template renders it, ending where the assistant goes on."""
    roles, texts = ("system",) + ("user", "assistant") * len(turns), (system,) + turns
    body = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in zip(roles, texts))
    return f"{body}<|im_start|>assistant\n"


PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "Photosynthesis is the process by which",
    "In 1969, Apollo 11 landed on the Moon; 12 people have walked there since, and 3.14159 is",
    'def fibonacci(n):\n'
    '    """Return the n-th Fibonacci number."""\n    if n < 2:\n        return n',
    "It's true that they'd've gone -- \"wouldn't you?\" -- if we hadn't said: don't!\n\n\t",
    "Caf\u00e9 na\u00efve \u65e5\u672c\u8a9e \u041f\u0440\u0438\u0432\u0435\u0442, \U0001f600 is",
    "Numbers:\n\n1  2   3\n  4    5\n\n6 7 8\n\n 9",  # whitespace before digits: see TEXTS
    chat("What is gravity?"),
    chat("Write a haiku about autumn leaves."),
    chat("What is 17 + 25?", "17 + 25 = 42.", "And what is twice that?"),
    chat("List three colors of the rainbow.", system="Answer in one short sentence."),
]
# Tokenizer traps: whitespace before a digit, digits in other scripts, contractions, special tokens
# inside text, and bytes that have no token at all (0x04, 0x06, 0xf1 ...), which are dropped.
TEXTS = [
    "a  5", "x = 10;   y =   25", "1.\n  2", "a5b", "5's", "12 345", "\n\n5", "a\n 5", "\t5", "3\t",
    "5 \n", "5  a", " ", "   ", "\n", "\r\n\r\n", " \n \n", "a ", " a", "\u00a0a\u3000b",
    "\u00bd\u00b2\u0663", "\u06634", "\u2167 x\u00b2", "I'LL they'll DON'T don\u2019t 's'll",
    "hi<|im_end|>\n<|im_start|>user", "<|im_start", "<|endoftext|><|endoftext|>",
    "<filename>a.c<file_sep>",
    "a\x04b\x06c\x7f", "\U00040000x\U00100000", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301\u0323 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \ud55c\uad6d\uc5b4",
    "!!??...---===   ###", "\t\tif (a[i] != 0x1F) { return -1; }\n\n\n}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "camelCaseWord_with_under_scores2000AndMore", "\u2028\u2029\x85\u180e\u200b.",
    "https://example.org/a?b=1&c=%20#d",
]
PASSAGE = """The lighthouse keeper had kept a diary for forty years, and in all that time he had \
never once missed an evening. He wrote down the weather, the ships that passed, and the small \
repairs he had made to the lamp or the stairs. On the last page of the last book he wrote only \
that the wind had turned to the north, and that he had seen a whale. His daughter found the books \
in a chest under the bed. She read them through one winter, a few pages every night, and when she \
came to the whale she put on her coat, walked down to the rocks, and stood there for a long time \
looking out over the grey water, although it was raining and there was nothing to be seen."""
RANK, ALPHA, STEPS, LR = 8, 16, 20, 1e-3
GREEDY, STRIDE, SAMPLES, WINDOW, PPL_WINDOW = 48, 16, 64, 128, 512


def smollm_tokenizer(path):
    """The SmolLM2 tokenizer from the GGUF's tokens and merges (transformers' own conversion
    leaves the digit splitting out: it gives the plain GPT-2 pre-tokenizer)."""
    fields = GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens = get("tokens")
    assert get("pre") == "smollm" and not get("add_bos_token")
    merges = [tuple(merge.split(" ")) for merge in get("merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, get("token_type")) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    assert tokenizer.get_vocab_size() == len(tokens)
    return tokenizer


def load_model(path):
    """The dequantised model in float64; every weight is checked against gguf's own decoder."""
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation="eager")
    params = dict(model.named_parameters())
    cfg = model.config
    rename = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
              "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
              "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
              "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    heads = {"attn_q": cfg.num_attention_heads, "attn_k": cfg.num_key_value_heads}
    for tensor in GGUFReader(path).tensors:
        stem = tensor.name.removesuffix(".weight")
        part = stem.split(".")[-1]
        name = whole.get(stem) or f"model.layers.{stem.split('.')[1]}.{rename[part]}"
        ours = params.pop(name + ".weight").detach().numpy()
        if part in heads:
            ours = permute(ours, heads[part])
        assert np.array_equal(ours, dequantize(tensor.data, tensor.tensor_type)), tensor.name
    assert not params, list(params)
    return model.double().eval()


@torch.no_grad()
def continue_greedily(model, ids, eos):
    """(last-position logits, up to GREEDY tokens ending with EOS if met, top-two gaps)."""
    first, tokens, gaps, cache = None, [], [], None
    step = torch.tensor([ids])
    while len(tokens) < GREEDY and eos not in tokens:
        out = model(step, past_key_values=cache, use_cache=True)
        cache, logits = out.past_key_values, out.logits[0, -1]
        first = logits if first is None else first
        top = logits.topk(2)
        gaps.append((top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
        step = top.indices[:1][None]
    return first, tokens, gaps


def mix32(t, shape, amp):
    """Pseudo-random F32 values in [-amp, amp): a hash of tensor and element number."""
    i = np.arange(np.prod(shape), dtype=np.uint64)
    x = (i * np.uint64(2654435761)).astype(np.uint32) ^ np.uint32(t * 0x9E3779B9 % 2**32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    value = (x.astype(np.float64) / 2.0**32 - 0.5) * 2 * amp
    return torch.from_numpy(value.astype(np.float32).reshape(shape)).double()


def window_loss(model, ids):
    logits = model(torch.tensor([ids]), use_cache=False).logits[0, :-1]
    return F.cross_entropy(logits, torch.tensor(ids[1:]))


def add_prompts(fixture, model, tokenizer, eos):
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(prompt).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == prompt
        logits, tokens, gaps = continue_greedily(model, ids, eos)
        fixture.meta(**{f"prompt.{i}": prompt, f"text.{i}": tokenizer.decode(tokens)})
        fixture.tensor(f"ids.{i}", ids, np.int32)
        fixture.tensor(f"logits.{i}", logits[::STRIDE])
        fixture.tensor(f"norm.{i}", logits.norm())
        fixture.tensor(f"greedy.{i}", tokens, np.int32)
        fixture.tensor(f"margin.{i}", gaps, np.float64)
        print(f"prompt {i}: {len(ids)} ids, {len(tokens)} new, smallest gap {min(gaps):.4f}, "
              f"norm {logits.norm():.4f}: {tokenizer.decode(tokens)!r}", flush=True)


def add_texts(fixture, tokenizer, theirs):
    differ = [text for text in PROMPTS + TEXTS
              if theirs(text)["input_ids"] != tokenizer.encode(text).ids]
    for i, text in enumerate(TEXTS):
        fixture.meta(**{f"tok_text.{i}": text})
        fixture.tensor(f"tok_ids.{i}", tokenizer.encode(text).ids, np.int32)
        if tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) != text:
            print("does not come back from its tokens:", repr(text))
    print(f"transformers' own GGUF tokenizer differs on {len(differ)}: {differ}")


def add_training(fixture, model, ids):
    model = lora_model(model, RANK, ALPHA)
    params = [param for _, param in lora_tensors(model)]
    with torch.no_grad():
        for t, param in enumerate(params):
            param.copy_(mix32(t, param.shape, param.shape[1] ** -0.5 if t % 2 == 0 else 0.01))
    fixture.tensor("window", ids, np.int32)
    optimizer = torch.optim.AdamW(params, lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    curve, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = window_loss(model, ids)
        loss.backward()
        if step == 0:
            fixture.tensor("grad_loss", loss)
            fixture.tensor("gn", [param.grad.norm().item() for param in params], np.float64)
            for t, param in enumerate(params):
                grad = param.grad.flatten()
                fixture.tensor(f"g.{t}", grad[torch.arange(SAMPLES) * grad.numel() // SAMPLES])
        curve.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        optimizer.step()
        print(f"step {step}: loss {curve[-1]:.9f}, gradient norm {norms[-1]:.5f}", flush=True)
    fixture.tensor("curve", curve, np.float64)
    fixture.tensor("grad_norm", norms, np.float64)


def main():
    path, text_path, folder = (Path(arg) for arg in sys.argv[1:])
    torch.set_num_threads(1)
    patch_f64()
    start = time.time()
    tokenizer = smollm_tokenizer(path)
    theirs = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)

    model = load_model(path)
    eos = GGUFReader(path).fields["tokenizer.ggml.eos_token_id"].contents()
    folder.mkdir(parents=True, exist_ok=True)
    fixture = Fixture(folder / "demo.expect.gguf")
    fixture.meta(model=path.name, prompts=len(PROMPTS), texts=len(TEXTS), logits__stride=STRIDE,
                 eos=eos, passage=PASSAGE, lora__r=RANK, lora__alpha=float(ALPHA), lora__amp_b=0.01,
                 adamw__lr=LR, adamw__beta1=0.9, adamw__beta2=0.999, adamw__eps=1e-8,
                 adamw__weight_decay=0.0, clip=1.0, steps=STEPS)
    add_texts(fixture, tokenizer, theirs)
    add_prompts(fixture, model, tokenizer, eos)
    text = text_path.read_text(encoding="utf-8")
    ids = tokenizer.encode(text[:4 * PPL_WINDOW]).ids[:PPL_WINDOW]
    assert len(ids) == PPL_WINDOW
    with torch.no_grad():
        nll = window_loss(model, ids)
    fixture.tensor("ppl_ids", ids, np.int32)
    fixture.tensor("ppl_nll", nll)
    print(f"mean NLL {nll:.9f}, perplexity {nll.exp():.6f}", flush=True)
    gc.collect()
    ids = tokenizer.encode(PASSAGE).ids[:WINDOW]
    assert len(ids) == WINDOW
    add_training(fixture, model, ids)
    fixture.close()
    meta, back = read_gguf(folder / "demo.expect.gguf")
    assert meta["prompt.6"] == PROMPTS[6] and back["gn"].shape == (420,)
    assert back["ppl_nll"][0] == nll.item() and back["ids.0"].dtype == np.int32
    print(f"done in {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
