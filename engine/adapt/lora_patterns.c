/* lora_patterns.c -- patterns of which one matches each layer. */
#include "engine/adapt/lora_patterns.h"
#include "engine/adapt/lora_match.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <math.h>
#include <stdlib.h>
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

/* Have all layers of this name the same rank and alpha? Then the name says it, else each path. */
static bool agree(const struct lora *l, const struct lora_layer *layer)
{
    const char *part = last_part(layer->module->name);
    for (int64_t i = 0; i < l->count; i++) {
        const struct lora_layer *other = &l->layers[i];
        if (!strcmp(last_part(other->module->name), part) &&
            (other->r != layer->r || other->alpha != layer->alpha))
            return false;
    }
    return true;
}

static bool listed(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* Patterns for the layers whose rank or alpha is not the configuration's. one_scale: alpha is what
 * gives the layer the configuration's scale, not its own. */
static int set_patterns(const struct lora *l, struct lora_config *out, bool one_scale,
                        const char **names, double *ranks, double *alphas)
{
    const struct option *rank_row, *alpha_row;
    int count = 0;
    for (int64_t i = 0; i < l->count; i++) {
        const struct lora_layer *layer = &l->layers[i];
        const char *path = layer->module->name;
        const char *name = agree(l, layer) ? last_part(path) : path;
        double alpha = layer->alpha;
        if (one_scale)
            alpha = layer->r == out->r
                        ? out->lora_alpha
                        : out->lora_alpha * divisor(out, layer->r) / divisor(out, out->r);
        if ((layer->r == out->r && alpha == out->lora_alpha) || listed(names, count, name))
            continue;
        names[count] = name;
        ranks[count] = (double)layer->r;
        alphas[count++] = alpha;
    }
    TRY(options_find(&lora_options, "rank_pattern", &rank_row));
    TRY(options_find(&lora_options, "alpha_pattern", &alpha_row));
    TRY(options_set_numbers(&lora_options, rank_row, out, names, ranks, count));
    return options_set_numbers(&lora_options, alpha_row, out, names, alphas, count);
}

static int make_patterns(const struct lora *l, struct lora_config *out, bool one_scale)
{
    const char **names = mem_calloc((size_t)l->count, sizeof *names);
    double *numbers = mem_calloc(2 * (size_t)l->count, sizeof *numbers);
    int status = names && numbers
                     ? set_patterns(l, out, one_scale, names, numbers, numbers + l->count)
                     : ERR_MEMORY;
    mem_free(names);
    mem_free(numbers);
    return status;
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
    int status = make_patterns(l, out, true);
    if (status)
        options_free(&lora_options, out);
    return status;
}

/* --- order ----------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named_number *)a)->name, ((const struct named_number *)b)->name);
}

static void sort(struct number_list *list)
{
    if (list->count)
        qsort(list->items, (size_t)list->count, sizeof *list->items, by_name);
}

/* Do the patterns of 'c' give each layer what it has? */
static int same_meaning(const struct lora *l, const struct lora_config *c, bool *same)
{
    struct lora_match match;
    TRY(lora_match_open(&match, l->model, c));
    int status = OK;
    *same = true;
    for (int64_t i = 0; i < l->count && !status && *same; i++) {
        int64_t r = 0;
        double alpha = 0;
        status = lora_match_values(&match, l->layers[i].module->name, &r, &alpha);
        *same = r == l->layers[i].r && alpha == l->layers[i].alpha;
    }
    lora_match_close(&match);
    return status;
}

int lora_written_config(const struct lora *l, struct lora_config *out)
{
    bool same = true;
    TRY(options_copy(&lora_options, out, &l->config));
    sort(&out->rank_pattern);
    sort(&out->alpha_pattern);
    int status = same_meaning(l, out, &same);
    if (!status && !same)
        status = make_patterns(l, out, false);
    if (status)
        options_free(&lora_options, out);
    return status;
}
