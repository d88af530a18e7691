/* parity_util.c -- making tensors with guard bands, running a case everywhere, judging it. */
#include "tests/kernels/parity_util.h"
#include "kernels/base/mem.h"
#include "kernels/base/pool.h"
#include "kernels/base/size.h"
#include "kernels/ref/ref.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BAND 1024 /* elements before and after */
#define THREADS 4

const int64_t parity_sizes[PARITY_SIZES] = {0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 129, 257};

static struct device *ref, *guard;
static struct pool *pools[THREADS];
static struct build {
    const char *name;
    struct device *devices[THREADS];
    char why[160]; /* it could not be opened */
} builds[] = {{.name = "cpu-plain"}, {.name = "cpu-avx2"}, {.name = "cpu-avx512"}};

static int64_t ops_run[OP_COUNT];
static const char *test_name;
static int64_t cases, problems;
static char case_name[256];

/* --- tensors -------------------------------------------------------------------------------- */

static double special(uint64_t bits)
{
    static const double values[] = {0,          -0.0,    INFINITY, -INFINITY, NAN,  FLT_MAX,
                                    -FLT_MAX,   FLT_MIN, 0x1p-149, -0x1p-130, 1,    -1,
                                    0x1p-120,   88.7,    -87.5,    -103.9,    100,  1e-8,
                                    16777216.5, 0.5,     1e30,     -1e-30,    20.5, -20.5};
    return values[bits % (uint64_t)COUNT_OF(values)];
}

static uint64_t hash(uint64_t seed, const char *text)
{
    for (; *text; text++)
        seed = seed * 31 + (unsigned char)*text;
    return seed;
}

/* 64 mixed bits of (key, i): cheaper than Philox, and test data needs no better. */
static uint64_t mixed(uint64_t key, uint64_t i)
{
    uint64_t z = key + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Sum of four uniform numbers, scaled to mean 0 and deviation 1: near enough to normal. */
static double normal(uint64_t bits)
{
    uint64_t sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
    return ((double)sum / 65535 - 2) * 1.7320508;
}

/* Element i; 'key' is of the rig and the tensor's name, so that all devices see the same. */
static double value_of(const struct rig *r, const struct tensor *t, uint64_t key, int64_t i)
{
    uint64_t bits = mixed(key, (uint64_t)i);
    double unit = (double)(bits >> 11) * 0x1p-53, x = 0;
    switch (t->fill) {
    case JUNK:
        return NAN;
    case ZERO:
        return 0;
    case NORMAL:
        x = normal(bits);
        break;
    case UNIFORM:
        x = t->low + (t->high - t->low) * unit;
        break;
    case WHOLE:
        x = floor(t->low + (t->high - t->low) * unit);
        break;
    case SPECIAL:
        x = bits % 3 ? special(bits >> 8) : normal(bits);
        break;
    case COUNTING:
        x = t->low + (double)i;
        break;
    }
    x = (float)x; /* the same number on every device */
    return r->absolute ? fabs(x) : x;
}

/* Strides for a layout; returns how many elements the memory must hold. */
static int64_t lay_out(struct view *v, enum layout layout)
{
    int64_t step = layout == SPARSE ? 2 : 1;
    int order[VIEW_DIMS] = {0, 1, 2, 3};
    if (layout == SWAPPED && v->ndim >= 2)
        order[v->ndim - 1] = v->ndim - 2, order[v->ndim - 2] = v->ndim - 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        v->stride[order[i]] = step;
        step *= v->shape[order[i]];
        if (layout == GAPS && i == v->ndim - 1)
            step += 5;
    }
    if (layout == REPEAT && v->ndim > 0)
        v->stride[0] = 0;
    return step;
}

static void problem(struct rig *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void problem(struct rig *r, const char *fmt, ...)
{
    if (r->status)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->message, sizeof r->message, fmt, args);
    va_end(args);
    r->status = -1;
}

/* A slot with 'elements' elements of memory between its bands; content from 'before'. */
static struct slot *slot_new(struct rig *r, const char *name, enum dtype t, int64_t elements)
{
    size_t size = dtype_bytes(t), bytes = (size_t)(elements + 2 * BAND) * size;
    bytes = (bytes + 63) & ~(size_t)63;
    assert_true(r->count < RIG_SLOTS);
    struct slot *s = &r->slots[r->count];
    *s = (struct slot){.name = name, .bytes = bytes, .before = mem_alloc(bytes)};
    assert_non_null(s->before);
    memset(s->before, 0xA5, bytes);
    assert_int_equal(device_alloc(r->d, bytes, &s->base), OK);
    return s;
}

static void upload(struct rig *r, struct slot *s)
{
    assert_int_equal(device_copy(r->d, s->base, s->before, s->bytes, COPY_TO_DEVICE), OK);
    r->count++;
}

