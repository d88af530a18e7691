"""Adapters go both ways between PEFT and lorash with equal logits.

For every case a tiny random llama model is saved as a Hugging Face folder (or a GGUF file), and
  in      PEFT makes and saves an adapter with random values, lorash loads it;
  back    lorash saves what it loaded, PEFT loads that;
  fresh   lorash makes an adapter from the same options (random A and B) and saves it, PEFT loads it;
  merged  lorash merges; against lorash unmerged, and (in brackets) against PEFT merged, or against
          PEFT unmerged where its own merge is not the same (LoRA on one of two tied layers: PEFT
          adds the change to the weight that both share);
  undone  unmerging gives the same bits as before;
  one     back, saved with one_scale = true: PEFT must find the same scale in every layer;
  model   lorash saves the merged model as a folder, transformers loads it: against lorash.
Numbers are relative L2 distances of the logits, PEFT's in float64 with common.patch_f64, lorash's in
f32 (PEFT keeps its own adapters in f32 until .double()). 'keys' says whether the saved
configuration has PEFT's keys and passes vLLM's rules (r, lora_alpha and target_modules
there): what vLLM would refuse for modules_to_save, bias or embeddings is marked 'no vLLM', what has
patterns that it would not see 'one': that needs one_scale.

    python check_peft.py build/lorash [CASE ...]

Exits with 1 when a number is above its limit (in, back, fresh 1e-5; merged 1e-6, in brackets 1e-5).
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from common import patch_f64

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
LIMIT, MERGED_LIMIT = 1e-5, 1e-6
IDS = [3, 17, 5, 30, 11, 2, 29, 8, 8, 21, 14]
TIED = dict(tie_word_embeddings=True)
UNTIED = dict(tie_word_embeddings=False)
BIASED = dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True)

# name: (model, LoraConfig arguments)
CASES = {
    "plain": (UNTIED, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "all_linear": (TIED, dict(r=3, lora_alpha=5, target_modules="all-linear")),
    "exclude": (TIED, dict(r=2, target_modules="all-linear", exclude_modules=["up_proj", "k_proj"])),
    "regex": (UNTIED, dict(r=4, target_modules=r"model\.layers\.[12]\..*(q|down)_proj")),
    "exclude_regex": (UNTIED, dict(r=4, target_modules=["q_proj", "o_proj"],
                                   exclude_modules=r".*layers\.1\..*")),
    "layers": (UNTIED, dict(r=4, target_modules=["q_proj", "up_proj"], layers_to_transform=[0, 2])),
    "one_layer": (UNTIED, dict(r=4, target_modules=["q_proj"], layers_to_transform=1,
                               layers_pattern="layers")),
    "rank_pattern": (UNTIED, dict(r=4, lora_alpha=8, target_modules="all-linear",
                                  rank_pattern={"q_proj": 2, r"layers.1.mlp.(up|gate)_proj": 6})),
    "alpha_pattern": (TIED, dict(r=4, lora_alpha=8, target_modules="all-linear",
                                 alpha_pattern={r"layers.[01].*k_proj": 32, "down_proj": 1.5},
                                 rank_pattern={"k_proj": 3})),
    "first_pattern": (UNTIED, dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj"],
                                   rank_pattern={"layers.0.self_attn.q_proj": 2, "q_proj": 6})),
    "rslora": (UNTIED, dict(r=4, lora_alpha=6, use_rslora=True, target_modules="all-linear",
                            rank_pattern={"v_proj": 9})),
    "gaussian": (UNTIED, dict(r=4, init_lora_weights="gaussian", target_modules=["q_proj"])),
    "dropout": (UNTIED, dict(r=4, lora_dropout=0.1, target_modules=["gate_proj"])),
    "saved_head": (UNTIED, dict(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "saved_head_tied": (TIED, dict(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "saved_table": (UNTIED, dict(r=4, target_modules=["v_proj"], modules_to_save=["embed_tokens"])),
    "saved_table_tied": (TIED, dict(r=4, target_modules=["v_proj"],
                                    modules_to_save=["embed_tokens"])),
    "saved_both_tied": (TIED, dict(r=4, target_modules=["v_proj"],
                                   modules_to_save=["embed_tokens", "lm_head"])),
    "saved_norms": (UNTIED, dict(r=4, target_modules=["v_proj"], modules_to_save=["norm"])),
    "saved_blocks": (UNTIED, dict(r=4, target_modules="all-linear",
                                  modules_to_save=["mlp", "layers.1.self_attn.q_proj"])),
    "bias_all": (BIASED, dict(r=4, target_modules=["q_proj", "down_proj"], bias="all")),
    "bias_lora_only": (BIASED, dict(r=4, target_modules=["q_proj", "up_proj"], bias="lora_only")),
    "bias_none": (BIASED, dict(r=4, target_modules=["q_proj", "up_proj"])),
    "table": (UNTIED, dict(r=4, target_modules=["embed_tokens", "q_proj"])),
    "table_tied": (TIED, dict(r=4, target_modules=["embed_tokens", "q_proj"])),
    "head": (UNTIED, dict(r=4, target_modules=["lm_head", "q_proj"])),
    "head_tied": (TIED, dict(r=4, target_modules=["lm_head", "q_proj"])),
    "head_and_table": (UNTIED, dict(r=4, target_modules=["lm_head", "embed_tokens"],
                                    rank_pattern={"lm_head": 7}, use_rslora=True)),
    "old_config": (UNTIED, dict(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"])),
    "gguf": (TIED, dict(r=4, target_modules="all-linear", rank_pattern={"q_proj": 2})),
    "gguf_head": (UNTIED, dict(r=4, target_modules=["q_proj", "k_proj"],
                               modules_to_save=["lm_head"])),
}
ONLY_IN = ("first_pattern",)  # lorash refuses to make patterns that disagree
OLD_KEYS = ("base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode",
            "init_lora_weights", "lora_alpha", "lora_dropout", "modules_to_save", "peft_type", "r",
            "target_modules", "task_type")
NEW_KEYS = set(OLD_KEYS) | {"alpha_pattern", "auto_mapping", "exclude_modules", "layer_replication",
                            "layers_pattern", "layers_to_transform", "loftq_config", "lora_bias",
                            "megatron_config", "megatron_core", "peft_version", "rank_pattern",
                            "revision", "use_dora", "use_rslora"}

SCRIPT = """
local function put(t)
    local values = t:reshape(-1):tolist()
    for i, v in ipairs(values) do values[i] = string.format("%.9g", v) end
    print("LOGITS " .. table.concat(values, " "))
