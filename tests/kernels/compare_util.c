/* compare_util.c -- the comparator of the kernel tests; tested itself by compare.c. */
#include "tests/kernels/compare_util.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

double compare_ulp(double x, int bits)
{
    int exponent, least = bits == 11 ? -14 : -126;
    if (x == 0 || !isfinite(x))
        return ldexp(1, least - (bits - 1));
    frexp(x, &exponent); /* x = 0.5.. * 2^exponent */
    exponent--;
    return ldexp(1, (exponent < least ? least : exponent) - (bits - 1));
}

/* Are both of the same kind, so that a difference means something? Sets *done where there is none
 * to take. */
static bool same_kind(double got, double want, bool *done)
{
    *done = true;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) {
        if (isinf(want) && isinf(got))
            return (want > 0) == (got > 0);
        double finite = isinf(want) ? got : want, infinite = isinf(want) ? want : got;
        return (finite > 0) == (infinite > 0) && fabs(finite) >= FLT_MAX * (1 - 1e-5);
    }
    *done = false;
    return true;
}

static double allowed_at(double want, const double *magnitude, int64_t i, struct tolerance t)
{
    double size = fabs(magnitude ? magnitude[i] : want);
    double allowed = t.least + t.ulp * compare_ulp(want, t.bits ? t.bits : 24);
    return t.ku > 0 && isfinite(size) ? allowed + t.ku * UNIT * size + 0x1p-149 : allowed;
}

static void note(struct comparison *c, int64_t i, double got, double want, double worst)
{
    /* 'worst' may be NaN: then it is the worst there is */
    if (c->index >= 0 && worst <= c->worst)
        return;
    c->index = i;
    c->got = got;
    c->want = want;
    c->worst = isnan(worst) ? INFINITY : worst;
}

struct comparison compare(const double *got, int64_t n_got, const double *want, int64_t n_want,
                          const double *magnitude, struct tolerance t)
{
    struct comparison c = {.ok = n_got == n_want, .index = -1};
    double error = 0, total = 0, largest = -1;
    int64_t at = -1;
    for (int64_t i = 0; i < n_want && n_got == n_want; i++) {
        bool done;
        double allowed = allowed_at(want[i], magnitude, i, t);
        if (!same_kind(got[i], want[i], &done)) {
            c.ok = false;
            note(&c, i, got[i], want[i], INFINITY);
        }
        if (done)
            continue;
        double off = fabs(got[i] - want[i]);
        error += off * off;
        total += want[i] * want[i];
        if (off > largest)
            largest = off, at = i;
        if (t.l2 > 0)
            continue;
        if (!(off <= allowed))
            c.ok = false;
        note(&c, i, got[i], want[i], off == 0 ? 0 : off / allowed);
    }
    c.nmse = error > 0 ? error / total : 0;
    c.l2 = sqrt(c.nmse);
    if (t.l2 > 0 && at >= 0 && c.ok) {
        double size = fmax(sqrt(total), t.l2_least * sqrt((double)n_want));
        double share = error > 0 ? sqrt(error) / (t.l2 * size) : 0;
        c.ok = share <= 1;
        note(&c, at, got[at], want[at], share);
    }
    return c;
}

char *compare_text(const struct comparison *c, char *out, size_t bytes)
{
    if (c->index < 0)
        snprintf(out, bytes, "%s", c->ok ? "nothing to compare" : "shapes differ");
    else
        snprintf(
            out, bytes,
            "worst element %lld: got %.9g, wanted %.9g (%.3g times what is allowed; rel L2 %.3g)",
            (long long)c->index, c->got, c->want, c->worst, c->l2);
    return out;
}