static struct slot *make(struct rig *r, struct tensor t)
{
    struct view v = {.dtype = t.dtype == REAL ? r->real : t.dtype, .ndim = t.ndim};
    memcpy(v.shape, t.shape, sizeof v.shape);
    int64_t room = lay_out(&v, t.layout), n = view_count(v);
    struct slot *s = slot_new(r, t.name, v.dtype, room);
    v.data = s->before + BAND * dtype_bytes(v.dtype);
    uint64_t key = hash(r->seed, t.name);
    bool dense = view_is_contiguous(v);
    for (int64_t i = 0; i < n; i++)
        ref_store(v.data, v.dtype, dense ? i : ref_place(v, i), value_of(r, &t, key, i));
    v.data = (char *)s->base + BAND * dtype_bytes(v.dtype);
    s->v = v;
    upload(r, s);
    return s;
}

struct view rig_in(struct rig *r, struct tensor t)
{
    return make(r, t)->v;
}

struct view rig_out(struct rig *r, struct tensor t, struct tolerance tolerance)
{
    struct slot *s = make(r, t);
    s->output = true;
    s->tolerance = tolerance;
    if (tolerance.ku > 0)
        r->wants_absolute = true;
    return s->v;
}

static struct view given_values(struct rig *r, const char *name, enum dtype t, const void *values,
                                int64_t n)
{
    size_t size = dtype_bytes(t);
    struct slot *s = slot_new(r, name, t, n);
    if (n)
        memcpy(s->before + BAND * size, values, (size_t)n * size);
    s->v = view_1d((char *)s->base + BAND * size, t, n);
    upload(r, s);
    return s->v;
}

struct view rig_ints(struct rig *r, const char *name, const int32_t *values, int64_t n)
{
    return given_values(r, name, DT_I32, values, n);
}

struct view rig_doubles(struct rig *r, const char *name, const double *values, int64_t n)
{
    return given_values(r, name, DT_F64, values, n);
}

/* One row of a weight as it is stored. */
static void encode_row(struct rig *r, const struct format *f, int64_t row, int64_t cols,
                       int64_t stride, unsigned char *to)
{
    struct tensor t = {.name = f->name, .fill = NORMAL};
    float *x = mem_alloc((size_t)stride * sizeof(float) + 1);
    assert_non_null(x);
    bool absolute = r->absolute;
    uint64_t key = hash(r->seed, t.name);
    r->absolute = false; /* the sign of what is decoded counts */
    for (int64_t j = 0; j < stride; j++)
        x[j] = j < cols ? (float)value_of(r, &t, key, row * cols + j) : NAN;
    r->absolute = absolute;
    f->encode(x, to, stride);
    if (absolute) {
        f->decode(to, x, stride);
        for (int64_t j = 0; j < cols; j++)
            x[j] = fabsf(x[j]);
        memcpy(to, x, (size_t)stride * sizeof(float));
    }
    mem_free(x);
}

struct wview rig_weight(struct rig *r, const struct format *f, int64_t rows, int64_t cols,
                        int64_t row_gap)
{
    /* absolute values need not exist in a block format: they are kept in f32 */
    const struct format *stored = r->absolute ? format_of_dtype(DT_F32) : f;
    int64_t stride = f->dtype == DT_BLOCK ? cols : cols + row_gap;
    size_t row_bytes = format_row_bytes(stored, stride);
    struct slot *s = slot_new(r, "w", DT_F64, (int64_t)row_bytes * rows / 8 + 2);
    unsigned char *at = s->before + BAND * 8;
    for (int64_t i = 0; i < rows; i++, at += row_bytes)
        encode_row(r, f, i, cols, stride, at);
    s->v = view_1d((char *)s->base + BAND * 8, DT_F64, (int64_t)row_bytes * rows / 8);
    upload(r, s);
    return (struct wview){
        .format = stored, .data = s->v.data, .rows = rows, .cols = cols, .row_stride = stride};
}

double *rig_magnitude(struct rig *r, struct view out)
{
    if (!r->truth)
        return NULL;
    for (int i = 0; i < r->count; i++)
        if (r->slots[i].v.data == out.data && r->slots[i].output) {
            struct slot *s = &r->slots[i];
            s->magnitude = mem_calloc((size_t)view_count(out) + 1, sizeof(double));
            assert_non_null(s->magnitude);
            return s->magnitude;
        }
    return NULL;
}

double rig_scalar(const struct rig *r, double v)
{
    return r->absolute ? fabs(v) : v;
}

