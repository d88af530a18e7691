"""Writes the training rows of the benchmarks as CSV files with one column, 'text'.

    rows.py MODEL.gguf SOURCE.csv FOLDER

rows.csv: one text per row of SOURCE out of its columns Name and Symptoms, in order.
long.csv: the same texts joined by newlines until a row has at least 512 tokens, so that cut to 512
it is full.
"""
import csv
import sys
from pathlib import Path

from peer import tokenizer

LENGTH = 512


def write(path, texts):
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text"])
        out.writerows([text] for text in texts)


def main():
    model, source, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    tok, _ = tokenizer(model)
    with open(source, encoding="utf-8-sig", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["Name"] and r["Symptoms"]]
    texts = [f"{r['Name']}: {r['Symptoms']}" for r in rows]
    lengths = [len(tok.encode(text).ids) + 1 for text in texts]
    write(folder / "rows.csv", texts)
    long, current = [], ""
    for text in texts:
        current = f"{current}\n{text}" if current else text
        if len(tok.encode(current).ids) >= LENGTH:
            long.append(current)
            current = ""
    write(folder / "long.csv", long)
    print(f"rows: {len(texts)} of {Path(source).name}, {sum(lengths)} tokens with end-of-text, "
          f"mean {sum(lengths) / len(lengths):.1f}, longest {max(lengths)}; "
          f"{len(long)} rows of {LENGTH}")


if __name__ == "__main__":
    main()
