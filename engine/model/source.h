/* source.h -- where a model's configuration and weights come from.
 *
 * A family asks for tensors by their Hugging Face names; the source (a GGUF file, a folder) maps
 * names, undoes the file format's row permutations and marks what was taken, so that loading can
 * say what is missing and what is left over. */
#ifndef ENGINE_MODEL_SOURCE_H
#define ENGINE_MODEL_SOURCE_H

#include "engine/model/config.h"
#include "engine/tensor/tensor.h"

struct weight_source {
    const char *path;
    /* Loads 'name' with the wanted shape (rows < 0: a vector of cols). *out NULL and OK when it is
     * absent and 'optional'. 'format' NULL keeps the stored one. */
    int (*get)(struct weight_source *s, struct context *ctx, const char *name, int64_t rows,
               int64_t cols, const struct format *format, bool optional, struct tensor **out);
    /* ERR_FORMAT naming a tensor that nobody asked for. */
    int (*leftover)(struct weight_source *s);
    void (*close)(struct weight_source *s);
    char *config_json; /* the text of the model's config.json, owned; NULL = it has none */
};

#endif
