/* gradcheck_util.h -- finite-difference checks of engine operations.
 *
 * A row makes inputs and runs an operation on them. The check draws a random upstream gradient for
 * every output, walks backwards, and compares each element of each trainable input with a four-point
 * difference (h = 3e-4, float64 on ref): relative L2 distance of a whole tensor <= 1e-8. It also
 * checks that a second walk doubles what leaves have collected, and that frozen inputs get none. */
#ifndef TESTS_ENGINE_GRADCHECK_UTIL_H
#define TESTS_ENGINE_GRADCHECK_UTIL_H

#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"
#include "tests/engine/engine_util.h"

#define GC_INPUTS 16
#define GC_OUTPUTS 2
#define GC_LIMIT 1e-8

struct gradcheck {
    struct context *ctx;
    int kind; /* the row's */
    int inputs, outputs;
    struct tensor *input[GC_INPUTS]; /* owned; trainable when requires_grad */
    uint64_t drawn;                  /* random numbers so far */
    /* for the rows' use */
    struct adapter_term term[LINEAR_ADAPTERS];
    struct linear linear;
    struct dropout_source source;
    struct rope rope;
    struct attention attention;
};

struct gc_row {
    const char *name, *kernels; /* kernels: comma-separated names that the row must run */
    void (*make)(struct gradcheck *g);
    int (*run)(struct gradcheck *g, struct tensor **out); /* g->outputs of them, 1 by default */
    int kind;
};

/* Inputs uniform in [low, high]: a trainable leaf, a frozen one, indices. Borrowed. */
struct tensor *gc_leaf(struct gradcheck *g, int ndim, const int64_t *shape, double low,
                       double high);
struct tensor *gc_frozen(struct gradcheck *g, int ndim, const int64_t *shape, double low,
                         double high);
struct tensor *gc_index(struct gradcheck *g, int64_t n, const int32_t *values);

#define SHAPE(...)                                                         \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) \
    {                                                                      \
        __VA_ARGS__                                                        \
    }

/* Deterministic in [0, 1). */
double gc_random(uint64_t index);

/* The device of 'ctx' counts its calls from now on. */
void gc_count_calls(struct context *ctx);
int64_t gc_calls(enum op_id id); /* since the program started */

/* A context on the device, poisoned and counting. */
struct context *gc_context(const char *device, enum dtype compute);

/* Differences against backward, on 'ref'. Fails the running test. */
void gc_check_row(const struct gc_row *row);

/* The gradients of a row, one after the other, as doubles; *n their number. Free with mem_free. */
double *gc_gradients(const struct gc_row *row, const char *device, enum dtype compute, int64_t *n);

/* One tensor: gradient 'got' of 'leaf' against differences of *value*(ctx), which must not record.
 * 'what' is named in the message. */
void gc_compare(struct tensor *leaf, const double *got, double (*value)(void *), void *ctx,
                const char *what);

#endif
