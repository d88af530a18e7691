"""Compare the demo fixture with llama.cpp (llama-cpp-python): token ids, last-position logits,
greedy text, and the loss of the 512-token window. Prints tables, writes nothing that stays.

Twice: first with the weights expanded to F32 by llama.cpp itself (a temporary file of 540 MB)
and an F32 cache, where everything must agree to F32 rounding; then with the file as it is, where
llama.cpp rounds activations to 8 bits, so logits differ by some per cent and greedy text parts.

    python check_llamacpp.py MODEL.gguf demo.expect.gguf [THREADS]
"""
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp import Llama

from common import read_gguf


def expand_to_f32(source, target, threads):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_ALL_F32
    params.allow_requantize = True
    params.nthread = threads
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params) == 0


def all_logits(llm, ids):
    """Logits of every position of ids from an empty cache, as float64."""
    llm.reset()
    llm.eval(ids)
    return llm.scores[:len(ids)].astype(np.float64)


def greedy(llm, logits, count):
    tokens = []
    while len(tokens) < count:
        tokens.append(int(logits.argmax()))
        llm.eval(tokens[-1:])
        logits = llm.scores[llm.n_tokens - 1]
    return tokens


def compare(model, meta, t, threads, **cache):
    llm = Llama(str(model), n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads,
                logits_all=True, verbose=False, **cache)
    encode = lambda text: llm.tokenize(text.encode(), add_bos=False, special=True)

    wrong = 0
    print("prompt  ids    logits rel L2  norm ratio  greedy equal  margin where it parts")
    for i in range(meta["prompts"]):
        ids, want = t[f"ids.{i}"].tolist(), t[f"greedy.{i}"].tolist()
        same = encode(meta[f"prompt.{i}"]) == ids
        wrong += not same
        logits = all_logits(llm, ids)[-1]
        ref = t[f"logits.{i}"]
        error = np.linalg.norm(logits[::meta["logits.stride"]] - ref) / np.linalg.norm(ref)
        got = greedy(llm, logits, len(want))
        equal = next((k for k in range(len(want)) if got[k] != want[k]), len(want))
        margin = f"{t[f'margin.{i}'][equal]:.4f}" if equal < len(want) else "-"
        ratio = np.linalg.norm(logits) / t[f"norm.{i}"][0]
        print(f"{i:6}  {'equal' if same else 'DIFFER'}  {error:13.2e}  {ratio:10.6f}  "
              f"{equal:5} of {len(want):2}   {margin}")
    for i in range(meta["texts"]):
        got, want = encode(meta[f"tok_text.{i}"]), t[f"tok_ids.{i}"].tolist()
        if got != want:
            wrong += 1
            print(f"text {i} {meta[f'tok_text.{i}']!r}: llama.cpp {got}, fixture {want}")
    print(f"{wrong} of {meta['prompts'] + meta['texts']} texts tokenised differently")

    ids = t["ppl_ids"].tolist()
    logits = all_logits(llm, ids)[:-1]
    top = logits.max(-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    nll = (log_sum - logits[np.arange(len(ids) - 1), ids[1:]]).mean()
    print(f"mean NLL: fixture {t['ppl_nll'][0]:.6f} (perplexity {np.exp(t['ppl_nll'][0]):.4f}), "
          f"llama.cpp {nll:.6f} (perplexity {np.exp(nll):.4f})")


def main():
    model, fixture = sys.argv[1:3]
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    meta, t = read_gguf(fixture)
    with tempfile.TemporaryDirectory() as folder:
        expanded = Path(folder) / "f32.gguf"
        expand_to_f32(model, expanded, threads)
        print("\nWeights expanded to F32")
        compare(expanded, meta, t, threads, flash_attn=False, type_k=llama_cpp.GGML_TYPE_F32,
                type_v=llama_cpp.GGML_TYPE_F32)
    print("\nThe file as it is")
    compare(model, meta, t, threads)


if __name__ == "__main__":
    main()
