/* gguf_names.h -- tensors of the llama family under Hugging Face's names and GGUF's.
 *
 * GGUF stores the rows of q and k in another order: inside each head, row 2i+j of the file is row
 * j*(D/2)+i of the original, because its rotary embedding pairs neighbours (FORMATS 1.2). Rows of a
 * block format are whole blocks, so the order changes on quantised weights as they are. */
#ifndef ENGINE_MODEL_GGUF_NAMES_H
#define ENGINE_MODEL_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight", also ".bias". *heads: its rows
 * are permuted inside heads. False: no such name. */
bool gguf_name_of(const char *name, char *out, size_t bytes, bool *heads);

/* Rows from the file's order to the original one, and the other way. 'head': rows of one head. */
void gguf_rows_from_file(const char *from, char *to, int64_t rows, size_t row_bytes, int64_t head);
void gguf_rows_to_file(const char *from, char *to, int64_t rows, size_t row_bytes, int64_t head);

#endif
