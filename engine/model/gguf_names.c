/* gguf_names.c -- the table of names, and the order of rows. */
#include "engine/model/gguf_names.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name_pair {
    const char *hf, *gguf;
    bool heads; /* rows are permuted inside heads */
};

static const struct name_pair whole_names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", false},
    {"model.norm.weight", "output_norm.weight", false},
    {"lm_head.weight", "output.weight", false},
    {"rope_freqs.weight", "rope_freqs.weight", false},
};

static const struct name_pair layer_names[] = {
    {"self_attn.q_proj", "attn_q", true},
    {"self_attn.k_proj", "attn_k", true},
    {"self_attn.v_proj", "attn_v", false},
    {"self_attn.o_proj", "attn_output", false},
    {"mlp.gate_proj", "ffn_gate", false},
    {"mlp.up_proj", "ffn_up", false},
    {"mlp.down_proj", "ffn_down", false},
    {"input_layernorm", "attn_norm", false},
    {"post_attention_layernorm", "ffn_norm", false},
};

bool gguf_name_of(const char *name, char *out, size_t bytes, bool *heads)
{
    for (int i = 0; i < COUNT_OF(whole_names); i++)
        if (!strcmp(name, whole_names[i].hf)) {
            snprintf(out, bytes, "%s", whole_names[i].gguf);
            *heads = false;
            return true;
        }
    static const char lead[] = "model.layers.";
    if (strncmp(name, lead, sizeof lead - 1))
        return false;
    char *part;
    long layer = strtol(name + sizeof lead - 1, &part, 10);
    const char *suffix = strrchr(name, '.');
    if (*part != '.' || !suffix || suffix <= part)
        return false;
    part++;
    for (int i = 0; i < COUNT_OF(layer_names); i++) {
        size_t n = strlen(layer_names[i].hf);
        if ((size_t)(suffix - part) == n && !strncmp(part, layer_names[i].hf, n)) {
            snprintf(out, bytes, "blk.%ld.%s%s", layer, layer_names[i].gguf, suffix);
            *heads = layer_names[i].heads;
            return true;
        }
    }
    return false;
}

void gguf_rows_from_file(const char *from, char *to, int64_t rows, size_t row_bytes, int64_t head)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t h = r / head * head, in = r % head; /* in = j * (head/2) + i */
        int64_t j = in / (head / 2), i = in % (head / 2);
        memcpy(to + (size_t)r * row_bytes, from + (size_t)(h + 2 * i + j) * row_bytes, row_bytes);
    }
}

void gguf_rows_to_file(const char *from, char *to, int64_t rows, size_t row_bytes, int64_t head)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t h = r / head * head, in = r % head;
        int64_t j = in / (head / 2), i = in % (head / 2);
        memcpy(to + (size_t)(h + 2 * i + j) * row_bytes, from + (size_t)r * row_bytes, row_bytes);
    }
}
