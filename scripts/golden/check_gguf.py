"""GGUF files and folders written by lorash, judged by llama.cpp and transformers.

The demo model's GGUF is opened by transformers (its weights expanded to float32), saved as a
folder, and written as a reference GGUF the way llama.cpp's converter does (gguf-py: F32 and F16;
llama.cpp's own quantiser makes Q8_0 and Q4_0 of it). lorash opens the folder and writes GGUF files
of every type, an adapter GGUF of a random rsLoRA adapter, the merged model as folder and GGUF.

Table 1: llama.cpp on lorash's file against llama.cpp on the reference: tensors whose bytes are
equal, cosine of next-token logits (worst of the prompts), perplexity of 512 tokens.
Table 2: transformers on lorash's folders against lorash, relative L2 of logits.
Table 3: llama.cpp on lorash's GGUF of the tiny fixture models (every rotary scaling, biases) against
the float64 logits of the fixture; on an untied one with lorash's adapter GGUF on all linears,
embedding and head, against lorash. Beside it transformers in float64 on the folder that lorash makes
of the same GGUF, with a config.json of its own making.

Table 4: vocabularies of public tokenizers (the folder ../tokenizers beside TEXT's, where it is there) in
GGUF files of lorash: llama.cpp's ids of texts against lorash's, without and with the special tokens
that are added.

    python check_gguf.py build/lorash MODEL.gguf TEXT.txt [THREADS [tiny|types|adapter|vocab ...]]

Needs 5 GB in the temporary folder and some minutes. Exits with 1 when a number is above its limit:
cosine below 0.9999, perplexity off by more than 0.5 %, relative L2 above 1e-5 (table 2), 2e-6 or
1e-11 (table 3).

Two things that llama.cpp does otherwise, so that they are not here: it does not apply the sliding
window to arch llama, and it stops at an adapter on the embedding of a tied model (lorash refuses to
write one).
"""
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFReader, GGUFValueType, GGUFWriter, get_tensor_name_map
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from common import patch_f64, permute, read_gguf

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
COSINE, PERPLEXITY, REL, TINY, EXACT = 0.9999, 0.005, 1e-5, 2e-6, 1e-11
PROMPTS = ("The capital of France is", "Once upon a time, in a small village by the sea,",
           "def fibonacci(n):\n    ", "To be, or not to be, that is",
           "Die Hauptstadt von Österreich heißt")
TINY_CASES = ("llama_tied_gqa", "llama_untied_mha", "llama_untied_headdim", "llama_linear",
              "llama_llama3", "llama_yarn", "llama_bias")
VOCABULARIES = (("llama2", 32000), ("llama2/tokenizer.model", 32000), ("mistral-7b-v0.1", 32000),
                ("mistral-common/mistral_instruct_tokenizer_241114.model.v7", 32768), ("phi-3-mini", 32064),
                ("llama3.1", 128256), ("qwen3", 151936), ("gpt2", 50257), ("phi-2", 51200))
TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0")


# --- the reference -----------------------------------------------------------------------------

def copy_keys(reader, writer):
    """Everything but what the writer says itself; arrays and strings as they are."""
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        value = field.contents()
        sub = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, kind, sub)


def reference(model, source, path, half):
    """What the converter of llama.cpp writes for a transformers model."""
    cfg = model.config
    writer = GGUFWriter(path, "llama")
    copy_keys(GGUFReader(source), writer)
    writer.add_file_type(1 if half else 0)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, cfg.num_hidden_layers)
    for hf_name, param in model.named_parameters():
        value = param.detach().float().numpy()
        if "q_proj" in hf_name:
            value = permute(value, cfg.num_attention_heads)
        elif "k_proj" in hf_name:
            value = permute(value, cfg.num_key_value_heads)
        value = np.ascontiguousarray(value)
        if half and value.ndim == 2:
            value = value.astype(np.float16)
        writer.add_tensor(names.get_name(hf_name, (".weight", ".bias")), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source, target, kind, threads):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = {"q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
                    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
                    "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16}[kind]
    params.nthread = threads
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params) == 0


def equal_tensors(ours, theirs):
    """'273 of 273' tensors with equal type and bytes."""
    a = {t.name: t for t in GGUFReader(ours).tensors}
    b = {t.name: t for t in GGUFReader(theirs).tensors}
    assert set(a) == set(b), set(a) ^ set(b)
    same = sum(a[name].tensor_type == b[name].tensor_type
               and a[name].data.tobytes() == b[name].data.tobytes() for name in a)
    return f"{same} of {len(a)}"


# --- lorash ------------------------------------------------------------------------------------

