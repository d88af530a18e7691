"""What PEFT makes of every option of LoraConfig: logits, loss and gradients in float64.

Writes lora_untied.expect.gguf (base llama_bias) and lora_tied.expect.gguf (base llama_linear); their
bases are those of llama_tiny.py, made again here from the same seeds. A fixture holds the batch
(input_ids, sample_start) and for each case N = c0, c1 ...:

  N.options (metadata)  "r=3;target_modules=q_proj,v_proj;...": as on lorash's command line
  N.v.NAME  values of a trained tensor (F32; rounded first, so float64 results are exact)
  N.g.NAME  its gradient of the mean loss over all targets
  N.logits, N.loss

NAME is the tensor's name in adapter_model.safetensors without "base_model.model." and "model.".

    python lora_features.py OUTPUT_FOLDER
"""
import sys
from pathlib import Path

import numpy as np
import torch

from common import Fixture, patch_f64
from llama_tiny import CASES, SEEDS, batch_logits, batch_loss, build_model

LENGTHS = (6, 3, 9)
UNTIED = [
    dict(r=2, lora_alpha=3, target_modules="all-linear", use_rslora=True,
         rank_pattern={"q_proj": 3, "layers.1.mlp.down_proj": 1}, alpha_pattern={"k_proj": 7}),
    dict(r=2, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"]),
    dict(r=2, target_modules=["v_proj"], modules_to_save=["embed_tokens", "layers.0.mlp"]),
    dict(r=2, target_modules=["q_proj", "down_proj"], bias="all"),
    dict(r=2, target_modules=["up_proj"], bias="lora_only"),
    dict(r=3, lora_alpha=5, target_modules=["embed_tokens", "q_proj"]),
    dict(r=3, lora_alpha=4, target_modules=["lm_head", "k_proj"]),
    dict(r=2, target_modules=["lm_head", "embed_tokens"], rank_pattern={"lm_head": 4}),
    dict(r=2, target_modules=r".*layers\.1\..*(o|gate)_proj"),
    dict(r=2, target_modules=["q_proj", "o_proj"], layers_to_transform=[1],
         exclude_modules=["o_proj"]),
]
TIED = [
    dict(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]),
    dict(r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    dict(r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    dict(r=2, target_modules=["embed_tokens"]),
    dict(r=2, target_modules=["lm_head", "down_proj"]),
    dict(r=2, target_modules=["embed_tokens", "lm_head"], use_rslora=True),
]


def text(value):
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def file_name(param):
    """PEFT's parameter name as in the file, short."""
    for part in (".modules_to_save.default", ".default"):
        param = param.replace(part, "")
    return param.removeprefix("base_model.model.").removeprefix("model.")


def add_case(fixture, name, base, options, samples, gen):
    from peft import LoraConfig, get_peft_model
    model = build_model(CASES[base], torch.Generator().manual_seed(SEEDS[base]))
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).double().train()
    params = [(key, param) for key, param in model.named_parameters() if param.requires_grad]
    with torch.no_grad():
        for key, param in params:
            noise = torch.randn(param.shape, generator=gen)
            value = 0.3 * noise if ".lora_" in key else param + 0.1 * noise
            param.copy_(value.float().double())
            fixture.tensor(f"{name}.v.{file_name(key)}", param, np.float32)
    fixture.meta(**{f"{name}__options": ";".join(f"{k}={text(v)}" for k, v in options.items())})
    fixture.tensor(f"{name}.logits", batch_logits(model, samples))
    loss = batch_loss(model, samples)
    loss.backward()
    fixture.tensor(f"{name}.loss", loss)
    for key, param in params:
        assert param.grad.abs().max() > 0, key
        fixture.tensor(f"{name}.g.{file_name(key)}", param.grad)
    print(f"  {name}: {len(params)} tensors, {sum(p.numel() for _, p in params)} values, loss "
          f"{loss:.6f}, {options}")


def make(path, base, cases):
    print(path.name)
    gen = torch.Generator().manual_seed(5)
    samples = [torch.randint(CASES[base]["vocab_size"], (n,), generator=gen) for n in LENGTHS]
    fixture = Fixture(path)
    fixture.meta(model=f"{base}.gguf", cases=len(cases))
    fixture.tensor("input_ids", torch.cat(samples), np.int32)
    fixture.tensor("sample_start", np.cumsum((0,) + LENGTHS), np.int32)
    for i, options in enumerate(cases):
        add_case(fixture, f"c{i}", base, options, samples, gen)
    fixture.close()


def main():
    torch.set_num_threads(1)
    patch_f64()
    folder = Path(sys.argv[1])
    make(folder / "lora_untied.expect.gguf", "llama_bias", UNTIED)
    make(folder / "lora_tied.expect.gguf", "llama_linear", TIED)


if __name__ == "__main__":
    main()
