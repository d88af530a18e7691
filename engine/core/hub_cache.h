/* hub_cache.h -- models and data sets that the hub's own tools have downloaded, found offline.
 *
 * The cache holds models--org--name and datasets--org--name, each with refs/<revision> (a file with
 * a commit) and snapshots/<commit>/<files>. Nothing here touches a network or writes. */
#ifndef ENGINE_CORE_HUB_CACHE_H
#define ENGINE_CORE_HUB_CACHE_H

#include "engine/core/file.h"

enum hub_kind { HUB_MODEL, HUB_DATASET };

/* "org/name" or "name" as the hub allows: letters, digits, '-', '_' and '.', at most 96 bytes,
 * neither "--" nor "..", and no '-' or '.' at an end of a part. */
bool hub_name_is_valid(const char *name);

/* The folder of all downloads: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub, else
 * $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. A leading '~' and $VAR in them are
 * expanded. It need not exist. ERR_ARG when it does not fit into 'out'. */
int hub_cache_root(char *out, size_t bytes) MUST_CHECK;

/* The snapshot folder of 'name' at 'revision' (branch, tag or commit; NULL = main, or the only one
 * there is) into 'out'. ERR_ARG for what is no name, revision or fits not; ERR_IO when it is not in
 * the cache, with near names or the revisions that are there as a hint. */
int hub_cache_find(enum hub_kind kind, const char *name, const char *revision, char *out,
                   size_t bytes) MUST_CHECK;

/* The names in the cache ("org/name"), sorted; none when there is no cache. Free with
 * file_names_free. */
int hub_cache_list(enum hub_kind kind, struct file_names *out) MUST_CHECK;

#endif