def run_lorash(program, folder, text):
    script = Path(folder, "check.lua")
    script.write_text(text)
    done = subprocess.run([program, "-q", script], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"lorash failed:\n{done.stdout[-2000:]}{done.stderr}\n{text}")
    return [np.array(line.split()[1:], dtype=np.float64) for line in done.stdout.splitlines()
            if line.startswith("LOGITS")]


WRITE = """
local function put(t)
    local values = t[-1]:tolist()
    for i, v in ipairs(values) do values[i] = string.format("%.9g", v) end
    print("LOGITS " .. table.concat(values, " "))
end
local ids, here = {IDS}, "HERE"
local tokenizer = AutoTokenizer.from_pretrained("SOURCE")
local model = AutoModelForCausalLM.from_pretrained(here .. "/hf")
for _, dtype in ipairs{TYPES} do
    model:save_gguf(here .. "/ours-" .. dtype .. ".gguf", {dtype = dtype, tokenizer = tokenizer})
end
model:save_pretrained(here .. "/saved", {max_shard_size = "200MB"})
put(model:logits(ids))
model = get_peft_model(model, LoraConfig{ r = 8, lora_alpha = 4, use_rslora = true,
    target_modules = {"q_proj", "k_proj", "v_proj", "down_proj"},
    alpha_pattern = {k_proj = 6}, init_lora_weights = false })
model:save_adapter_gguf(here .. "/adapter.gguf")
model:save_pretrained(here .. "/adapter")
model = model:merge_and_unload()
model:save_pretrained(here .. "/merged")
model:save_gguf(here .. "/merged.gguf", {dtype = "f32", tokenizer = tokenizer})
put(model:logits(ids))
model = AutoModelForCausalLM.from_pretrained("SOURCE")
model:save_gguf(here .. "/ours-auto.gguf")
model:save_pretrained(here .. "/from_gguf", {dtype = "float32"})
"""


# --- judges ------------------------------------------------------------------------------------

def open_llama(path, threads, **more):
    return Llama(str(path), n_ctx=576, n_batch=512, n_threads=threads, n_threads_batch=threads,
                 logits_all=True, verbose=False, flash_attn=False,
                 type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, **more)


def all_logits(llm, ids):
    llm.reset()
    llm.eval(ids)
    return llm.scores[:len(ids)].astype(np.float64)


def judge(path, prompts, passage, threads, **more):
    """(next-token logits of every prompt, perplexity of the passage) by llama.cpp."""
    llm = open_llama(path, threads, **more)
    last = [all_logits(llm, ids)[-1] for ids in prompts]
    logits = all_logits(llm, passage)[:-1]
    top = logits.max(-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    nll = (log_sum - logits[np.arange(len(passage) - 1), passage[1:]]).mean()
    llm.close()
    return last, float(np.exp(nll))


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def distance(a, b):
    value = np.linalg.norm(np.ravel(a) - np.ravel(b)) / np.linalg.norm(b)
    return value if np.isfinite(value) else float("inf")


class Table:
    def __init__(self):
        self.bad = 0

    def line(self, text, good):
        self.bad += not good
        print(text + ("" if good else "   <-- above the limit"), flush=True)


def compare(table, name, ours, theirs, bytes_equal):
    worst = min(cosine(a, b) for a, b in zip(ours[0], theirs[0]))
    rel = max(distance(a, b) for a, b in zip(ours[0], theirs[0]))
    off = ours[1] / theirs[1] - 1
    table.line(f"{name:22} {bytes_equal:>12}  {worst:.8f}  {rel:9.2e}  {ours[1]:9.4f} "
               f"{theirs[1]:9.4f}  {100 * off:+8.4f} %",
               worst >= COSINE and abs(off) <= PERPLEXITY)


def expanded(source):
    """The GGUF's model in float32, as one that was never quantised."""
    loaded = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name,
                                                  dtype=torch.float32)
    config = LlamaConfig(**{key: value for key, value in loaded.config.to_dict().items()
                            if key not in ("quantization_config", "_name_or_path")})
    model = LlamaForCausalLM(config).float().eval()
    model.load_state_dict(loaded.state_dict())
    return model


