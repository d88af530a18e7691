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
};

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
    if (!(c->rope_theta > 1 && isfinite(c->rope_theta)))
        return fail(ERR_FORMAT, "model: rope_theta is %g, wanted a number above 1", c->rope_theta);
    if (!(c->rope_factor > 0 && isfinite(c->rope_factor)))
        return fail(ERR_FORMAT, "model: rope scaling factor is %g, wanted a positive number",
                    c->rope_factor);
    return OK;
}
