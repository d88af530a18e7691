"""The demo recipe as a notebook in Python: the same CSV, settings and completions, with TRL's
SFTTrainer; run by notebook, which times the whole process.

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

DISEASES = ("Panic disorder", "Vocal cord polyp", "Turner syndrome")
PROMPT = "Disease: {}\nSymptoms:"


def complete(model, tokenizer, when):
    for name in DISEASES:
        inputs = tokenizer(PROMPT.format(name), return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        text = tokenizer.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
        print(f"text: {when}: {name}: {text!r}", flush=True)


def main():
    path, csv = Path(sys.argv[1]), sys.argv[2]
    disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    work = tempfile.mkdtemp()
    df = load_dataset("csv", data_files=csv, split="train", cache_dir=work).to_pandas()
    df["text"] = df.apply(
        lambda row: PROMPT.format(row["Name"]) + " " + str(row["Symptoms"]), axis=1)
    rows = Dataset.from_pandas(df[["text"]])
    tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32)
    # The weights are plain f32 now; transformers still calls the model quantised and untrainable.
    model.hf_quantizer, model.is_quantized = None, False
    model.config.quantization_config = None
    complete(model, tokenizer, "before")
    args = SFTConfig(
        output_dir=work, num_train_epochs=1, per_device_train_batch_size=8, learning_rate=2e-4,
        logging_steps=10, save_strategy="no", report_to="none", bf16=False, use_cpu=True,
        gradient_checkpointing=False, dataset_text_field="text", max_length=512,
        disable_tqdm=True, dataloader_pin_memory=False)
    trainer = SFTTrainer(
        model=model, args=args, train_dataset=rows, processing_class=tokenizer,
        peft_config=LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear",
                               task_type="CAUSAL_LM"))
    trainer.train()
    model = trainer.model.eval()
    complete(model, tokenizer, "after")
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    peer.report(losses=losses, versions=f"torch-{torch.__version__},transformers-"
                f"{transformers.__version__},peft-{peft.__version__},trl-{trl.__version__}")


if __name__ == "__main__":
    main()
