/* copy.c -- copying between views of any stride and dtype, and filling.
 *
 * Runs of unit stride are copied or converted in place; a transposition (the source runs along
 * the destination's rows) goes by square cells, so that each cache line is used whole; the rest is
 * gathered through a buffer. */
#include "kernels/base/size.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/nest.h"

#define CELL 16

struct copy {
    struct nest n; /* view 0 = dst, 1 = src */
    enum dtype to, from;
    size_t to_size, from_size;
};

/* 'count' elements of the innermost dimension */
static void copy_run(const struct copy *c, char *dst, const char *src, int64_t count)
{
    int last = c->n.ndim - 1;
    int64_t to_stride = c->n.stride[0][last], from_stride = c->n.stride[1][last];
    uint64_t in[CELL * CELL], out[CELL * CELL];
    if (to_stride == 1 && from_stride == 1) {
        CPU(convert)(dst, c->to, src, c->from, count);
        return;
    }
    for (int64_t at = 0, len; at < count; at += len) {
        len = i64_min(count - at, COUNT_OF(in));
        CPU(gather)
        (in, src + at * from_stride * (int64_t)c->from_size, from_stride, c->from_size, len);
        CPU(convert)(out, c->to, in, c->from, len);
        CPU(scatter)(dst + at * to_stride * (int64_t)c->to_size, to_stride, out, c->to_size, len);
    }
}

static void copy_tile(void *ctx, int64_t tile, int worker)
{
    (void)worker;
    const struct copy *c = ctx;
    int64_t at = tile * NEST_TILE, end = i64_min(at + NEST_TILE, c->n.count);
    while (at < end) {
        int64_t offset[NEST_VIEWS];
        int64_t len = i64_min(CPU(nest_seek)(&c->n, at, offset), end - at);
        copy_run(c, (char *)c->n.data[0] + offset[0] * (int64_t)c->to_size,
                 (const char *)c->n.data[1] + offset[1] * (int64_t)c->from_size, len);
        at += len;
    }
}

/* --- transposition: one item is CELL rows of the two inner dimensions --------------------------- */

static bool is_transposed(const struct nest *n)
{
    int last = n->ndim - 1;
    return n->ndim >= 2 && n->stride[0][last] == 1 && n->stride[1][last - 1] == 1 &&
           n->stride[1][last] != 1 && n->shape[last] >= CELL && n->shape[last - 1] >= CELL;
}

/* rows x cols elements, dst rows 'ld' apart, src columns 'ls' apart */
static void copy_cell(const struct copy *c, char *dst, int64_t ld, const char *src, int64_t ls,
                      int64_t rows, int64_t cols)
{
    uint64_t in[CELL], out[CELL];
    for (int64_t r = 0; r < rows; r++) {
        char *to = dst + r * ld * (int64_t)c->to_size;
        const char *from = src + r * (int64_t)c->from_size;
        if (c->to == DT_F32 && c->from == DT_F32) {
            for (int64_t i = 0; i < cols; i++)
                ((float *)to)[i] = ((const float *)from)[i * ls];
            continue;
        }
        CPU(gather)(in, from, ls, c->from_size, cols);
        CPU(convert)(out, c->to, in, c->from, cols);
        memcpy(to, out, (size_t)cols * c->to_size);
    }
}

static void copy_band(void *ctx, int64_t band, int worker)
{
    (void)worker;
    const struct copy *c = ctx;
    int last = c->n.ndim - 1;
    int64_t rows = c->n.shape[last - 1], cols = c->n.shape[last];
    int64_t bands = (rows + CELL - 1) / CELL;
    int64_t r0 = band % bands * CELL, outer = band / bands, offset[NEST_VIEWS];
    CPU(nest_seek)(&c->n, (outer * rows + r0) * cols, offset);
    for (int64_t j = 0; j < cols; j += CELL) {
        int64_t ls = c->n.stride[1][last];
        copy_cell(c, (char *)c->n.data[0] + (offset[0] + j) * (int64_t)c->to_size,
                  c->n.stride[0][last - 1],
                  (const char *)c->n.data[1] + (offset[1] + j * ls) * (int64_t)c->from_size, ls,
                  i64_min(CELL, rows - r0), i64_min(CELL, cols - j));
    }
}

void CPU(copy)(struct device *d, const struct copy_args *a)
{
    struct copy c = {.to = a->dst.dtype, .from = a->src.dtype};
    c.to_size = dtype_bytes(c.to), c.from_size = dtype_bytes(c.from);
    CPU(nest_make)(&c.n, (struct view[]){a->dst, a->src}, 2);
    if (c.n.count > 0 && is_transposed(&c.n)) {
        int64_t rows = c.n.shape[c.n.ndim - 2], cols = c.n.shape[c.n.ndim - 1];
        int64_t bands = (rows + CELL - 1) / CELL;
        pool_run(d->pool, c.n.count / (rows * cols) * bands, copy_band, &c);
    } else {
        pool_run(d->pool, (c.n.count + NEST_TILE - 1) / NEST_TILE, copy_tile, &c);
    }
}

/* --- fill ----------------------------------------------------------------------------------- */

struct fill {
    struct nest n;
    size_t size;
    uint64_t pattern; /* one element, in its first 'size' bytes */
};

#define FILL(type)                                 \
    do {                                           \
        type value;                                \
        memcpy(&value, &f->pattern, sizeof value); \
        for (int64_t i = 0; i < count; i++)        \
            ((type *)dst)[i * stride] = value;     \
    } while (0)

static void fill_run(const struct fill *f, void *dst, int64_t stride, int64_t count)
{
    switch (f->size) {
    case 1:
        FILL(uint8_t);
        break;
    case 2:
        FILL(uint16_t);
        break;
    case 4:
        FILL(uint32_t);
        break;
    default:
        FILL(uint64_t);
        break;
    }
}

static void fill_tile(void *ctx, int64_t tile, int worker)
{
    (void)worker;
    const struct fill *f = ctx;
    int64_t at = tile * NEST_TILE, end = i64_min(at + NEST_TILE, f->n.count);
    while (at < end) {
        int64_t offset[NEST_VIEWS];
        int64_t len = i64_min(CPU(nest_seek)(&f->n, at, offset), end - at);
        fill_run(f, (char *)f->n.data[0] + offset[0] * (int64_t)f->size,
                 f->n.stride[0][f->n.ndim - 1], len);
        at += len;
    }
}

void CPU(fill)(struct device *d, const struct fill_args *a)
{
    struct fill f = {.size = dtype_bytes(a->dst.dtype)};
    CPU(convert)(&f.pattern, a->dst.dtype, &a->value, DT_F64, 1);
    CPU(nest_make)(&f.n, &a->dst, 1);
    pool_run(d->pool, (f.n.count + NEST_TILE - 1) / NEST_TILE, fill_tile, &f);
}
