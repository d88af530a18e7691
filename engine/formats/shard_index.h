/* shard_index.h -- the index of a model that is cut into several safetensors files
 * (model.safetensors.index.json): which file holds which tensor.
 *
 * File names are plain names inside the index's folder that end in ".safetensors": a path would
 * read outside of it, and pickled files run code. */
#ifndef ENGINE_FORMATS_SHARD_INDEX_H
#define ENGINE_FORMATS_SHARD_INDEX_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

#define SHARD_INDEX_BYTES (32 << 20) /* an index larger than this is none */

struct shard_index;

/* Errors: ERR_FORMAT with line and column; ERR_MEMORY. The text is not needed afterwards. */
int shard_index_parse(const char *json, size_t length, struct shard_index **out) MUST_CHECK;
void shard_index_free(struct shard_index *s); /* NULL is fine */

int64_t shard_index_files(const struct shard_index *s); /* in the order of their first tensor */
const char *shard_index_file(const struct shard_index *s, int64_t i);

int64_t shard_index_count(const struct shard_index *s);                  /* tensors */
const char *shard_index_name(const struct shard_index *s, int64_t i);    /* in the text's order */
int64_t shard_index_file_of(const struct shard_index *s, int64_t i);     /* of tensor i */
int64_t shard_index_find(const struct shard_index *s, const char *name); /* tensor, -1 = none */

#endif
