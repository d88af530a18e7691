/* export.h -- what every way of writing a model shares: which tensors, in which format, and their
 * bytes, converted one tensor at a time so that a save needs little memory. */
#ifndef ENGINE_MODEL_EXPORT_H
#define ENGINE_MODEL_EXPORT_H

#include "engine/model/model.h"

struct export_tensor {
    char name[128];        /* "model.layers.0.self_attn.q_proj.weight" */
    struct tensor *tensor; /* borrowed */
    const struct format *format;
};

struct export_list {
    struct export_tensor *items;
    int64_t count, room;
    int64_t bytes;      /* as they will be written */
    int64_t parameters; /* elements */
};

/* Every tensor of the model as it stands; 'format' set to the stored one. A tied head is not there.
 * Errors: ERR_ARG while the model has an adapter ('what' names the way out). */
int export_collect(struct model *m, const char *hint, struct export_list *out) MUST_CHECK;
void export_free(struct export_list *l); /* zeroed is fine */

/* Adds up bytes and parameters, after formats were chosen. */
void export_count(struct export_list *l);

/* Bytes of a tensor in a format. */
size_t export_tensor_bytes(const struct export_tensor *t);

/* Fills 'out' with the tensor in its format. Errors: ERR_NUMERIC naming the tensor when a number
 * is not finite (or leaves the range of the format), ERR_MEMORY. */
int export_read(const struct export_tensor *t, void *out) MUST_CHECK;

/* True when every value of the tensor stands in 'format' as it is. */
int export_fits(struct tensor *t, const struct format *format, bool *fits) MUST_CHECK;

/* ERR_ARG when 'path' is the file or folder that the model was opened from, or lies in it as one
 * of its files. */
int export_refuse_source(const struct model *m, const char *path) MUST_CHECK;

/* "5GB", "200MB", "1GiB", "1000": bytes. Errors: ERR_ARG naming 'what'. */
int export_parse_size(const char *what, const char *text, int64_t *out) MUST_CHECK;

/* ERR_IO naming the path when the disk has less room than 'bytes' and some more. */
int export_check_room(const char *path, int64_t bytes) MUST_CHECK;

#endif
