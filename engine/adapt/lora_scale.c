/* lora_scale.c -- patterns that give every layer the same scale. */
#include "engine/adapt/lora_scale.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <math.h>
#include <string.h>

/* What alpha is divided by. */
static double divisor(const struct lora_config *c, int64_t r)
{
    return c->use_rslora ? sqrt((double)r) : (double)r;
}

bool lora_scales_differ(const struct lora *l)
{
    double scale = l->config.lora_alpha / divisor(&l->config, l->config.r);
    for (int64_t i = 0; i < l->count; i++)
        if (l->layers[i].term.scale != scale)
            return true;
    return false;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Have all layers of this name the same rank? Then the name says it, else each path. */
static bool one_rank(const struct lora *l, const struct lora_layer *layer)
{
    const char *part = last_part(layer->module->name);
    for (int64_t i = 0; i < l->count; i++)
        if (!strcmp(last_part(l->layers[i].module->name), part) && l->layers[i].r != layer->r)
            return false;
    return true;
}

static bool listed(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static int set_patterns(const struct lora *l, struct lora_config *out, const char **names,
                        double *ranks, double *alphas)
{
    const struct option *rank_row, *alpha_row;
    int count = 0;
    for (int64_t i = 0; i < l->count; i++) {
        const struct lora_layer *layer = &l->layers[i];
        const char *path = layer->module->name;
        const char *name = one_rank(l, layer) ? last_part(path) : path;
        if (layer->r == out->r || listed(names, count, name))
            continue;
        names[count] = name;
        ranks[count] = (double)layer->r;
        alphas[count++] = out->lora_alpha * divisor(out, layer->r) / divisor(out, out->r);
    }
    TRY(options_find(&lora_options, "rank_pattern", &rank_row));
    TRY(options_find(&lora_options, "alpha_pattern", &alpha_row));
    TRY(options_set_numbers(&lora_options, rank_row, out, names, ranks, count));
    return options_set_numbers(&lora_options, alpha_row, out, names, alphas, count);
}

int lora_one_scale(const struct lora *l, struct lora_config *out, double *scale)
{
    if (!(l->config.lora_alpha > 0))
        return fail(ERR_ARG, "lora_alpha is 0, so no other strength can be told through it");
    TRY(options_copy(&lora_options, out, &l->config));
    out->r = 1;
    for (int64_t i = 0; i < l->count; i++)
        out->r = i64_max(out->r, l->layers[i].r);
    *scale = out->lora_alpha / divisor(out, out->r);
    const char **names = mem_calloc((size_t)l->count, sizeof *names);
    double *numbers = mem_calloc(2 * (size_t)l->count, sizeof *numbers);
    int status =
        names && numbers ? set_patterns(l, out, names, numbers, numbers + l->count) : ERR_MEMORY;
    mem_free(names);
    mem_free(numbers);
    if (status)
        options_free(&lora_options, out);
    return status;
}
