/* locate.h -- the files behind a name that a person gives: a path, or "owner/name" as on the hub.
 *
 * Offline: what is there first as a path, else the hub cache (engine/core/hub_cache.h), where
 * "name@revision" is the same as revision = "...". Nothing is ever downloaded. */
#ifndef ENGINE_MODEL_LOCATE_H
#define ENGINE_MODEL_LOCATE_H

#include "kernels/base/status.h"
#include <stddef.h>

#define LOCATE_BYTES 4096 /* room for any path */

/* The path of a model's file or folder into 'out'. 'revision': branch, tag or commit of a name on
 * the hub, NULL = main; a path has one version, there it is ignored. A folder without safetensors
 * that holds one GGUF file is that file. Errors: ERR_IO for what is nowhere (near names as a hint),
 * ERR_FORMAT for a folder of several GGUF files or an incomplete download, ERR_ARG. */
int locate_model(const char *name, const char *revision, char *out, size_t bytes) MUST_CHECK;

/* The same for a tokenizer: a folder that holds one of its files is that folder. */
int locate_tokenizer(const char *name, const char *revision, char *out, size_t bytes) MUST_CHECK;

/* The file or folder itself, whatever it holds: for adapters. */
int locate_any(const char *name, const char *revision, char *out, size_t bytes) MUST_CHECK;

#endif
