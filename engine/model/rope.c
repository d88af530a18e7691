/* rope.c -- rotary frequencies and their scalings; rope.h has the formulas. */
#include "engine/model/rope.h"
#include "kernels/base/size.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925286766559;

static double plain(double theta, int64_t head_dim, int64_t i)
{
    return pow(theta, -2.0 * (double)i / (double)head_dim);
}

static double dynamic_theta(const struct rope_config *r, int64_t head_dim, int64_t max_positions,
                            int64_t length)
{
    double d = (double)head_dim;
    double stretch = (double)i64_max(length, max_positions) / (double)max_positions;
    return r->theta * pow(r->factor * stretch - (r->factor - 1), d / (d - 2));
}

/* What the plain frequency is divided by. */
static double llama3_factor(const struct rope_config *r, double inv)
{
    double wave = two_pi / inv, original = (double)r->original_length;
    if (wave < original / r->high_freq_factor)
        return 1;
    if (wave > original / r->low_freq_factor)
        return r->factor;
    double s = (original / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return 1 / ((1 - s) / r->factor + s);
}

/* The pair, as a real number, that turns 'turns' times over the original length. */
static double yarn_pair(const struct rope_config *r, int64_t head_dim, double turns)
{
    return (double)head_dim * log((double)r->original_length / (turns * two_pi)) /
           (2 * log(r->theta));
}

struct ramp {
    double low, high;
};

static struct ramp yarn_ramp(const struct rope_config *r, int64_t head_dim)
{
    struct ramp p = {yarn_pair(r, head_dim, r->beta_fast), yarn_pair(r, head_dim, r->beta_slow)};
    if (r->truncate)
        p = (struct ramp){floor(p.low), ceil(p.high)};
    p.low = fmax(p.low, 0);
    p.high = fmin(p.high, (double)head_dim - 1);
    if (p.low == p.high)
        p.high += 0.001;
    return p;
}

static double yarn_mix(const struct rope_config *r, const struct ramp *p, double inv, int64_t i)
{
    double slow = fmin(fmax(((double)i - p->low) / (p->high - p->low), 0), 1);
    return inv / r->factor * slow + inv * (1 - slow);
}

static double mscale(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

double rope_yarn_attention(const struct rope_config *r)
{
    if (r->mscale && r->mscale_all_dim)
        return mscale(r->factor, r->mscale) / mscale(r->factor, r->mscale_all_dim);
    return mscale(r->factor, 1);
}

double rope_frequencies(const struct rope_config *r, int64_t head_dim, int64_t max_positions,
                        int64_t length, double *inv_freq)
{
    double theta =
        r->kind == ROPE_DYNAMIC ? dynamic_theta(r, head_dim, max_positions, length) : r->theta;
    struct ramp ramp = {0, 1};
    if (r->kind == ROPE_YARN)
        ramp = yarn_ramp(r, head_dim);
    for (int64_t i = 0; i < head_dim / 2; i++) {
        double inv = plain(theta, head_dim, i);
        if (r->kind == ROPE_LINEAR)
            inv /= r->factor;
        else if (r->kind == ROPE_LLAMA3)
            inv /= llama3_factor(r, inv);
        else if (r->kind == ROPE_YARN)
            inv = yarn_mix(r, &ramp, inv, i);
        inv_freq[i] = inv;
    }
    if (r->kind != ROPE_YARN)
        return 1;
    return r->attention_factor ? r->attention_factor : rope_yarn_attention(r);
}

void rope_llama3_factors(const struct rope_config *r, int64_t head_dim, double *factors)
{
    for (int64_t i = 0; i < head_dim / 2; i++)
        factors[i] = llama3_factor(r, plain(r->theta, head_dim, i));
}

bool rope_find_llama3(const double *factors, int64_t head_dim, struct rope_config *r)
{
    for (int bits = 2; bits < 24; bits++) {
        struct rope_config try = *r;
        int64_t i = 0;
        try.kind = ROPE_LLAMA3;
        try.factor = nearbyint(factors[head_dim / 2 - 1] * 1024) / 1024; /* stored as f32 */
        try.low_freq_factor = 1;
        try.high_freq_factor = 4;
        try.original_length = (int64_t)1 << bits;
        while (i < head_dim / 2) {
            double f = llama3_factor(&try, plain(r->theta, head_dim, i));
            if (!(fabs(f - factors[i]) <= 1e-4 * f))
                break;
            i++;
        }
        if (i == head_dim / 2 && try.factor > 1) {
            *r = try;
            return true;
        }
    }
    return false;
}

int64_t rope_context(const struct model_config *c)
{
    double reach = (double)c->max_position_embeddings;
    if (c->rope.kind == ROPE_DYNAMIC && c->rope.factor > 1)
        reach *= c->rope.factor;
    return reach < (double)(1 << 28) ? (int64_t)reach : 1 << 28;
}
