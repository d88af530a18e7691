/* config.c -- checking a model's shape before anything is allocated from it. */
#include "engine/model/config.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

struct range {
    const char *name;
    size_t offset;
    int64_t min, max;
};

#define RANGE(field, min, max)                                 \
    {                                                          \
#field, offsetof(struct model_config, field), min, max \
    }

static const struct range ranges[] = {
    RANGE(vocab_size, 1, 1 << 24),
    RANGE(hidden_size, 1, 1 << 20),
    RANGE(intermediate_size, 1, 1 << 22),
    RANGE(num_hidden_layers, 1, 1024),
    RANGE(num_attention_heads, 1, 4096),
    RANGE(num_key_value_heads, 1, 4096),
    RANGE(head_dim, 2, 4096),
    RANGE(max_position_embeddings, 1, 1 << 28),
    RANGE(sliding_window, 0, 1 << 28),
    RANGE(bos_token_id, -1, 1 << 24),
    RANGE(pad_token_id, -1, 1 << 24),
};

static int check_positive(const char *name, double value)
{
    if (!(value > 0 && isfinite(value)))
        return fail(ERR_FORMAT, "model: %s is %g, wanted a positive number", name, value);
    return OK;
}

static int check_rope(const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    if (!(r->theta > 1 && isfinite(r->theta)))
        return fail(ERR_FORMAT, "model: rope_theta is %g, wanted a number above 1", r->theta);
    TRY(check_positive("rope scaling factor", r->factor));
    if (r->kind == ROPE_DYNAMIC && c->head_dim < 4)
        return fail(ERR_FORMAT,
                    "model: head_dim %" PRId64 " is too small for dynamic rope scaling, wanted 4",
                    c->head_dim);
    if (r->kind != ROPE_LLAMA3 && r->kind != ROPE_YARN)
        return OK;
    if (r->original_length < 1 || r->original_length > 1 << 28)
        return fail(ERR_FORMAT,
                    "model: original_max_position_embeddings is %" PRId64 ", wanted 1 to %d",
                    r->original_length, 1 << 28);
    if (r->kind == ROPE_LLAMA3) {
        TRY(check_positive("low_freq_factor", r->low_freq_factor));
        if (!(r->high_freq_factor > r->low_freq_factor && isfinite(r->high_freq_factor)))
            return fail(ERR_FORMAT, "model: high_freq_factor is %g, wanted more than %g",
                        r->high_freq_factor, r->low_freq_factor);
        return OK;
    }
    TRY(check_positive("beta_slow", r->beta_slow));
    TRY(check_positive("beta_fast", r->beta_fast));
    if (!(r->attention_factor >= 0 && isfinite(r->attention_factor) && isfinite(r->mscale) &&
          isfinite(r->mscale_all_dim)))
        return fail(ERR_FORMAT, "model: attention_factor, mscale or mscale_all_dim is no number "
                                "that can be used");
    return OK;
}

int config_check(const struct model_config *c)
{
    for (int i = 0; i < COUNT_OF(ranges); i++) {
        int64_t value = *(const int64_t *)(const void *)((const char *)c + ranges[i].offset);
        if (value < ranges[i].min || value > ranges[i].max)
            return fail(ERR_FORMAT,
                        "model: %s is %" PRId64 ", wanted %" PRId64 " to %" PRId64
                        "; hint: the file is damaged or not a %s model",
                        ranges[i].name, value, ranges[i].min, ranges[i].max, c->model_type);
    }
    if (c->num_attention_heads % c->num_key_value_heads)
        return fail(ERR_FORMAT,
                    "model: %" PRId64 " attention heads cannot share %" PRId64
                    " key/value heads evenly",
                    c->num_attention_heads, c->num_key_value_heads);
    if (c->head_dim % 2)
        return fail(ERR_FORMAT, "model: head_dim %" PRId64 " is odd; rotary embedding needs pairs",
                    c->head_dim);
    if (!(c->rms_norm_eps > 0 && c->rms_norm_eps < 1))
        return fail(ERR_FORMAT, "model: rms_norm_eps is %g, wanted a small positive number",
                    c->rms_norm_eps);
    return check_rope(c);
}