struct scratch rig_work(struct rig *r, size_t bytes)
{
    if (!bytes || r->status)
        return (struct scratch){0};
    struct slot *s = slot_new(r, "work", DT_U8, (int64_t)bytes);
    s->v = view_1d((char *)s->base + BAND, DT_U8, (int64_t)bytes);
    s->output = true;
    s->tolerance.ulp = -1; /* whatever it holds is right */
    upload(r, s);
    return (struct scratch){s->v.data, bytes};
}

void rig_ran(struct rig *r, enum op_id op, int status)
{
    if (status)
        problem(r, "%s: %s", op_name(op), status_message());
    else
        r->ops_run[op]++;
}

/* --- judging -------------------------------------------------------------------------------- */

/* Everything that the operation had no business to write is as it was. */
static void untouched(struct rig *r, struct slot *s, unsigned char *now)
{
    struct view v = s->v;
    size_t size = dtype_bytes(v.dtype);
    if (s->output) { /* take the elements of the view out of the comparison */
        struct view was = v, is = v;
        was.data = s->before + BAND * size;
        is.data = now + BAND * size;
        int64_t n = view_count(v);
        if (view_is_contiguous(v))
            memcpy(was.data, is.data, (size_t)n * size);
        for (int64_t i = 0; i < n && !view_is_contiguous(v); i++) {
            int64_t at = ref_place(v, i) * (int64_t)size;
            memcpy((char *)was.data + at, (char *)is.data + at, size);
        }
    }
    if (!memcmp(now, s->before, s->bytes))
        return;
    size_t i = 0;
    while (now[i] == s->before[i])
        i++;
    problem(r, "byte %zu of %s (its view starts at %zu) was changed", i, s->name, BAND * size);
}

static unsigned char *download(struct rig *r, struct slot *s)
{
    unsigned char *now = mem_alloc(s->bytes);
    assert_non_null(now);
    assert_int_equal(device_copy(r->d, now, s->base, s->bytes, COPY_TO_HOST), OK);
    return now;
}

/* The numbers of a slot; 'now' is its memory on the host. */
static double *numbers(const struct slot *s, unsigned char *now)
{
    struct view v = s->v;
    int64_t n = view_count(v);
    v.data = now + BAND * dtype_bytes(v.dtype);
    bool dense = view_is_contiguous(v);
    double *x = mem_alloc((size_t)(n + 1) * sizeof(double));
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = ref_load(v.data, v.dtype, dense ? i : ref_place(v, i));
    return x;
}

/* Results of a run: raw bytes (for equality) and numbers, per slot. */
struct results {
    unsigned char *raw[RIG_SLOTS];
    double *x[RIG_SLOTS];
};

static void collect(struct rig *r, struct results *out)
{
    for (int i = 0; i < r->count; i++) {
        struct slot *s = &r->slots[i];
        out->raw[i] = download(r, s);
        untouched(r, s, out->raw[i]);
        if (s->output && s->tolerance.ulp >= 0)
            out->x[i] = numbers(s, out->raw[i]);
    }
}

static void results_free(struct results *res)
{
    for (int i = 0; i < RIG_SLOTS; i++) {
        mem_free(res->raw[i]);
        mem_free(res->x[i]);
    }
}

static void rig_free(struct rig *r)
{
    for (int i = 0; i < r->count; i++) {
        device_release(r->d, r->slots[i].base, r->slots[i].bytes);
        mem_free(r->slots[i].before);
        mem_free(r->slots[i].magnitude);
    }
}

static void run(struct rig *r, case_fn *fn, const void *params, struct results *res)
{
    fn(r, params);
    if (device_sync(r->d) && !r->status)
        problem(r, "sync: %s", status_message());
    if (r->status >= 0)
        collect(r, res);
    if (r->d != ref)
        for (int i = 0; i < OP_COUNT; i++)
            ops_run[i] += r->ops_run[i];
}

static void tell(const struct rig *r, const char *what)
{
    if (problems++ < 8)
        print_message("# %s, %s, %s: %s\n", test_name, case_name, r->label, what);
}

static int slot_named(const struct rig *r, const char *name)
{
    for (int i = 0; i < r->count; i++)
        if (!strcmp(r->slots[i].name, name))
            return i;
    return -1;
}

struct truth {
    struct rig rig;
    struct results res, absolute;
};

/* Workspaces differ between devices, so slots are matched by name. */
static void judge(struct rig *r, const struct results *res, const struct truth *t, bool exact)
{
    for (int i = 0; i < r->count && !r->status; i++) {
        const struct slot *s = &r->slots[i];
        if (!res->x[i])
            continue;
        int j = slot_named(&t->rig, s->name);
        const double *magnitude = t->rig.slots[j].magnitude;
        if (!magnitude)
            magnitude = t->absolute.x[j];
        struct tolerance tolerance = exact ? (struct tolerance){0} : s->tolerance;
        struct comparison c = compare(res->x[i], view_count(s->v), t->res.x[j],
                                      view_count(t->rig.slots[j].v), magnitude, tolerance);
        char text[256];
        if (!c.ok)
            problem(r, "%s: %s", s->name, compare_text(&c, text, sizeof text));
    }
}

