"""examples/disease_symptoms.lua as a notebook in Python: same CSV, settings and completions, with
TRL's SFTTrainer; run by notebook, which times the whole process.

    notebook.py MODEL.gguf ROWS.csv

Two defaults of SFTConfig that would slow it down here are off: gradient checkpointing, and bf16
(the chip may not have it).
"""
import sys
import tempfile
from pathlib import Path

import peer

torch = peer.set_threads()
import peft  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset, disable_progress_bars, load_dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

PROMPT = "Condition: {}\nSymptoms:"


def complete(model, tokenizer, names, when):
    for name in names:
        inputs = tokenizer(PROMPT.format(name), return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=40, do_sample=False,
                                 stop_strings=["\n"], tokenizer=tokenizer)
        text = tokenizer.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
        print(f"text: {when}: {name} ->{text!r}", flush=True)


def main():
    path, csv = Path(sys.argv[1]), sys.argv[2]
    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    work = tempfile.mkdtemp()
    df = load_dataset("csv", data_files=csv, split="train", cache_dir=work).to_pandas()
    df["Text"] = df.apply(lambda row: PROMPT.format(row["Name"]) + " " + row["Symptoms"], axis=1)
    rows = Dataset.from_pandas(df[["Text"]])
    names = [df["Name"].iloc[i] for i in (0, max(1, len(df) // 2) - 1, len(df) - 1)]
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32)
    # The weights are plain f32 now; transformers still calls the model quantised and untrainable.
    model.hf_quantizer, model.is_quantized = None, False
    model.config.quantization_config = None
    complete(model, tokenizer, names, "before")
    args = SFTConfig(
        output_dir=work, num_train_epochs=1, per_device_train_batch_size=8, learning_rate=5e-4,
        lr_scheduler_type="cosine", warmup_steps=0.05, logging_steps=5, max_length=256,
        dataset_text_field="Text", save_strategy="no", report_to="none", bf16=False,
        gradient_checkpointing=False, use_cpu=True, disable_tqdm=True,
        dataloader_pin_memory=False)
    trainer = SFTTrainer(
        model=model, args=args, train_dataset=rows, processing_class=tokenizer,
        peft_config=LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear",
                               task_type="CAUSAL_LM"))
    trainer.train()
    model = trainer.model.eval()
    complete(model, tokenizer, names, "after")
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    peer.report(losses=losses, versions=f"torch-{torch.__version__},transformers-"
                f"{transformers.__version__},peft-{peft.__version__},trl-{trl.__version__}")


if __name__ == "__main__":
    main()
