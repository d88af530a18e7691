"""Writes tests/golden/data_tables.txt: what Python's json and pandas read from the public data files.

One line a file: path, rows, columns, then, for JSON, the Adler-32 and the length in bytes of the
rows written as JSON lines (json.dumps, ensure_ascii=False; a missing key is null, columns in order
of first appearance). For CSV they are of all cells as texts, a row after the other, as Python's csv
module reads them: each cell is followed by byte 31, each row by byte 30. Rows are pandas'.

Usage: data_tables.py SHARED_DATA_FOLDER > tests/golden/data_tables.txt
"""
import csv
import json
import sys
import zlib
from pathlib import Path

import pandas

FOLDERS = ["alpaca", "llamafactory", "torchtune_tiny", "litgpt_fixtures", "docker_nl_commands",
           "mental_health_counseling", "counsel_chat", "counsel_chat_marathi", "imdb",
           "diseases_symptoms"]
FIELDS = {"counsel_chat_250-tokens_full.json": ["train", "valid"]}


def rows_of(path, field):
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    whole = json.loads(text)
    return whole[field] if field else whole if isinstance(whole, list) else [whole]


def json_line(shared, path, field):
    rows = rows_of(path, field)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    floats = {c for c in columns if any(isinstance(row.get(c), float) for row in rows)}
    out = "".join(json.dumps({c: float(row[c]) if c in floats and row.get(c) is not None else row.get(c)
                              for c in columns}, ensure_ascii=False) + "\n" for row in rows)
    data = out.encode()
    name = str(path.relative_to(shared)) + (":" + field if field else "")
    print(name, len(rows), len(columns), zlib.adler32(data), len(data), "|".join(columns), sep="\t")


def main():
    csv.field_size_limit(1 << 30)
    shared = Path(sys.argv[1]) / "data"
    for folder in FOLDERS:
        for path in sorted((shared / folder).rglob("*")):
            if path.suffix in (".json", ".jsonl"):
                for field in FIELDS.get(path.name, [None]):
                    json_line(shared, path, field)
            elif path.suffix == ".csv":
                frame = pandas.read_csv(path)
                with open(path, newline="", encoding="utf-8-sig") as file:
                    rows = [row for row in csv.reader(file, strict=True) if row][1:]
                data = "".join("".join(cell + "\x1f" for cell in row) + "\x1e" for row in rows).encode()
                assert len(rows) == len(frame)
                print(path.relative_to(shared), len(frame), len(frame.columns), zlib.adler32(data),
                      len(data), "|".join(frame.columns), sep="\t")


main()