static void same_bits(struct rig *r, const struct results *a, const struct results *b)
{
    for (int i = 0; i < r->count && !r->status; i++)
        if (a->x[i] && memcmp(a->raw[i], b->raw[i], r->slots[i].bytes))
            problem(r, "%s: other bits than with 1 thread", r->slots[i].name);
}

static struct rig rig_for(struct device *d, const char *label, enum dtype real)
{
    return (struct rig){.d = d, .label = label, .real = real, .seed = hash(1, case_name)};
}

static void on_guard(case_fn *fn, const void *params, const struct truth *t)
{
    struct rig r = rig_for(guard, "guard", DT_F64);
    struct results res = {0};
    run(&r, fn, params, &res);
    judge(&r, &res, t, true);
    if (r.status)
        tell(&r, r.message);
    results_free(&res);
    rig_free(&r);
}

/* The ref device over f32 views: what it stores is rounded, no more. */
static void on_f32(case_fn *fn, const void *params, const struct truth *t)
{
    struct rig r = rig_for(ref, "ref over f32", DT_F32);
    struct results res = {0};
    run(&r, fn, params, &res);
    judge(&r, &res, t, false);
    if (r.status)
        tell(&r, r.message);
    results_free(&res);
    rig_free(&r);
}

static void on_build(const struct build *b, case_fn *fn, const void *params, const struct truth *t)
{
    struct results first = {0};
    for (int i = 0; i < THREADS; i++) {
        char label[64];
        snprintf(label, sizeof label, "%s with %d thread%s", b->name, i + 1, i ? "s" : "");
        struct rig r = rig_for(b->devices[i], label, DT_F32);
        struct results res = {0};
        run(&r, fn, params, &res);
        if (i == 0)
            judge(&r, &res, t, false);
        else
            same_bits(&r, &res, &first);
        bool failed = r.status != 0;
        if (failed)
            tell(&r, r.message);
        rig_free(&r);
        if (i == 0)
            first = res;
        else
            results_free(&res);
        if (failed)
            break;
    }
    results_free(&first);
}

void parity_case(case_fn *fn, const void *params, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(case_name, sizeof case_name, fmt, args);
    va_end(args);
    cases++;
    struct truth t = {.rig = rig_for(ref, "ref", DT_F64)};
    t.rig.truth = true;
    run(&t.rig, fn, params, &t.res);
    if (t.rig.status) {
        tell(&t.rig, t.rig.message);
    } else {
        struct rig absolute = rig_for(ref, "ref", DT_F64);
        absolute.absolute = true;
        if (t.rig.wants_absolute)
            run(&absolute, fn, params, &t.absolute);
        on_guard(fn, params, &t);
        on_f32(fn, params, &t);
        for (int i = 0; i < COUNT_OF(builds); i++)
            if (builds[i].devices[0])
                on_build(&builds[i], fn, params, &t);
        rig_free(&absolute);
    }
    results_free(&t.res);
    results_free(&t.absolute);
    rig_free(&t.rig);
}

/* --- devices and tests ----------------------------------------------------------------------- */

void parity_open(void)
{
    assert_int_equal(device_open("ref", NULL, &ref), OK);
    assert_int_equal(device_open("guard", NULL, &guard), OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pool_new(i + 1, &pools[i]), OK);
    for (int i = 0; i < COUNT_OF(builds); i++)
        for (int j = 0; j < THREADS; j++)
            if (device_open(builds[i].name, pools[j], &builds[i].devices[j]) && j == 0)
                snprintf(builds[i].why, sizeof builds[i].why, "%s", status_message());
}

void parity_close(void)
{
    for (int i = 0; i < COUNT_OF(builds); i++)
        for (int j = 0; j < THREADS; j++)
            device_close(builds[i].devices[j]);
    for (int i = 0; i < THREADS; i++)
        pool_free(pools[i]);
    device_close(guard);
    device_close(ref);
}

const char *parity_build(int i, const char **why)
{
    *why = builds[i].why[0] ? builds[i].why : NULL;
    return builds[i].name;
}

int64_t parity_ran(enum op_id op)
{
    return ops_run[op];
}

void parity_begin(const char *name)
{
    test_name = name;
    cases = problems = 0;
}

void parity_end(void)
{
    print_message("# %s: %lld cases\n", test_name, (long long)cases);
    if (problems)
        fail_msg("%s: %lld problems in %lld cases", test_name, (long long)problems,
                 (long long)cases);
    assert_true(cases > 0);
}
