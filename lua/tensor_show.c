/* tensor_show.c -- a tensor as a person sees it: one line of facts, then its corners.
 *
 * Statistics are computed on the device; only the corners are copied. */
#include "engine/data/print.h"
#include "engine/tensor/ops.h"
#include "kernels/base/mem.h"
#include "lua/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BINS 10
#define CORNER_ROWS 6
#define CORNER_COLS 8

static void add(luaL_Buffer *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(luaL_Buffer *b, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    luaL_addstring(b, text);
}

static void add_histogram(luaL_Buffer *b, const double *bins)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char ascii[] = ".:-=+*#@";
    double top = 0;
    for (int i = 0; i < BINS; i++)
        top = fmax(top, bins[i]);
    luaL_addstring(b, bind_terminal.utf8 ? " · " : " | ");
    for (int i = 0; i < BINS; i++) {
        int level = top > 0 ? (int)floor(bins[i] / top * 7.999) : 0;
        if (bind_terminal.utf8)
            luaL_addstring(b, bars[level]);
        else
            luaL_addchar(b, ascii[level]);
    }
}

static void add_facts(luaL_Buffer *b, struct tensor *t, const double *s)
{
    char count[32], shape[64] = "";
    size_t used = 0;
    const char *dot = bind_terminal.utf8 ? "·" : "|";
    for (int i = 0; i < t->view.ndim && used < sizeof shape; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64, i ? "," : "",
                                 t->view.shape[i]);
    add(b, "%s[%s] %s %s n %s", t->format ? t->format->name : dtype_name(t->view.dtype), shape,
        t->ctx->device->kind, dot, print_count(tensor_count(t), count));
    if (s[0] > 0)
        add(b, " %s %.4g %s %.4g %s mean %.4g %s std %.4g", dot, s[3],
            bind_terminal.utf8 ? "…" : "..", s[4], dot, s[5], dot, s[6]);
    if (s[1] > 0)
        add(b, " %s %.0f NaN", dot, s[1]);
    if (s[2] > 0)
        add(b, " %s %.0f inf", dot, s[2]);
    if (s[0] > 1 && s[4] > s[3])
        add_histogram(b, s + STATS_FIXED);
    if (t->requires_grad)
        add(b, " %s requires_grad", dot);
}

/* Statistics of t; stored weights are decoded first. */
static int facts(struct tensor *t, double *s)
{
    struct tensor *plain = NULL, *out = NULL;
    int64_t n = STATS_FIXED + BINS;
    int status = t->view.dtype == DT_BLOCK ? tensor_convert(t, t->ctx->compute, &plain)
                                           : (plain = tensor_keep(t), OK);
    if (!status)
        status = tensor_new(t->ctx, DT_F64, 1, &n, &out);
    if (!status)
        status = RUN(t->ctx, stats, .out = out->view, .x = plain->view, .bins = BINS);
    if (!status)
        status = tensor_read(out, s);
    tensor_release(out);
    tensor_release(plain);
    return status;
}

/* Which positions of a dimension are shown; -1 stands for the gap. */
static int shown(int64_t size, int room, int64_t *at)
{
    int n = 0;
    if (size <= room) {
        while (n < size) {
            at[n] = n;
            n++;
        }
        return n;
    }
    for (; n < room / 2; n++)
        at[n] = n;
    at[n++] = -1;
    for (int i = room / 2 - 1; i >= 0; i--)
        at[n++] = size - 1 - i;
    return n;
}

static void number(double v, bool whole, char *out, size_t bytes)
{
    if (isnan(v))
        snprintf(out, bytes, "nan");
    else if (whole && fabs(v) < 1e15)
        snprintf(out, bytes, "%.0f", v);
    else if (v != 0 && (fabs(v) < 1e-3 || fabs(v) >= 1e5))
        snprintf(out, bytes, "%.3e", v);
    else
        snprintf(out, bytes, "%.4f", v);
}

/* One row [1, cols] of the tensor seen as a matrix, as doubles. */
static int read_row(struct tensor *t, int64_t row, int64_t cols, double *out)
{
    struct tensor *one = NULL;
    int status;
    if (t->view.dtype == DT_BLOCK) {
        int64_t n = 1;
        int32_t id = (int32_t)row;
        struct tensor *ids = NULL;
        status = tensor_from(t->ctx, DT_I32, 1, &n, &id, &ids);
        if (!status)
            status = tensor_new_2d(t->ctx, t->ctx->compute, 1, cols, &one);
        if (!status)
            status = RUN(t->ctx, embed, .y = one->view, .w = tensor_wview(t), .ids = ids->view);
        tensor_release(ids);
    } else {
        struct view v = t->view;
        int64_t inner = 1;
        while (v.ndim > 1) { /* walk the leading dimensions by the row's number */
            inner = 1;
            for (int i = 1; i + 1 < v.ndim; i++)
                inner *= v.shape[i];
            int64_t at = row / inner;
            row %= inner;
            v = view_slice(v, 0, at, 1);
            for (int i = 0; i + 1 < v.ndim; i++) {
                v.shape[i] = v.shape[i + 1];
                v.stride[i] = v.stride[i + 1];
            }
            v.ndim--;
        }
        status = tensor_view(t, v, &one);
    }
    if (!status)
        status = tensor_read_double(one, out);
    tensor_release(one);
    return status;
}

static int add_corners(luaL_Buffer *b, struct tensor *t)
{
    int64_t cols = t->view.ndim ? t->view.shape[t->view.ndim - 1] : 1;
    int64_t total = tensor_count(t), rows = cols ? total / cols : 0;
    int64_t row_at[CORNER_ROWS + 1], col_at[CORNER_COLS + 1];
    if (!total || cols > 1 << 24)
        return OK;
    int nr = shown(rows, CORNER_ROWS, row_at), nc = shown(cols, CORNER_COLS, col_at);
    bool whole = !dtype_is_float(t->view.dtype) && t->view.dtype != DT_BLOCK;
    const char *gap = bind_terminal.utf8 ? "…" : "..";
    double *values = mem_alloc((size_t)cols * sizeof *values);
    if (!values)
        return ERR_MEMORY;
    int status = OK;
    for (int r = 0; r < nr && !status; r++) {
        if (row_at[r] < 0) {
            add(b, "\n     %s", gap);
            continue;
        }
        status = read_row(t, row_at[r], cols, values);
        luaL_addstring(b, "\n");
        for (int c = 0; c < nc && !status; c++) {
            char text[32];
            if (col_at[c] < 0) {
                add(b, "  %s", gap);
                continue;
            }
            number(values[col_at[c]], whole, text, sizeof text);
            add(b, " %10s", text);
        }
    }
    mem_free(values);
    return status;
}

int tensor_show(struct tensor *t, luaL_Buffer *b)
{
    double s[STATS_FIXED + BINS] = {0};
    TRY(facts(t, s));
    add_facts(b, t, s);
    return add_corners(b, t);
}
