/* weights.c -- writing and reading the tensors of a run. */
#include "engine/train/weights.h"
#include "engine/adapt/lora_files.h"
#include "engine/core/buffer.h"
#include "engine/core/file.h"
#include "engine/formats/safetensors.h"
#include "engine/model/save.h"
#include "engine/text/tokenizer.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* NULL = none that safetensors files hold. */
static const char *dtype_of(const struct tensor *p)
{
    const struct format *f = format_of_dtype(p->view.dtype);
    return f ? f->safetensors : NULL;
}
/* --- lists of tensors to be written ----------------------------------------------------------- */

struct entries {
    struct safetensors_entry *items;
    int64_t count, room;
};

static void entries_free(struct entries *e)
{
    for (int64_t i = 0; i < e->count; i++)
        mem_free((char *)(uintptr_t)e->items[i].name);
    mem_free(e->items);
}

/* Under the name "prefix" + name. */
static int entries_add(struct entries *e, const char *prefix, const char *name, struct tensor *p)
{
    const char *dtype = dtype_of(p);
    struct buffer b = {0};
    if (!dtype)
        return fail(ERR_INTERNAL, "%s cannot be written", name);
    TRY(mem_grow((void **)&e->items, &e->room, e->count + 1, sizeof *e->items));
    buffer_printf(&b, "%s%s", prefix, name);
    if (buffer_close(&b)) {
        buffer_free(&b);
        return ERR_MEMORY;
    }
    struct safetensors_entry *x = &e->items[e->count++];
    *x = (struct safetensors_entry){
        .name = b.bytes, .dtype = dtype, .ndim = p->view.ndim, .tensor = p};
    for (int i = 0; i < p->view.ndim; i++)
        x->shape[i] = p->view.shape[i];
    return OK;
}

static int read_bytes(void *ctx, const struct safetensors_entry *e, void *bytes)
{
    (void)ctx;
    return tensor_read(e->tensor, bytes);
}

static int entries_write(struct entries *e, const char *folder, const char *name)
{
    static const char *const meta[] = {"format", "pt", NULL};
    char path[FILE_PATH];
    TRY(file_join(path, folder, name));
    return safetensors_save(path, e->items, e->count, meta, read_bytes, NULL);
}

/* --- for others ------------------------------------------------------------------------------- */

static void readme_text(struct buffer *b, const struct model *m,
                        const struct training_arguments *args)
{
    struct lora *adapter = lora_of(m);
    const char *base = adapter ? adapter_base_name(adapter) : m->name ? m->name : m->path;
    base = base ? base : m->config.name;
    buffer_printf(b, "---\nbase_model: ");
    json_quote(b, base, strlen(base));
    buffer_printf(b,
                  "\nlibrary_name: %s\npipeline_tag: text-generation\ntags:\n%s- sft\n- lorash\n",
                  adapter ? "peft" : "transformers", adapter ? "- lora\n" : "");
    buffer_printf(b, "---\n\n# %s\n\n", adapter ? "An adapter" : "A fine-tuned model");
    buffer_printf(b,
                  "Made by supervised fine-tuning with lorash from `%s`.\n\n"
                  "| option | value |\n|---|---|\n",
                  base);
    for (int i = 0; i < training_arguments.count; i++) {
        const struct option *o = &training_arguments.rows[i];
        char value[200];
        if (!options_changed(o, args))
            continue;
        options_show(o, args, value, sizeof value);
        buffer_printf(b, "| %s | %s |\n", o->name, value);
    }
}

static int write_readme(const struct model *m, const struct training_arguments *args,
                        const char *folder)
{
    struct buffer b = {0};
    char path[FILE_PATH];
    TRY(file_join(path, folder, "README.md"));
    if (file_exists(path)) /* it may be a person's own */
        return OK;
    readme_text(&b, m, args);
    int status = buffer_close(&b);
    if (!status)
        status = file_write_all(path, b.bytes, (size_t)b.length);
    buffer_free(&b);
    return status;
}

/* The base model's own folder must not be written to. */
static int check_folder(const struct model *m, const char *folder)
{
    char *base = NULL;
    const char *slash = m->path ? strrchr(m->path, '/') : NULL;
    if (!m->path || !file_exists(folder))
        return OK;
    if (file_is_folder(m->path))
        base = mem_text(m->path, strlen(m->path));
    else
        base = slash ? mem_text(m->path, (size_t)(slash - m->path) + (slash == m->path))
                     : mem_text(".", 1);
    if (!base)
        return ERR_MEMORY;
    bool same = file_same(base, folder);
    mem_free(base);
    return same ? fail(ERR_ARG,
                       "'%s' is the folder of the base model, which is never written to; hint: "
                       "another folder",
                       folder)
                : OK;
}