end
local ids, base, from, back, fresh = {IDS}, "BASE", "FROM", "BACK", "FRESH"
local model = AutoModelForCausalLM.from_pretrained(base)
put(model:logits(ids))
PeftModel.from_pretrained(model, from)
put(model:logits(ids))
model:save_pretrained(back)
model:save_pretrained("ONE", {one_scale = true})
model:merge_adapter()
put(model:logits(ids))
model:unmerge_adapter()
put(model:logits(ids))
put(model:merge_and_unload():logits(ids))
model:save_pretrained("WHOLE")
if SKIP then return end
model = AutoModelForCausalLM.from_pretrained(base)
local config = LoraConfig(OPTIONS)
config.init_lora_weights = false
get_peft_model(model, config)
put(model:logits(ids))
model:save_pretrained(fresh)
"""


def lua(value):
    """A Python value as a Lua one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\") + '"'
    if isinstance(value, dict):  # in pairs: their order counts
        return "{" + ", ".join(f"{{{lua(k)}, {lua(v)}}}" for k, v in value.items()) + "}"
    return "{" + ", ".join(lua(v) for v in value) + "}"


def base_model(spec):
    from transformers import LlamaConfig, LlamaForCausalLM
    config = LlamaConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, intermediate_size=64, vocab_size=48,
                         rms_norm_eps=float(np.float32(1e-5)), max_position_embeddings=64,
                         attn_implementation="eager", bos_token_id=1, eos_token_id=2, **spec)
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape)
            param.copy_(1 + 0.2 * noise if "norm" in name else 0.25 * noise)
    return model.eval()


def logits(model):
    """In float64; the model is used up."""
    with torch.no_grad():
        return model.double().eval()(torch.tensor([IDS]), use_cache=False).logits[0].numpy()


def peft_adapter(folder, options, out, old):
    """An adapter of PEFT with random values on a fresh base; saves it, gives its logits."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    base = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options))
    gen = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if ".lora_" in name:
                param.copy_(0.15 * torch.randn(param.shape, generator=gen))
            elif param.requires_grad:
                param.add_(0.1 * torch.randn(param.shape, generator=gen))
    model.save_pretrained(out)
    if old:  # what a release of 2023 wrote
        path = Path(out, "adapter_config.json")
        config = json.loads(path.read_text())
        path.write_text(json.dumps({key: config[key] for key in OLD_KEYS}, indent=2))
    return logits(model)


def check_scales(model, adapter):
    """What a reader of r, lora_alpha and use_rslora alone (vLLM) would take for every layer."""
    config = json.loads(Path(adapter, "adapter_config.json").read_text())
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    found = [module.scaling["default"] for module in model.modules() if hasattr(module, "lora_A")]
    assert found and np.allclose(found, scale, rtol=1e-14), (found, scale)


def peft_logits(folder, adapter, merged=False, one_scale=False):
    """What PEFT makes of an adapter's folder; every tensor of it must have found its place."""
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM
    base = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, adapter)
    if one_scale:
        check_scales(model, adapter)
    state = model.state_dict()
    with safe_open(Path(adapter, "adapter_model.safetensors"), "pt") as file:
        assert file.metadata() == {"format": "pt"}, file.metadata()
        for name in file.keys():
            stored = file.get_tensor(name)
            assert any(value.shape == stored.shape and torch.equal(value, stored)
                       for value in state.values()), name
    return logits(model.merge_and_unload(safe_merge=True) if merged else model)


