"""Shared helpers of the golden-fixture scripts.

- patch_f64(): makes the transformers llama and mistral classes compute in the dtype of their
  input. With .double() alone three places still drop to float32 (RMSNorm, the rotary cos/sin
  together with the inverse frequencies, and the softmax of eager attention), an error of about
  1e-7. Scaled rotary frequencies come from transformers' own functions, made to work in float64.
- Fixture / read_gguf: write and read the fixture files (GGUF v3 as a plain tensor container).
- permute: row order of q and k weights in a GGUF of arch llama.
- lora_model / lora_tensors: PEFT LoRA on all seven linears, in float64.
"""
import numpy as np
import torch
from gguf import GGUFReader, GGUFWriter
from torch import nn
from transformers import modeling_rope_utils as rope_utils
from transformers.models.llama import modeling_llama as ml
from transformers.models.mistral import modeling_mistral as mm

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


class DoubleTorch:
    """torch for modeling_rope_utils, whose float32 is float64."""
    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


# Dynamic NTK goes by the longest text of a batch. The samples of a fixture are computed one by
# one; this is the length of the longest of them (0: each for itself).
LONGEST = {"length": 0}


def rope_frequencies(cfg, length):
    """(inverse frequencies, factor of cos and sin) in float64."""
    params = rope_params(cfg)
    kind = params.get("rope_type", "default")
    if kind != "default":
        freq, scale = rope_utils.ROPE_INIT_FUNCTIONS[kind](cfg, None, seq_len=length)
        assert freq.dtype == torch.float64
        return freq, scale
    dim = getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads
    return rope_theta(cfg) ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim), 1.0


def patch_f64():
    """Replace the three float32 islands; use attn_implementation='eager'."""

    def rms_norm(self, x):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * (x * scale)

    def rotary(self, x, position_ids):
        length = max(int(position_ids.max()) + 1, LONGEST["length"])
        freq, scale = rope_frequencies(self.config, length)
        angle = position_ids[..., None].double() * freq
        angle = torch.cat((angle, angle), dim=-1)
        return (angle.cos() * scale).to(x.dtype), (angle.sin() * scale).to(x.dtype)

    def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
        key = ml.repeat_kv(key, module.num_key_value_groups)
        value = ml.repeat_kv(value, module.num_key_value_groups)
        scores = query @ key.transpose(2, 3) * scaling
        if attention_mask is not None:
            scores = scores + attention_mask[:, :, :, :key.shape[-2]]
        weights = nn.functional.softmax(scores, dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    rope_utils.torch = DoubleTorch()
    for module, name in ((ml, "Llama"), (mm, "Mistral")):
        getattr(module, name + "RMSNorm").forward = rms_norm
        getattr(module, name + "RotaryEmbedding").forward = rotary
        module.eager_attention_forward = attention


def rope_params(cfg):
    """transformers 5 keeps the rotary settings in rope_parameters."""
    return getattr(cfg, "rope_parameters", None) or {"rope_theta": cfg.rope_theta}


def rope_theta(cfg):
    return float(rope_params(cfg)["rope_theta"])


def permute(weight, heads):
    """HF half-split rope rows -> GGUF interleaved: row 2i+j <- row j*(d/2)+i inside each head.
    Weights and biases."""
    out = weight.shape[0]
    rows = weight.reshape(heads, 2, out // heads // 2, -1).swapaxes(1, 2)
    return rows.reshape(weight.shape)


def module_name(param):
    """'base_model.model.model.layers.0.mlp.up_proj.lora_A...' -> 'layers.0.mlp.up_proj'."""
    return param.split(".lora_")[0].removeprefix("base_model.model.").removeprefix("model.")


def lora_model(model, r, alpha):
    """PEFT LoRA around all seven linears of every layer (float64 as the model)."""
    from peft import LoraConfig, get_peft_model
    targets = [name.split(".")[1] for name in LINEARS]
    config = LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0,
                        bias="none", task_type="CAUSAL_LM")
    model = get_peft_model(model, config).double()
    model.train()
    return model


def lora_tensors(model):
    """[(name, parameter)] as 'layers.0.self_attn.q_proj.A', in layer order, A before B."""
    found = {}
    for name, param in model.named_parameters():
        if ".lora_" in name:
            found[f"{module_name(name)}.{'A' if '.lora_A.' in name else 'B'}"] = param
    layers = model.config.num_hidden_layers
    order = [f"layers.{i}.{lin}.{ab}" for i in range(layers) for lin in LINEARS for ab in "AB"]
    assert sorted(order) == sorted(found)
    return [(name, found[name]) for name in order]


class Fixture:
    """A GGUF v3 file being collected; floats in metadata are F64, ints U32, strings as they are."""

    def __init__(self, path, arch="golden"):
        self.writer = GGUFWriter(path, arch)
        self.path = path

    def meta(self, **values):
        for key, value in values.items():
            key = key.replace("__", ".")
            if isinstance(value, str):
                self.writer.add_string(key, value)
            elif isinstance(value, int):
                self.writer.add_uint32(key, value)
            else:
                self.writer.add_float64(key, value)

    def tensor(self, name, value, dtype=None):
        """Store a torch tensor, array, list or scalar; scalars become [1]."""
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        array = np.ascontiguousarray(np.atleast_1d(np.asarray(value, dtype=dtype)))
        assert len(name) < 64 and array.size and np.isfinite(array).all(), name
        self.writer.add_tensor(name, array)

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def read_gguf(path):
    """(metadata dict, tensors dict in torch orientation) of an unquantised GGUF file."""
    reader = GGUFReader(path)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    tensors = {t.name: t.data.reshape([int(n) for n in t.shape[::-1]]) for t in reader.tensors}
    return meta, tensors