int weights_export(struct model *m, const struct tokenizer *tokenizer,
                   const struct training_arguments *args, const char *folder)
{
    static const struct save_config as_stored = {0};
    struct lora *l = lora_of(m);
    TRY(check_folder(m, folder));
    TRY(file_make_folder(folder));
    TRY(write_readme(m, args, folder));
    if (l)
        TRY(adapter_save(l, folder, NULL));
    else
        TRY(model_save(m, folder, &as_stored, NULL));
    return tokenizer ? tokenizer_save(tokenizer, folder) : OK;
}

/* --- for resuming ----------------------------------------------------------------------------- */

/* What a tensor of an adapter is called in PEFT's file. */
struct file_name {
    const struct tensor *tensor;
    char *name; /* owned */
};

/* The files for others of a folder, opened. */
struct files {
    struct safetensors **items;
    int64_t count, room;
    struct file_name *names;
    int64_t name_count, name_room;
};

static void files_close(struct files *f)
{
    for (int64_t i = 0; i < f->count; i++)
        safetensors_close(f->items[i]);
    mem_free(f->items);
    for (int64_t i = 0; i < f->name_count; i++)
        mem_free(f->names[i].name);
    mem_free(f->names);
    *f = (struct files){.count = 0};
}

static int add_name(void *ctx, const struct lora_entry *e)
{
    struct files *f = ctx;
    TRY(mem_grow((void **)&f->names, &f->name_room, f->name_count + 1, sizeof *f->names));
    char *name = mem_text(e->file, strlen(e->file));
    if (!name)
        return ERR_MEMORY;
    f->names[f->name_count++] = (struct file_name){*e->tensor, name};
    return OK;
}

static int files_open(struct trainer *t, const char *folder, struct files *f)
{
    struct file_names names = {0};
    struct lora *l = lora_of(t->m);
    char path[FILE_PATH];
    int status;
    *f = (struct files){.count = 0};
    if (l)
        TRY_OUT(lora_entries(l, add_name, f));
    TRY_OUT(file_list(folder, &names));
    for (int64_t i = 0; i < names.count; i++) {
        if (!file_ends_in(names.items[i], ".safetensors") || !strcmp(names.items[i], WEIGHTS_STATE))
            continue;
        TRY_OUT(mem_grow((void **)&f->items, &f->room, f->count + 1, sizeof *f->items));
        TRY_OUT(file_join(path, folder, names.items[i]));
        TRY_OUT(safetensors_open(path, &f->items[f->count]));
        f->count++;
    }
out:
    file_names_free(&names);
    if (status)
        files_close(f);
    return status;
}

static bool fits(const struct safetensors_tensor *s, const struct tensor *p)
{
    bool good = !strcmp(s->dtype, dtype_of(p)) && s->ndim == p->view.ndim;
    for (int i = 0; i < s->ndim && good; i++)
        good = s->shape[i] == p->view.shape[i];
    return good;
}

/* Where a trained weight stands in the same form; false = nowhere. */
static bool files_find(const struct files *f, const struct trained *x, struct safetensors **file,
                       int64_t *index)
{
    const char *name = x->name;
    for (int64_t i = 0; i < f->name_count; i++)
        if (f->names[i].tensor == x->param)
            name = f->names[i].name;
    for (int64_t i = 0; i < f->count; i++) {
        *index = safetensors_find(f->items[i], name);
        if (*index >= 0 && fits(safetensors_tensor(f->items[i], *index), x->param)) {
            *file = f->items[i];
            return true;
        }
    }
    return false;
}

static int state_name(int n, char out[24])
{
    return snprintf(out, 24, "state.%d.", n);
}

int weights_write_state(struct trainer *t, const char *folder)
{
    struct entries e = {0};
    struct files f;
    struct safetensors *file;
    int64_t index;
    char prefix[24];
    TRY(files_open(t, folder, &f));
    int status = OK;
    for (int64_t i = 0; i < t->trained_count && !status; i++) {
        struct trained *x = &t->trained[i];
        if (!files_find(&f, x, &file, &index))
            status = entries_add(&e, "weight.", x->name, x->param);
        for (int s = 0; s < t->optimiser->states && !status; s++) {
            state_name(s, prefix);
            status = entries_add(&e, prefix, x->name, x->state[s]);
        }
    }
    files_close(&f);
    if (!status)
        status = entries_write(&e, folder, WEIGHTS_STATE);
    entries_free(&e);
    return status;
}

