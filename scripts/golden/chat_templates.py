#!/usr/bin/env python3
"""Writes tests/golden/chat_templates.txt: every public chat template on every conversation.

Usage: chat_templates.py SHARED > tests/golden/chat_templates.txt
SHARED/data/chat_templates holds the templates (*.jinja in any folder); the conversations are those
of tests/golden/chat_conversations.json. Rendering is transformers' own (render_jinja_template) with
None keys dropped as apply_chat_template does, and with strftime_now standing still.

A line is: the template's path, the hash of its bytes, then one word for each conversation:
  hash         of the text (FNV-1a, 64 bit, over UTF-8)
  hash:hash    the same, and of the spans of {% generation %} ("start,end;" in characters)
  !hash        the template called raise_exception; the hash of its message
  !            any other failure
"""
import datetime as real_datetime
import glob
import json
import logging
import os
import re
import sys

import jinja2
from transformers.utils import chat_template_utils as utils

logging.disable(logging.WARNING)
NOW = real_datetime.datetime(2026, 2, 3, 4, 5, 6)  # 1770091506 in UTC


class StandingDatetime(real_datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def render(template, conversation):
    options = {k: v for k, v in conversation.items() if k not in ("name", "messages")}
    messages = [{k: v for k, v in m.items() if v is not None} for m in conversation["messages"]]
    marked = re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", template) is not None
    texts, spans = utils.render_jinja_template(
        conversations=[messages], chat_template=template, return_assistant_tokens_mask=marked,
        **{**SPECIAL, **options})
    return texts[0], spans[0] if marked else None


def word(template, conversation):
    try:
        text, spans = render(template, conversation)
    except jinja2.exceptions.TemplateError as e:
        # raise_exception raises the base class itself
        return "!" + fnv(str(e.message).encode()) if type(e) is jinja2.TemplateError else "!"
    except Exception:
        return "!"
    out = fnv(text.encode("utf-8"))
    if spans is not None:
        out += ":" + fnv("".join("%d,%d;" % s for s in spans).encode())
    return out


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    utils.datetime = StandingDatetime
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../tests/golden/chat_conversations.json"), "rb") as f:
        conversations = json.load(f)
    root = os.path.join(sys.argv[1], "data/chat_templates")
    for path in sorted(glob.glob(root + "/**/*.jinja", recursive=True)):
        with open(path, "rb") as f:
            data = f.read()
        words = [word(data.decode("utf-8"), c) for c in conversations]
        print(os.path.relpath(path, root), fnv(data), *words)


if __name__ == "__main__":
    main()
