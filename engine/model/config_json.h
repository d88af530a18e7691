/* config_json.h -- a model's shape as Hugging Face's config.json says it.
 *
 * Read are model types llama and mistral, in the spelling of both generations: rope_theta and
 * rope_scaling {type | rope_type}, or rope_parameters; torch_dtype or dtype. Keys left out have the
 * defaults of their model type (FORMATS 6). Keys that would select code (auto_map) and others that
 * are not known are ignored; another activation, weights quantised by another library and partly
 * rotated heads are refused by name. */
#ifndef ENGINE_MODEL_CONFIG_JSON_H
#define ENGINE_MODEL_CONFIG_JSON_H

#include "engine/core/buffer.h"
#include "engine/model/config.h"
#include <stddef.h>

#define CONFIG_JSON_BYTES (4 << 20) /* a config.json larger than this is none */

/* Fills *out and checks it (config_check). Errors: ERR_FORMAT naming the key, with line and column
 * where the text has them; callers add the file. On failure *out is not to be used. */
int config_from_json(const char *json, size_t length, struct model_config *out) MUST_CHECK;

/* A config.json that transformers opens, for a model that came without one (GGUF). 'dtype': what
 * the weights are saved as, "float32". */
int config_to_json(const struct model_config *c, const char *dtype, struct buffer *out) MUST_CHECK;

/* A value of the outermost object to be put in the place of the one that is there. */
struct config_edit {
    const char *key;
    const char *json;    /* the new value, as JSON */
    const char *instead; /* another name under which the key may stand in the text (as well), or
                          * NULL */
};

/* 'json' with some values changed: everything else, order and spacing stay as they are; a key that
 * is not there is added at the end. Errors: ERR_FORMAT for a text that is no object. */
int config_edit_json(const char *json, size_t length, const struct config_edit *edits, int count,
                     struct buffer *out) MUST_CHECK;

#endif
