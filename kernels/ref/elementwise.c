/* elementwise.c -- unary functions with their slopes, binary ones. */
#include "kernels/ref/ref.h"

#include <math.h>

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* The inner line of the tanh form of GELU, and its slope. */
#define GELU_SCALE 0.79788456080286535588 /* sqrt(2 / pi) */
static double gelu_inner(double x)
{
    return GELU_SCALE * (x + 0.044715 * x * x * x);
}

static double gelu_slope(double x)
{
    double t = tanh(gelu_inner(x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * 0.044715 * x * x);
}

double ref_unary_value(enum unary_kind kind, double alpha, double beta, double x)
{
    switch (kind) {
    case UNARY_LINEAR:
        return alpha * x + beta;
    case UNARY_POW:
        return pow(x, alpha);
    case UNARY_NEG:
        return -x;
    case UNARY_ABS:
        return fabs(x);
    case UNARY_EXP:
        return exp(x);
    case UNARY_LOG:
        return log(x);
    case UNARY_SQRT:
        return sqrt(x);
    case UNARY_TANH:
        return tanh(x);
    case UNARY_SIGMOID:
        return sigmoid(x);
    case UNARY_SILU:
        return x * sigmoid(x);
    case UNARY_RELU:
        return x < 0 ? 0 : x;
    case UNARY_GELU_TANH: /* 0.5 (1 + tanh t) is sigmoid(2t), without its cancellation */
        return x * sigmoid(2 * gelu_inner(x));
    case UNARY_SIN:
        return sin(x);
    case UNARY_COS:
        return cos(x);
    case UNARY_GT:
        return x > alpha;
    case UNARY_LT:
        return x < alpha;
    case UNARY_GE:
        return x >= alpha;
    case UNARY_LE:
        return x <= alpha;
    case UNARY_EQ:
        return x == alpha;
    case UNARY_NE:
        return x != alpha;
    default:
        return NAN;
    }
}

double ref_unary_slope(enum unary_kind kind, double alpha, double x)
{
    double s;
    switch (kind) {
    case UNARY_LINEAR:
        return alpha;
    case UNARY_POW:
        return alpha == 0 ? 0 : alpha * pow(x, alpha - 1);
    case UNARY_NEG:
        return -1;
    case UNARY_ABS:
        return x > 0 ? 1 : x < 0 ? -1 : 0;
    case UNARY_EXP:
        return exp(x);
    case UNARY_LOG:
        return 1 / x;
    case UNARY_SQRT:
        return 0.5 / sqrt(x);
    case UNARY_TANH:
        s = tanh(x);
        return 1 - s * s;
    case UNARY_SIGMOID:
        s = sigmoid(x);
        return s * (1 - s);
    case UNARY_SILU:
        s = sigmoid(x);
        return s * (1 + x * (1 - s));
    case UNARY_RELU:
        return x > 0;
    case UNARY_GELU_TANH:
        return gelu_slope(x);
    case UNARY_SIN:
        return cos(x);
    case UNARY_COS:
        return -sin(x);
    default: /* the comparisons */
        return 0;
    }
}

void ref_unary(struct device *d, const struct unary_args *a)
{
    (void)d;
    int64_t n = view_count(a->y);
    for (int64_t i = 0; i < n; i++)
        put(a->y, i, ref_unary_value(a->kind, a->alpha, a->beta, get(a->x, i)));
}

void ref_unary_grad(struct device *d, const struct unary_grad_args *a)
{
    (void)d;
    int64_t n = view_count(a->dx);
    for (int64_t i = 0; i < n; i++)
        put(a->dx, i, get(a->dy, i) * ref_unary_slope(a->kind, a->alpha, get(a->x, i)));
}

static double binary_value(enum binary_kind kind, double alpha, double a, double b)
{
    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_POW:
        return pow(a, b);
    case BINARY_MAX:
        return a > b || isnan(a) ? a : b;
    case BINARY_MIN:
        return a < b || isnan(a) ? a : b;
    case BINARY_AXPY:
        return a + alpha * b;
    case BINARY_GT:
        return a > b;
    case BINARY_LT:
        return a < b;
    case BINARY_GE:
        return a >= b;
    case BINARY_LE:
        return a <= b;
    case BINARY_EQ:
        return a == b;
    case BINARY_NE:
        return a != b;
    default:
        return NAN;
    }
}

void ref_binary(struct device *d, const struct binary_args *a)
{
    (void)d;
    int64_t n = view_count(a->z);
    for (int64_t i = 0; i < n; i++)
        put(a->z, i, binary_value(a->kind, a->alpha, get(a->a, i), get(a->b, i)));
}
