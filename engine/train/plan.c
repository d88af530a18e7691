/* plan.c -- the planner: the model's shadow on the null device runs a step that computes nothing.
 *
 * The shadow has tensors of the same shapes and formats and the same adapter, so the peak that the
 * null device counts is the one the real step will have. */
#include "engine/train/plan.h"
#include "engine/adapt/lora.h"
#include "engine/data/pack.h"
#include "engine/tensor/autograd.h"
#include "engine/train/trainer_private.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <stdlib.h>
#include <string.h>

/* --- the shadow ------------------------------------------------------------------------------ */

struct shadow_source {
    struct weight_source base;
    struct model *real;
};

struct lookup {
    const char *name;
    struct tensor *found;
};

static int look(void *ctx, const char *name, struct tensor *t)
{
    struct lookup *l = ctx;
    if (!strcmp(l->name, name))
        l->found = t;
    return OK;
}

static int shadow_get(struct weight_source *base, struct context *ctx, const char *name,
                      int64_t rows, int64_t cols, const struct format *format, bool optional,
                      struct tensor **out)
{
    struct shadow_source *s = (struct shadow_source *)base;
    struct lookup l = {name, NULL};
    (void)format;
    *out = NULL;
    TRY(model_walk(s->real, look, &l));
    if (!l.found)
        return optional ? OK : fail(ERR_INTERNAL, "plan: the model has no %s", name);
    TRY(tensor_new_weight(ctx, l.found->format, rows, cols, out));
    (*out)->requires_grad = l.found->requires_grad;
    return OK;
}

static int shadow_leftover(struct weight_source *s)
{
    (void)s;
    return OK;
}

static int shadow_of(struct model *real, struct context *ctx, struct model **out)
{
    struct shadow_source s = {{.path = "plan", .get = shadow_get, .leftover = shadow_leftover},
                              real};
    struct model *m = mem_calloc(1, sizeof *m);
    struct lora *adapter = lora_of(real), *copy;
    if (!m)
        return ERR_MEMORY;
    m->refs = 1;
    m->ctx = context_keep(ctx);
    m->config = real->config;
    m->arch = real->arch;
    int status = m->arch->build(m, &s.base);
    if (!status && adapter)
        status =
            lora_add(m, "default", &adapter->config, &(struct lora_how){.lenient = true}, &copy);
    if (status)
        model_release(m);
    else
        *out = m;
    return status;
}

/* --- the largest micro-batch ------------------------------------------------------------------ */

static int longer_first(const void *a, const void *b)
{
    const struct example *x = a, *y = b;
    return x->tokens > y->tokens ? -1 : x->tokens < y->tokens;
}

/* The longest examples that one step can hold, until the limit is full: no micro-batch is larger.
 * The longest goes in even when it is above the limit. */
static int largest_pack(const struct examples *e, const struct training_arguments *a,
                        struct pack *pack)
{
    int64_t room = a->per_device_train_batch_size * a->gradient_accumulation_steps;
    struct examples sorted = *e; /* same tokens, another order of rows */
    sorted.items = mem_alloc((size_t)e->count * sizeof *e->items);
    if (!sorted.items)
        return ERR_MEMORY;
    memcpy(sorted.items, e->items, (size_t)e->count * sizeof *e->items);
    qsort(sorted.items, (size_t)e->count, sizeof *sorted.items, longer_first);
    int status = OK;
    for (int64_t i = 0; i < e->count && pack->sequences < room && !status; i++)
        if (!i || pack->tokens + sorted.items[i].tokens <= a->micro_batch_tokens)
            status = pack_add(pack, &sorted, i);
    mem_free(sorted.items);
    return status;
}

static int shadow_step(struct model *m, const struct pack *p)
{
    struct batch_rows rows = step_rows(p);
    struct batch b;
    struct tensor *loss = NULL;
    TRY(batch_from(m->ctx, &rows, m->config.vocab_size, &b));
    b.training = true;
    int status = model_loss(m, &b, 1, 0, NULL, &loss);
    if (!status)
        status = tensor_backward(loss, NULL);
    tensor_release(loss);
    batch_free(&b);
    return status;
}