def demo(table, program, source, text, folder, threads, parts):
    here = Path(folder)
    model = expanded(source)
    model.save_pretrained(here / "hf")
    reference(model, source, here / "ref-f32.gguf", False)
    types = TYPES if "types" in parts else ("f32",)
    if "types" in parts:
        reference(model, source, here / "ref-f16.gguf", True)
        for kind in ("bf16", "q8_0", "q4_0"):
            quantise(here / "ref-f32.gguf", here / f"ref-{kind}.gguf", kind, threads)

    llm = open_llama(here / "ref-f32.gguf", threads)
    encode = lambda t: llm.tokenize(t.encode(), add_bos=False, special=False)
    prompts = [encode(p) for p in PROMPTS]
    passage = encode(text)[:512]
    llm.close()
    ids = prompts[1]
    script = WRITE.replace("{IDS}", "{" + ", ".join(map(str, ids)) + "}")
    script = script.replace("HERE", str(here)).replace("SOURCE", str(source))
    script = script.replace("{TYPES}", "{" + ", ".join(f'"{t}"' for t in types) + "}")
    plain, adapted = run_lorash(program, folder, script)

    print("\n1. llama.cpp: lorash's file against the reference")
    print("file                    equal bytes  cosine      rel L2     perplexity  reference      off")
    for kind in types:
        ours, theirs = here / f"ours-{kind}.gguf", here / f"ref-{kind}.gguf"
        compare(table, kind, judge(ours, prompts, passage, threads),
                judge(theirs, prompts, passage, threads), equal_tensors(ours, theirs))
    if "types" in parts:
        compare(table, "as stored (Q4_1)",
                judge(here / "ours-auto.gguf", prompts, passage, threads),
                judge(source, prompts, passage, threads),
                equal_tensors(here / "ours-auto.gguf", source))

    from peft import PeftModel
    merged = PeftModel.from_pretrained(model, here / "adapter").merge_and_unload()
    reference(merged, source, here / "ref-merged.gguf", False)
    wanted = judge(here / "ref-merged.gguf", prompts, passage, threads)
    compare(table, "adapter on f32 base",
            judge(here / "ref-f32.gguf", prompts, passage, threads,
                  lora_path=str(here / "adapter.gguf")), wanted, "-")
    compare(table, "merged f32", judge(here / "merged.gguf", prompts, passage, threads), wanted,
            equal_tensors(here / "merged.gguf", here / "ref-merged.gguf"))
    return ids, plain, adapted


def folders(table, folder, ids, plain, adapted):
    print("\n2. transformers on folders of lorash against lorash\nfolder      rel L2")
    for name, wanted in (("saved", plain), ("merged", adapted), ("from_gguf", plain)):
        model = AutoModelForCausalLM.from_pretrained(Path(folder, name), dtype=torch.float32)
        with torch.no_grad():
            got = model(torch.tensor([ids])).logits[0, -1].double().numpy()
        rel = distance(got, wanted)
        table.line(f"{name:10}  {rel:.2e}", rel <= REL)


TINY_WRITE = """
local letters = {}
for i = 0, 19 do letters[#letters + 1] = ('"%s":%d'):format(string.char(97 + i), i) end
local file = assert(io.open("HERE/tokenizer.json", "w"))
file:write('{"added_tokens":[],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,' ..
    '"use_regex":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{' ..
    table.concat(letters, ",") .. '},"merges":[]}}')
file:close()
local tokenizer = AutoTokenizer.from_pretrained("HERE/tokenizer.json")
for _, name in ipairs{CASES} do
    local model = AutoModelForCausalLM.from_pretrained("GOLDEN/" .. name .. ".gguf")
    model:save_gguf("HERE/" .. name .. ".gguf", {tokenizer = tokenizer})
    model:save_pretrained("HERE/" .. name)
end
local model = AutoModelForCausalLM.from_pretrained("GOLDEN/llama_untied_mha.gguf")
model = get_peft_model(model, LoraConfig{ r = 4, lora_alpha = 6, use_rslora = true,
    target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
        "embed_tokens", "lm_head"},
    alpha_pattern = {k_proj = 9}, rank_pattern = {["layers.1.mlp.up_proj"] = 7},
    init_lora_weights = false })
model:save_adapter_gguf("HERE/adapter.gguf")
local values = model:logits{IDS}:reshape(-1):tolist()
for i, v in ipairs(values) do values[i] = string.format("%.9g", v) end
print("LOGITS " .. table.concat(values, " "))
"""


