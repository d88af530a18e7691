/* load.c -- opening a model: find its family, take every tensor, refuse what does not fit. */
#include "engine/model/model.h"
#include "engine/core/file.h"
#include "engine/model/source_gguf.h"
#include "engine/model/source_safetensors.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>

extern const struct architecture llama_architecture, mistral_architecture;

const struct architecture *const architectures[] = {
    &llama_architecture,
    &mistral_architecture,
    NULL,
};

static int find_architecture(const char *path, const char *type, const struct architecture **out)
{
    for (int i = 0; architectures[i]; i++)
        if (!strcmp(architectures[i]->model_type, type)) {
            *out = architectures[i];
            return OK;
        }
    return fail(ERR_FORMAT, "%s: a model of type '%s' cannot be opened", path, type);
}

int model_wanted_format(const char *dtype, const struct format **out)
{
    static const struct {
        const char *name, *format;
    } names[] = {{"float32", "f32"}, {"f32", "f32"},       {"float16", "f16"},
                 {"f16", "f16"},     {"bfloat16", "bf16"}, {"bf16", "bf16"}};
    *out = NULL;
    if (!dtype || !strcmp(dtype, "auto"))
        return OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(dtype, names[i].name)) {
            *out = format_by_name(names[i].format);
            return OK;
        }
    return fail(ERR_ARG, "dtype '%s' is unknown; hint: one of auto, float32, float16, bfloat16",
                dtype);
}

/* A folder or one of its .safetensors files, else a GGUF file, whatever it is called. */
static int open_source(const char *path, struct model_config *config, struct weight_source **out)
{
    static const char *const pickles[] = {".bin", ".pt", ".pth", ".ckpt"};
    for (int i = 0; i < COUNT_OF(pickles); i++)
        if (file_ends_in(path, pickles[i]))
            return fail(ERR_FORMAT,
                        "%s: a file of torch.save is never opened, it can hold code; hint: save "
                        "the model as safetensors",
                        path);
    if (file_is_folder(path) || file_ends_in(path, ".safetensors"))
        return source_safetensors_open(path, config, out);
    return source_gguf_open(path, config, out);
}

/* A folder's files do not say what the model is called: the last part of its name does. */
static void name_after(struct model_config *c, const char *name)
{
    size_t n = strlen(name);
    while (n && name[n - 1] == '/')
        n--;
    size_t start = n;
    while (start && name[start - 1] != '/')
        start--;
    if (!c->name[0])
        snprintf(c->name, sizeof c->name, "%.*s", (int)(n - start), name + start);
}

int model_load(struct context *ctx, const char *path, const char *dtype, struct model **out)
{
    return model_load_named(ctx, path, path, dtype, out);
}

int model_load_named(struct context *ctx, const char *path, const char *name, const char *dtype,
                     struct model **out)
{
    struct weight_source *source = NULL;
    struct model *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->refs = 1;
    m->ctx = context_keep(ctx);
    m->path = mem_text(path, strlen(path));
    m->name = mem_text(name, strlen(name));
    int status = m->path && m->name ? model_wanted_format(dtype, &m->format) : ERR_MEMORY;
    if (!status)
        status = open_source(path, &m->config, &source);
    if (!status && (status = config_check(&m->config)))
        status = fail_in(status, "%s", path);
    if (!status)
        status = find_architecture(path, m->config.model_type, &m->arch);
    if (!status)
        status = m->arch->build(m, source);
    if (!status)
        status = source->leftover(source);
    if (source) {
        m->config_json = source->config_json;
        source->config_json = NULL;
        source->close(source);
    }
    if (status) {
        model_release(m);
        return status;
    }
    name_after(&m->config, name);
    *out = m;
    return status;
}