static int step_bytes(struct model *real, const struct pack *p, int64_t *bytes)
{
    struct device *device;
    struct context *ctx = NULL;
    struct model *m = NULL;
    TRY(device_open("null", NULL, &device));
    int status = context_new(device, real->ctx->compute, &ctx);
    if (!status)
        status = shadow_of(real, ctx, &m);
    int64_t before = device->live_bytes;
    if (!status)
        status = shadow_step(m, p);
    *bytes = device->peak_bytes - before;
    model_release(m);
    context_release(ctx);
    device_close(device);
    return status;
}

/* --- time ------------------------------------------------------------------------------------ */

#define PROBE 384

/* Floating-point operations a second of a product of medium size. */
static int probe_rate(struct context *ctx, double *rate)
{
    struct tensor *a = NULL, *b = NULL, *c = NULL;
    struct event from, to;
    int status = tensor_new_2d(ctx, ctx->compute, PROBE, PROBE, &a);
    if (!status)
        status = tensor_new_2d(ctx, ctx->compute, PROBE, PROBE, &b);
    if (!status)
        status = tensor_new_2d(ctx, ctx->compute, PROBE, PROBE, &c);
    if (!status)
        status = tensor_fill(a, 1);
    if (!status)
        status = tensor_fill(b, 1);
    for (int i = 0; i < 4 && !status; i++) { /* the first one warms up */
        if (i == 1)
            ctx->device->record(ctx->device, &from);
        status = RUN(ctx, gemm, .dst = c->view, .x = a->view, .w = tensor_wview(b), .trans_w = true,
                     .alpha = 1);
    }
    if (!status)
        status = device_sync(ctx->device);
    if (!status) {
        ctx->device->record(ctx->device, &to);
        double seconds = ctx->device->seconds(ctx->device, &from, &to);
        *rate = 3 * 2.0 * PROBE * PROBE * PROBE / (seconds > 1e-9 ? seconds : 1e-9);
    }
    tensor_release(a);
    tensor_release(b);
    tensor_release(c);
    return status;
}

static int count_trained(void *ctx, const char *name, struct tensor *t)
{
    (void)name;
    if (t->requires_grad)
        *(int64_t *)ctx += tensor_count(t);
    return OK;
}

/* Forward and gradient of activations through every weight, and of trained ones besides. */
static double flops_per_token(struct model *m)
{
    int64_t trained = 0, all = model_parameters(m);
    int status = lora_walk_all(m, count_trained, &trained);
    (void)status;                       /* count_trained never fails */
    if (!m->config.tie_word_embeddings) /* the table of an untied model is only looked up in */
        all -= m->config.vocab_size * m->config.hidden_size;
    return 4.0 * (double)all + 6.0 * (double)(lora_of(m) ? trained : trained / 3);
}

int plan_make(struct model *m, const struct examples *e, const struct training_arguments *args,
              int64_t steps, int64_t state_bytes, struct train_plan *out)
{
    struct pack pack = {0};
    double rate = 1, per_step;
    *out = (struct train_plan){.weight_bytes = model_bytes(m), .state_bytes = state_bytes};
    int status = largest_pack(e, args, &pack);
    out->largest_pack = pack.tokens;
    if (!status)
        status = step_bytes(m, &pack, &out->step_bytes);
    if (!status)
        status = probe_rate(m->ctx, &rate);
    pack_free(&pack);
    per_step = (double)(args->per_device_train_batch_size * args->gradient_accumulation_steps) *
               (double)e->tokens / (double)e->count;
    if (per_step > (double)e->tokens)
        per_step = (double)e->tokens;
    out->flops = flops_per_token(m) * per_step * (double)steps;
    out->seconds = out->flops / (0.7 * rate); /* attention, norms and updates take the rest */
    return status;
}
