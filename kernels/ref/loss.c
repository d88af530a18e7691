/* loss.c -- cross-entropy, with the gradient in place. */
#include "kernels/ref/ref.h"

#include <math.h>

static int64_t argmax(struct view logits, int64_t t)
{
    int64_t best = 0;
    for (int64_t v = 1; v < logits.shape[1]; v++)
        if (get2(logits, t, v) > get2(logits, t, best))
            best = v;
    return best;
}

static double logsumexp(struct view logits, int64_t t, double most)
{
    double sum = 0;
    for (int64_t v = 0; v < logits.shape[1]; v++)
        sum += exp(get2(logits, t, v) - most);
    return most + log(sum);
}

/* -sum_v target_v * log softmax_v, where target = (1-e) onehot + e/V */
static double row_loss(const struct cross_entropy_args *a, int64_t t, int64_t target, double lse)
{
    double loss = (1 - a->smoothing) * (lse - get2(a->logits, t, target));
    if (a->smoothing > 0)
        for (int64_t v = 0; v < a->logits.shape[1]; v++)
            loss += a->smoothing / (double)a->logits.shape[1] * (lse - get2(a->logits, t, v));
    return loss;
}

static void row_gradient(const struct cross_entropy_args *a, int64_t t, int64_t target, double lse,
                         double scale)
{
    double share = a->smoothing / (double)a->logits.shape[1];
    for (int64_t v = 0; v < a->logits.shape[1]; v++) {
        double wanted = share + (v == target ? 1 - a->smoothing : 0);
        put2(a->logits, t, v, scale * (exp(get2(a->logits, t, v) - lse) - wanted));
    }
}

static void fill_row(struct view logits, int64_t t, double value)
{
    for (int64_t v = 0; v < logits.shape[1]; v++)
        put2(logits, t, v, value);
}

void ref_cross_entropy(struct device *d, const struct cross_entropy_args *a)
{
    (void)d;
    double loss = 0, hits = 0;
    for (int64_t t = 0; t < a->logits.shape[0]; t++) {
        double weight = get1(a->weight, t);
        int64_t target = int1(a->targets, t);
        bool inside = target >= 0 && target < a->logits.shape[1];
        if (weight == 0 || !inside) {
            loss += weight == 0 ? 0 : NAN;
            if (a->grad)
                fill_row(a->logits, t, weight == 0 ? 0 : NAN);
            continue;
        }
        int64_t best = argmax(a->logits, t);
        double lse = logsumexp(a->logits, t, get2(a->logits, t, best));
        loss += weight * row_loss(a, t, target, lse);
        hits += weight > 0 && best == target;
        if (a->grad)
            row_gradient(a, t, target, lse, a->scale * weight);
    }
    *number(a->loss) += loss;
    if (ref_given(a->hits))
        *number(a->hits) += hits;
}
