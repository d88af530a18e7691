/* batch.c -- copying packed rows to the device. */
#include "engine/model/batch.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <string.h>

static int check_rows(const struct batch_rows *r, int64_t vocab)
{
    for (int64_t i = 0; i < r->tokens; i++)
        if (r->ids[i] < 0 || r->ids[i] >= vocab)
            return fail(ERR_ARG,
                        "token %" PRId64 " has id %d, the model knows 0 to %" PRId64
                        "; hint: use the model's own tokenizer",
                        i + 1, r->ids[i], vocab - 1);
    for (int64_t i = 0; i < r->targets; i++)
        if (r->target_ids[i] < 0 || r->target_ids[i] >= vocab || r->target_rows[i] < 0 ||
            r->target_rows[i] >= r->tokens)
            return fail(ERR_ARG, "target %" PRId64 " (id %d) is outside the model's vocabulary",
                        i + 1, r->target_ids[i]);
    return OK;
}

static int indices(struct context *ctx, const int32_t *values, int64_t n, struct tensor **out)
{
    return tensor_from(ctx, DT_I32, 1, &n, values, out);
}

static int weights_of(struct context *ctx, const struct batch_rows *r, struct tensor **out)
{
    TRY(tensor_new(ctx, ctx->compute, 1, &r->targets, out));
    if (!r->weights)
        return tensor_fill(*out, 1);
    struct tensor *given;
    TRY(tensor_from(ctx, DT_F32, 1, &r->targets, r->weights, &given));
    int status = RUN(ctx, copy, .dst = (*out)->view, .src = given->view);
    tensor_release(given);
    return status;
}

static int zeros(struct context *ctx, int64_t n, struct tensor **out)
{
    TRY(tensor_new(ctx, DT_I32, 1, &n, out));
    return tensor_fill(*out, 0);
}

int batch_from(struct context *ctx, const struct batch_rows *r, int64_t vocab, struct batch *out)
{
    struct batch b = {.tokens = r->tokens, .sequences = r->sequences, .targets = r->targets};
    TRY(check_rows(r, vocab));
    for (int64_t s = 0; s < r->sequences; s++)
        b.longest = i64_max(b.longest, r->starts[s + 1] - r->starts[s]);
    int status = indices(ctx, r->ids, r->tokens, &b.ids);
    if (!status)
        status = indices(ctx, r->positions, r->tokens, &b.positions);
    if (!status)
        status = indices(ctx, r->starts, r->sequences + 1, &b.starts);
    if (!status && r->targets)
        status = indices(ctx, r->target_rows, r->targets, &b.target_rows);
    if (!status && r->targets)
        status = indices(ctx, r->target_ids, r->targets, &b.target_ids);
    if (!status && r->targets)
        status = weights_of(ctx, r, &b.weights);
    if (!status)
        status = r->sample ? indices(ctx, r->sample, r->tokens, &b.dropout.sample)
                           : zeros(ctx, r->tokens, &b.dropout.sample);
    if (!status)
        b.dropout.offset = tensor_keep(b.positions);
    if (status)
        batch_free(&b);
    else
        *out = b;
    return status;
}

void batch_free(struct batch *b)
{
    struct tensor **owned[] = {
        &b->ids,        &b->positions, &b->starts,         &b->target_rows,
        &b->target_ids, &b->weights,   &b->dropout.sample, &b->dropout.offset};
    for (int i = 0; i < COUNT_OF(owned); i++)
        tensor_clear(owned[i]);
}