def whole_logits(folder):
    """What transformers makes of a whole model's folder; nothing may be missing or left over."""
    from transformers import AutoModelForCausalLM
    model, info = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager",
                                                       output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return logits(model)


def run_lorash(program, folder, options, paths, only_in):
    script = SCRIPT.replace("{IDS}", lua(IDS)).replace("OPTIONS", lua_table(options))
    script = script.replace("SKIP", lua(only_in))
    for key, path in paths.items():
        script = script.replace(key, str(path))
    file = Path(folder, "check.lua")
    file.write_text(script)
    done = subprocess.run([program, "-q", file], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"lorash failed:\n{done.stdout[-2000:]}{done.stderr}\n{script}")
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("LOGITS")]
    return [np.array(row, dtype=np.float64) for row in rows]


def lua_table(options):
    return "{" + ", ".join(f"{key} = {lua(value)}" for key, value in options.items()) + "}"


def distance(a, b):
    a, b = np.ravel(a), np.ravel(b)
    value = np.linalg.norm(a - b) / np.linalg.norm(b)
    return value if np.isfinite(value) else float("inf")


def check_keys(path, options):
    """PEFT's keys, sorted, and vLLM's rules."""
    text = Path(path, "adapter_config.json").read_text()
    config = json.loads(text)
    assert set(config) == NEW_KEYS, set(config) ^ NEW_KEYS
    assert text == json.dumps(config, indent=2, sort_keys=True), text
    assert config["peft_type"] == "LORA" and config["inference_mode"] is True
    assert isinstance(config["r"], int) and config["r"] > 0
    assert isinstance(config["lora_alpha"], (int, float))
    assert isinstance(config["target_modules"], (list, str)) and config["target_modules"]
    if config["modules_to_save"] or config["bias"] != "none" \
            or re.search("embed_tokens|lm_head", str(options)):
        return "no vLLM"
    return "one" if config["rank_pattern"] or config["alpha_pattern"] else "ok"


def check(name, program, folder):
    spec, options = CASES[name]
    hf = Path(folder, "base")
    model = base_model(spec)
    model.save_pretrained(hf)
    base = hf
    if name.startswith("gguf"):
        from llama_tiny import write_model
        base = Path(folder, "base.gguf")
        write_model(model, base, name)
    whole = Path(folder, "whole")
    paths = {"WHOLE": whole, "ONE": Path(folder, "one"), "BASE": base, "FROM": Path(folder, "from"), "BACK": Path(folder, "back"),
             "FRESH": Path(folder, "fresh")}
    wanted = peft_adapter(hf, options, paths["FROM"], name == "old_config")
    rows = run_lorash(program, folder, options, paths, name in ONLY_IN)
    plain, loaded, merged, undone, unloaded = rows[:5]
    numbers = {
        "base": distance(plain, logits(model)),
        "in": distance(loaded, wanted),
        "back": distance(loaded, peft_logits(hf, paths["BACK"])),
        "one": distance(loaded, peft_logits(hf, paths["ONE"], one_scale=True)),
        "fresh": distance(rows[5], peft_logits(hf, paths["FRESH"])) if rows[5:] else 0.0,
        "merged": distance(merged, loaded),
    }
    theirs = peft_logits(hf, paths["FROM"], merged=True)
    consistent = distance(theirs, wanted) <= LIMIT  # PEFT's own merge writes into both tied layers
    numbers["peft merged"] = distance(unloaded, theirs if consistent else wanted)
    assert distance(loaded, plain) > 1e-3, "the adapter does nothing"
    assert not rows[5:] or distance(rows[5], plain) > 1e-3, "the fresh adapter does nothing"
    assert np.array_equal(undone, loaded), "unmerging changed something"
    assert np.array_equal(merged, unloaded)
    numbers["model"] = distance(unloaded, whole_logits(whole))
    limits = {"merged": MERGED_LIMIT}
    bad = [key for key, value in numbers.items() if not value <= limits.get(key, LIMIT)]
    keys = check_keys(paths["BACK"], options)
    if rows[5:]:
        check_keys(paths["FRESH"], options)
    print(f"{name:18} {numbers['in']:9.1e} {numbers['back']:9.1e} {numbers['one']:9.1e} {numbers['fresh']:9.1e} "
          f"{numbers['merged']:9.1e} ({numbers['peft merged']:.1e})  same bits {numbers['model']:9.1e}  {keys:8} "
          f"{'' if consistent else '(merged by PEFT differs from PEFT)'}"
          f"{'FAILED: ' + ', '.join(bad) if bad else ''}", flush=True)
    return not bad


def main():
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    patch_f64()
    program = sys.argv[1]
    print(f"{'case':18} {'in':>9} {'back':>9} {'one':>9} {'fresh':>9} {'merged':>9} (PEFT's)   undone        model  keys")
    good = True
    for name in sys.argv[2:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            good = check(name, program, folder) and good
    print("all within their limits" if good else "FAILED")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
