/* lora_files.h -- adapters as folders: adapter_config.json, adapter_model.safetensors, README.md.
 *
 * What PEFT and vLLM load. The files appear together or not at all (engine/core/folder_save.h). */
#ifndef ENGINE_ADAPT_LORA_FILES_H
#define ENGINE_ADAPT_LORA_FILES_H

#include "engine/adapt/lora.h"
#include "engine/core/buffer.h"

#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"

/* Saves one adapter into 'dir' (made when missing). base: base_model_name_or_path; NULL = what the
 * configuration says, else adapter_base_name. Errors: ERR_NUMERIC naming a tensor that is not
 * finite, ERR_IO; then an adapter that was there before is still whole. */
int adapter_save(struct lora *l, const char *dir, const char *base) MUST_CHECK;

/* The same with one scale for all layers (engine/adapt/lora_patterns.h). */
int adapter_save_one_scale(struct lora *l, const char *dir, const char *base) MUST_CHECK;

/* The base model's name as written by default: the folder or hub name it was loaded from, of a GGUF
 * file its name without folder. */
const char *adapter_base_name(const struct lora *l);

/* How to load. */
struct adapter_how {
    const char *name; /* NULL = "default" */
    bool trainable;
};

/* Loads the adapter of a folder onto the model and returns it; the first of a model becomes active.
 * Everything must fit: missing, left-over and misshapen tensors are named. 'notes' as in
 * lora_json_parse. On failure the model is as it was. */
int adapter_load(struct model *m, const char *dir, const struct adapter_how *how,
                 struct buffer *notes, struct lora **out) MUST_CHECK;

/* The configuration of an adapter's folder (see lora_json_parse), and whether a folder has one. */
int adapter_read_config(const char *dir, struct lora_config *out, struct buffer *notes) MUST_CHECK;
bool adapter_is_folder(const char *dir);

#endif
