"""Greedy decoding with llama.cpp through its C interface; run by decode.

    decode_peer.py MODEL.gguf PROMPT TOKENS

Times llama.cpp's own calls only: one decode call and one greedy pick over the logits per token.
"""
import ctypes
import os
import resource
import sys

import peer


def greedy(lib, numpy, context, vocab):
    logits = lib.llama_get_logits_ith(context, -1)
    return int(numpy.argmax(numpy.ctypeslib.as_array(logits, shape=(vocab,))))


def decode(lib, context, ids):
    batch = (lib.llama_token * len(ids))(*ids)
    assert lib.llama_decode(context, lib.llama_batch_get_one(batch, len(ids))) == 0


def generate(lib, numpy, context, vocab, ids, count):
    """(tokens, seconds of the prompt, seconds of 'count' decode steps after it). End-of-text does
    not stop it."""
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    start = peer.now()
    decode(lib, context, ids)
    out = [greedy(lib, numpy, context, vocab)]
    filled = peer.now()
    while len(out) < count + 1:
        decode(lib, context, out[-1:])
        out.append(greedy(lib, numpy, context, vocab))
    return out[:count], filled - start, peer.now() - filled


def main():
    path, prompt, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import llama_cpp as lib
    import numpy
    if not os.environ.get("LORASH_BENCH_VERBOSE"):
        quiet = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(quiet, ctypes.c_void_p(0))
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch = 512, 512
    params.n_threads = params.n_threads_batch = peer.threads()
    context = lib.llama_init_from_model(model, params)
    vocab = lib.llama_model_get_vocab(model)
    size = lib.llama_vocab_n_tokens(vocab)
    tok, _ = peer.tokenizer(path)
    ids = tok.encode(prompt).ids
    generate(lib, numpy, context, size, ids, 8)  # warms up
    out, prompt_seconds, seconds = generate(lib, numpy, context, size, ids, count)
    print("text: " + repr(tok.decode(out, skip_special_tokens=False)), flush=True)
    peer.report(steps=count, tokens=count, seconds=seconds, prompt_tokens=len(ids),
                prompt_seconds=prompt_seconds,
                peak_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    peer.report(threads=peer.threads(), versions=f"llama-cpp-python-{lib.__version__}")
    info = lib.llama_print_system_info().decode()
    print("llama.cpp: " + info, flush=True)


if __name__ == "__main__":
    main()
