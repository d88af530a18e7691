/* load.c -- opening a model: find its family, take every tensor, refuse what does not fit. */
#include "engine/model/model.h"
#include "engine/model/source_gguf.h"
#include "kernels/base/mem.h"

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

/* "auto", "float32", "bfloat16" ...: NULL format = as stored */
static int wanted_format(const char *dtype, const struct format **out)
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

int model_load(struct context *ctx, const char *path, const char *dtype, struct model **out)
{
    struct weight_source *source = NULL;
    struct model *m = mem_calloc(1, sizeof *m);
    if (!m)
        return ERR_MEMORY;
    m->refs = 1;
    m->ctx = context_keep(ctx);
    m->path = mem_text(path, strlen(path));
    int status = m->path ? wanted_format(dtype, &m->format) : ERR_MEMORY;
    if (!status)
        status = source_gguf_open(path, &m->config, &source);
    if (!status && (status = config_check(&m->config)))
        status = fail_in(status, "%s", path);
    if (!status)
        status = find_architecture(path, m->config.model_type, &m->arch);
    if (!status)
        status = m->arch->build(m, source);
    if (!status)
        status = source->leftover(source);
    source_gguf_close(source);
    if (status)
        model_release(m);
    else
        *out = m;
    return status;
}