int64_t weights_bytes(const struct trainer *t, bool state)
{
    int64_t trained = 0, kept = 0;
    for (int64_t i = 0; i < t->trained_count; i++) {
        trained += (int64_t)tensor_bytes(t->trained[i].param);
        for (int s = 0; s < t->optimiser->states; s++)
            kept += (int64_t)tensor_bytes(t->trained[i].state[s]);
    }
    bool adapter = lora_of(t->m) != NULL;
    return (adapter ? trained : model_bytes(t->m)) + (state ? kept : 0);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* One tensor to fill, and where its bytes come from. */
struct load {
    struct tensor *target;
    struct safetensors *file;
    int64_t index;
    size_t offset; /* in the staging block */
};

struct loads {
    struct load *items;
    int64_t count, room;
    size_t bytes;
};

static int loads_add(struct loads *l, struct tensor *target, struct safetensors *file,
                     int64_t index)
{
    size_t end;
    TRY(mem_grow((void **)&l->items, &l->room, l->count + 1, sizeof *l->items));
    if (!size_add(l->bytes, tensor_bytes(target), &end))
        return fail(ERR_MEMORY, "the checkpoint's tensors are too large");
    l->items[l->count++] = (struct load){target, file, index, l->bytes};
    l->bytes = end;
    return OK;
}

static int find_state(struct safetensors *state, const char *prefix, const char *name,
                      int64_t *index)
{
    struct buffer b = {0};
    buffer_printf(&b, "%s%s", prefix, name);
    int status = buffer_close(&b);
    *index = status ? -1 : safetensors_find(state, b.bytes);
    buffer_free(&b);
    return status;
}

static int add_named(struct loads *l, struct safetensors *state, const char *prefix,
                     const char *name, struct tensor *target)
{
    int64_t index;
    char found[64], wanted[64];
    TRY(find_state(state, prefix, name, &index));
    if (index < 0)
        return fail(ERR_FORMAT, "'%s' has no %s%s", safetensors_path(state), prefix, name);
    const struct safetensors_tensor *s = safetensors_tensor(state, index);
    if (fits(s, target))
        return loads_add(l, target, state, index);
    return fail(ERR_FORMAT, "'%s': %s%s is %s of %s, wanted %s of %s", safetensors_path(state),
                prefix, name, s->dtype, shape_text(s->shape, s->ndim, found, sizeof found),
                dtype_of(target), tensor_shape_text(target, wanted, sizeof wanted));
}

/* Every tensor of the trainer; each entry of the state file must be asked for. */
static int collect(struct trainer *t, struct safetensors *state, const struct files *f, bool all,
                   struct loads *l)
{
    struct safetensors *file;
    int64_t index, used = 0;
    char prefix[24];
    for (int64_t i = 0; i < t->trained_count; i++) {
        struct trained *x = &t->trained[i];
        int64_t own = -1;
        if (state)
            TRY(find_state(state, "weight.", x->name, &own));
        if (own < 0 && files_find(f, x, &file, &index)) {
            TRY(loads_add(l, x->param, file, index));
        } else if (!state) {
            return fail(ERR_FORMAT, "the checkpoint has no weight %s", x->name);
        } else {
            TRY(add_named(l, state, "weight.", x->name, x->param));
            used++;
        }
        for (int s = 0; s < t->optimiser->states; s++, used++) {
            state_name(s, prefix);
            if (all)
                TRY(add_named(l, state, prefix, x->name, x->state[s]));
        }
    }
    if (all && used != safetensors_count(state))
        return fail(ERR_FORMAT,
                    "'%s' has %" PRId64 " tensors, this trainer needs %" PRId64
                    " of them; hint: the same model, adapter and optimiser",
                    safetensors_path(state), safetensors_count(state), used);
    return OK;
}

/* Reads all into one block, then fills the tensors: a failed read changes none. */
static int fill(const struct loads *l)
{
    char *block = mem_alloc(l->bytes);
    int status = block ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < l->count && !status; i++)
        status = safetensors_read(l->items[i].file, l->items[i].index, block + l->items[i].offset);
    for (int64_t i = 0; i < l->count && !status; i++)
        status = tensor_write(l->items[i].target, block + l->items[i].offset);
    mem_free(block);
    return status;
}

int weights_load(struct trainer *t, const char *folder, bool all)
{
    struct files f;
    struct loads l = {0};
    struct safetensors *state = NULL;
    char path[FILE_PATH];
    int status;
    TRY(files_open(t, folder, &f));
    TRY_OUT(file_join(path, folder, WEIGHTS_STATE));
    if (all || file_exists(path))
        TRY_OUT(safetensors_open(path, &state));
    TRY_OUT(collect(t, state, &f, all, &l));
    status = fill(&l);
out:
    safetensors_close(state);
    files_close(&f);
    mem_free(l.items);
    return status;
}
