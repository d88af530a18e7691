"""One timed window of LoRA training with transformers + PEFT on the CPU; run by train_cpu and busy.

A plain loop rather than the Trainer class: the same arithmetic with less around it, so the peer is
not charged for bookkeeping. Rows in order, AdamW, constant rate, gradient norm clipped to 1.

Layouts: 'padded' as the Trainer's collator does (each batch to its longest row, right side), or
'flat' as DataCollatorWithFlattening does (no padding: one long row, positions start again at
every sample, attention kept inside it).
"""
import argparse
import resource

import peer


def batches(rows, size, steps, pad, layout, torch):
    """[(model inputs, real tokens, computed tokens)], one per step, rows in order."""
    made = []
    for step in range(steps):
        part = [rows[(step * size + i) % len(rows)] for i in range(size)]
        real = sum(map(len, part))
        if layout == "flat":
            ids = [t for row in part for t in row]
            labels = [t for row in part for t in [-100] + row[1:]]
            positions = [p for row in part for p in range(len(row))]
            inputs = {"input_ids": ids, "labels": labels, "position_ids": positions}
            inputs = {k: torch.tensor([v]) for k, v in inputs.items()}
            made.append((inputs, real, real))
            continue
        width = max(map(len, part))
        fill = [width - len(row) for row in part]
        made.append(({
            "input_ids": torch.tensor([r + [pad] * n for r, n in zip(part, fill)]),
            "attention_mask": torch.tensor([[1] * len(r) + [0] * n for r, n in zip(part, fill)]),
            "labels": torch.tensor([r + [-100] * n for r, n in zip(part, fill)]),
        }, real, width * size))
    return made


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("csv")
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    p.add_argument("--lora-dtype", default="float32", choices=["float32", "bfloat16"])
    p.add_argument("--autocast", action="store_true", help="bf16 by torch.autocast over f32")
    p.add_argument("--attention", default="sdpa")
    p.add_argument("--layout", default="padded", choices=["padded", "flat"])
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--lr", type=float, default=2e-4)
    a = p.parse_args()
    torch = peer.set_threads()
    import peft
    import transformers
    rows = peer.token_rows(a.csv, a.model, a.max_length)
    model = peer.load_model(a.model, a.dtype, a.attention)
    model = peer.add_lora(model, dtype=a.lora_dtype)
    model.config.use_cache = False
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    losses, norms = [], []
    for steps in (a.warmup, a.steps):  # the second round starts again at the first row
        optimiser = torch.optim.AdamW(trained, lr=a.lr, weight_decay=0.0, fused=True)
        data = batches(rows, a.batch, steps, 0, a.layout, torch)
        start = peer.now()
        for inputs, _, _ in data:
            with torch.autocast("cpu", torch.bfloat16, enabled=a.autocast):
                loss = model(**inputs).loss
            loss.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(trained, 1.0).item())
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
        seconds = peer.now() - start
    peer.report(losses=losses, norms=norms, trained=sum(p.numel() for p in trained))
    peer.report(steps=a.steps, tokens=sum(d[1] for d in data), computed=sum(d[2] for d in data),
                seconds=seconds, peak_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    peer.report(threads=torch.get_num_threads(),
                versions=f"torch-{torch.__version__},transformers-{transformers.__version__},"
                         f"peft-{peft.__version__}")


if __name__ == "__main__":
    main()