def tiny(table, program, folder, golden):
    script = TINY_WRITE.replace("HERE", str(folder)).replace("GOLDEN", str(golden))
    ids = list(range(3, 30, 2))
    script = script.replace("{IDS}", "{" + ", ".join(map(str, ids)) + "}")
    adapted, = run_lorash(program, folder, script.replace(
        "{CASES}", "{" + ", ".join(f'"{c}"' for c in TINY_CASES) + "}"))
    print("\n3. tiny models against float64\nmodel                  llama.cpp  transformers")
    for name in TINY_CASES:
        _, t = read_gguf(golden / f"{name}.expect.gguf")
        llm = open_llama(Path(folder, f"{name}.gguf"), 1)
        batch, starts = t["input_ids"].tolist(), t["sample_start"].tolist()
        got = np.concatenate([all_logits(llm, batch[a:b]) for a, b in zip(starts, starts[1:])])
        llm.close()
        rel = distance(got, t["logits"])
        model = AutoModelForCausalLM.from_pretrained(
            Path(folder, name), attn_implementation="eager", dtype=torch.float32).double().eval()
        with torch.no_grad():
            exact = distance(torch.cat([
                model(torch.tensor([batch[a:b]]), use_cache=False).logits[0]
                for a, b in zip(starts, starts[1:])]).numpy(), t["logits"])
        table.line(f"{name:22} {rel:.2e}   {exact:.2e}", rel <= TINY and exact <= EXACT)
    llm = open_llama(Path(folder, "llama_untied_mha.gguf"), 1,
                     lora_path=str(Path(folder, "adapter.gguf")))
    rel = distance(all_logits(llm, ids), adapted)
    llm.close()
    table.line(f"{'  with an adapter':22} {rel:.2e}", rel <= TINY)


VOCAB = """
local put = function(ids) print("LOGITS " .. table.concat(ids, " ")) end
local tokenizer = AutoTokenizer.from_pretrained("TOKENIZER")
AutoModelForCausalLM.from_pretrained("HERE/model"):save_gguf("HERE/vocab.gguf",
    {dtype = "f16", tokenizer = tokenizer})
local file = assert(io.open("HERE/texts"))
for line in file:lines() do
    local text = line:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)
    put(tokenizer:encode(text, {add_special_tokens = false}))
    put(tokenizer:encode(text))
end
"""


def vocabularies(table, program, folder, tokenizers, text):
    """Every tokenizer that llama.cpp has a name for, on lines of the text and on strings that are
    known to be hard."""
    hard = (tokenizers.parent / "gguf_vocab" / "ggml-vocab-llama-bpe.gguf.inp").read_text(
        encoding="utf-8").split("\n__ggml_vocab_test__\n")
    texts = [t for t in hard + text.splitlines() if t.strip()]
    Path(folder, "texts").write_text("".join(
        "".join(f"%{b:02x}" for b in t.encode()) + "\n" for t in texts))
    print(f"\n4. ids of {len(texts)} texts by llama.cpp\n{'tokenizer':52} differ  with "
          "special tokens")
    for name, size in VOCABULARIES:
        config = LlamaConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                             intermediate_size=32, vocab_size=size)
        LlamaForCausalLM(config).save_pretrained(Path(folder, "model"))
        rows = run_lorash(program, folder, VOCAB.replace("HERE", str(folder)).replace(
            "TOKENIZER", str(tokenizers / name)))
        llm = Llama(str(Path(folder, "vocab.gguf")), vocab_only=True, verbose=False)
        wrong = [0, 0]
        for i, t in enumerate(texts):
            for special in (0, 1):
                got = llm.tokenize(t.encode(), add_bos=bool(special), special=True)
                want = rows[2 * i + special].astype(int).tolist()
                if got != want and not wrong[special]:
                    print(f"  {t!r}: llama.cpp {got[:12]}, lorash {want[:12]}")
                wrong[special] += got != want
        llm.close()
        table.line(f"{name:52} {wrong[0]:6}  {wrong[1]:7}", not any(wrong))


def main():
    program, source, text = sys.argv[1:4]
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    parts = sys.argv[5:] or ["vocab", "tiny", "types", "adapter"]
    torch.set_num_threads(threads)
    print(f"gguf {getattr(gguf, '__version__', '')} llama-cpp-python {llama_cpp.__version__} "
          f"torch {torch.__version__}")
    quiet = llama_cpp.llama_log_callback(lambda level, line, data: None)  # kept while it is in use
    llama_cpp.llama_log_set(quiet, None)
    table = Table()
    golden = Path(__file__).resolve().parents[2] / "tests" / "golden"
    with tempfile.TemporaryDirectory() as folder:
        if "types" in parts or "adapter" in parts:
            passage = Path(text).read_text(encoding="utf-8")[:4000]
            ids, plain, adapted = demo(table, program, Path(source), passage, folder, threads,
                                       parts)
            folders(table, folder, ids, plain, adapted)
        tokenizers = Path(text).resolve().parents[1] / "tokenizers"
        if "vocab" in parts and tokenizers.is_dir():
            vocabularies(table, program, folder, tokenizers,
                         Path(text).read_text(encoding="utf-8")[:8000])
        if "tiny" in parts:
            patch_f64()
            tiny(table, program, folder, golden)
    print(f"\n{table.bad} above their limits")
    sys.exit(table.bad != 0)


if __name__ == "__main__":
    main()
