/* parity_util.h -- one operation, many devices, the same answer.
 *
 * A case is written once, as a function that makes its tensors and runs its operation through a
 * struct rig. It is run on 'ref' over f64 views (the truth), on 'guard' (must give the same bits),
 * on 'ref' over f32 views, and on every build of the cpu device over f32 views with 1, 2, 3 and 4
 * threads: judged against the truth, and bit for bit among the thread counts. Around every tensor
 * lie bands of 1,024 elements; they, the gaps of strided views and all inputs must come back
 * unchanged. */
#ifndef TESTS_KERNELS_PARITY_UTIL_H
#define TESTS_KERNELS_PARITY_UTIL_H

#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "tests/kernels/compare_util.h"

/* Storage of a tensor: the rig's own (f64 on ref, f32 on cpu), or the same everywhere. */
#define REAL DT_BLOCK

enum layout {
    DENSE,
    GAPS,    /* unit stride in the last dimension, room between rows */
    SWAPPED, /* the last two dimensions are stored the other way round */
    SPARSE,  /* every second element */
    REPEAT,  /* the first dimension repeats (stride 0): inputs only */
};

enum fill {
    JUNK, /* NaN: must not be read */
    ZERO,
    NORMAL,
    UNIFORM,  /* low to high */
    WHOLE,    /* integers from low below high */
    SPECIAL,  /* zeros, infinities, NaN, denormals and ends of the range, among normal ones */
    COUNTING, /* low, low + 1, ... */
};

struct tensor {
    const char *name;
    enum dtype dtype; /* or REAL */
    int ndim;
    int64_t shape[VIEW_DIMS];
    enum layout layout;
    enum fill fill;
    double low, high;
};

#define RIG_SLOTS 24

struct rig {
    struct device *d;
    const char *label;
    enum dtype real;
    bool truth;    /* the ref run whose numbers are wanted: may set magnitudes */
    bool absolute; /* run for the magnitudes: every input and scalar is made positive */
    uint64_t seed;
    bool wants_absolute; /* set by rig_out */
    struct slot {
        const char *name;
        struct view v;
        void *base;
        unsigned char *before;
        size_t bytes;
        bool output;
        struct tolerance tolerance;
        double *magnitude;
    } slots[RIG_SLOTS];
    int count;
    int64_t ops_run[OP_COUNT];
    int status;
    char message[512];
};

struct view rig_in(struct rig *r, struct tensor t);
/* An operation's result; with a 'fill' other than JUNK also read. ku > 0: the magnitudes are the
 * results of a second ref run over absolute values, unless the case sets them. */
struct view rig_out(struct rig *r, struct tensor t, struct tolerance tolerance);
/* Vectors of I32 and F64 with these values, on every device. */
struct view rig_ints(struct rig *r, const char *name, const int32_t *values, int64_t n);
struct view rig_doubles(struct rig *r, const char *name, const double *values, int64_t n);
/* A stored weight with random content. */
struct wview rig_weight(struct rig *r, const struct format *f, int64_t rows, int64_t cols,
                        int64_t row_gap);
/* On the truth: room for one magnitude per element of 'out', to be filled in; else NULL. */
double *rig_magnitude(struct rig *r, struct view out);
double rig_scalar(const struct rig *r, double v);
struct scratch rig_work(struct rig *r, size_t bytes);
void rig_ran(struct rig *r, enum op_id op, int status);

/* Runs k_<op> with workspace: RUN(r, gemm, a) with struct gemm_args a. */
#define RUN(r, op, a)                                             \
    do {                                                          \
        (a).work = rig_work(r, k_##op##_workspace((r)->d, &(a))); \
        if (!(r)->status)                                         \
            rig_ran(r, OP_##op, k_##op((r)->d, &(a)));            \
    } while (0)

/* --- running -------------------------------------------------------------------------------- */

typedef void case_fn(struct rig *r, const void *params);

void parity_open(void);
/* Name of build 0 .. PARITY_BUILDS-1 of the cpu device; *why it takes no part, or NULL. */
#define PARITY_BUILDS 3
const char *parity_build(int i, const char **why);
void parity_close(void);
int64_t parity_ran(enum op_id op); /* operations run on any device but ref */

/* One case on every device. Problems are printed (the first few of a test) and counted. */
void parity_case(case_fn *run, const void *params, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Around the cases of one test: parity_end fails the cmocka test if there were problems. */
void parity_begin(const char *name);
void parity_end(void);

struct parity_test {
    const char *name;
    void (*run)(void);
};
/* each ends with a NULL name */
extern const struct parity_test cases_elementwise[], cases_reduce[], cases_gemm[], cases_rows[],
    cases_attention[], cases_loss[], cases_optim[];

extern const int64_t parity_sizes[]; /* 0, 1, 2, 3, 31 ... 257 */
#define PARITY_SIZES 13

#endif
