/* gemm.c -- the matrix product of the cpu device.
 *
 * Three ways, chosen by shape and formats alone:
 *   packed   strips of 32 columns of op(w) are unpacked, a block of k at a time, into a buffer of
 *            the worker that claimed the strip; register tiles then run over all rows of x, which
 *            is read where it lies. Nothing is packed twice but the last strips, which are cut by
 *            rows as well so that the threads end together, and no item waits for another.
 *            x^T, and x whose rows crowd in the caches, is first turned into compact rows, two MiB
 *            at a time.
 *   swapped  x^T times a narrow w (the gradient of an adapter's B) as the transposed product, so
 *            that vectors run along x.
 *   few rows (gemm_small.c) x of a dozen rows at most times w^T, without packing.
 * The sum of an element runs over k in order, in blocks that depend on K alone. */
#include "kernels/cpu/gemm.h"
#include "kernels/base/size.h"
#include "kernels/cpu/gemm_tile.h"

/* [vectors - 1][rows - 1] */
static tile_fn *const tiles[2][12] = {
#define TILE_ENTRY(rows, vectors) [vectors - 1][rows - 1] = tile_##rows##x##vectors,
    TILES(TILE_ENTRY)};

#define K_BLOCK 576     /* steps of a block: a packed panel stays in the first cache */
#define ROW_BLOCK 96    /* rows of x that stay in the second cache for all panels of a strip */
#define SPLIT_STRIPS 16 /* fewer strips than this: all are cut by rows */
#define SPLIT_LAST 4    /* else only the last few */
#define SPLIT_ROWS 64   /* a part has no fewer rows */
#define FETCH_STEPS 4   /* a line is fetched every so many steps at most */
#define TURNED_BYTES (2 << 20) /* room for turned rows of x, */
#define TURNED_ROWS 1020       /* so many at a time */
#define SWAP_COLS 32           /* widest w of a swapped product */
#define SWAP_BYTES (4 << 20)   /* room for its result */

/* One packed product over rows of x that can be read in place. */
struct job {
    const struct product *p;
    int64_t step, blocks;         /* of k */
    int64_t whole, parts, strips; /* items: strips that are whole, then strips of 'parts' each */
    int threads;
    char *scratch; /* of worker 0 */
    struct unpack unpack;
};

/* A piece of stored w that will be packed next, as runs of lines: it is fetched by and by while the
 * tiles of this one run. */
struct ahead {
    const uint8_t *start;                    /* of the first run */
    int64_t run_stride, runs, stride, lines; /* of a run: bytes between lines, how many */
    int64_t at;                              /* line of this run to fetch next */
    int64_t every, tile_lines;               /* steps from line to line, lines of a tile */
};

/* What a worker needs; the buffers of two workers share no cache line. */
struct buffers {
    _Alignas(64) float panels[STRIP * K_BLOCK];
    float bias[STRIP];
};

static int64_t blocks_of(int64_t k)
{
    return k > 0 ? (k + K_BLOCK - 1) / K_BLOCK : 1;
}

static int64_t step_of(int64_t k)
{
    return ((k + blocks_of(k) - 1) / blocks_of(k) + BLOCK - 1) / BLOCK * BLOCK;
}

/* The piece of w that block 'block' of the strip at 'col' packs. */
static struct pack piece(const struct job *j, int64_t col, int64_t block)
{
    const struct product *p = j->p;
    return (struct pack){.w = &p->w,
                         .unpack = j->unpack,
                         .trans_w = p->trans_w,
                         .col = col,
                         .k = block * j->step,
                         .cols = (int)i64_min(STRIP, p->n - col),
                         .steps = i64_max(0, i64_min(j->step, p->k - block * j->step))};
}

static struct ahead ahead_of(const struct pack *p, int64_t steps, int64_t tiles_to_come)
{
    const struct format *f = p->w->format;
    int64_t rows = p->trans_w ? p->cols : p->steps, cols = p->trans_w ? p->steps : p->cols;
    int64_t row_stride = p->w->row_stride / f->block * f->block_bytes;
    int64_t row_lines = (cols / f->block * f->block_bytes + 63) / 64;
    struct ahead a = {.start = p->trans_w ? weight_at(p->w, p->col, p->k)
                                          : weight_at(p->w, p->k, p->col)};
    /* runs along the longer side */
    bool along = row_lines > rows;
    a.stride = along ? 64 : row_stride;
    a.run_stride = along ? row_stride : 64;
    a.lines = along ? row_lines : rows;
    a.runs = along ? rows : row_lines;
    int64_t share = (a.lines * a.runs + tiles_to_come - 1) / tiles_to_come;
    a.every = i64_max(FETCH_STEPS, steps / i64_max(1, share));
    a.tile_lines = (steps + a.every - 1) / a.every;
    return a;
}

/* Gives the tile its share of what is to be fetched. */
static void fetch_ahead(struct tile *t, struct ahead *a)
{
    t->fetch = (const uint8_t *)t->x;
    t->fetch_stride = 0;
    t->fetch_steps = 64;
    if (a->runs <= 0)
        return;
    t->fetch = a->start + a->at * a->stride;
    t->fetch_stride = a->stride;
    t->fetch_steps = a->every;
    a->at += a->tile_lines;
    if (a->at >= a->lines) {
        a->at = 0;
        a->start += a->run_stride;
        a->runs--;
    }
}

static int64_t stripes_of(int64_t rows, int width)
{
    int64_t most = width == VF_LANES ? TILE_ROWS_NARROW : TILE_ROWS;
    return (rows + most - 1) / most;
}

/* Rows m0..m1 of x times one panel. Stripes of nearly equal height: a low one wastes time. */
static void run_panel(struct tile t, int width, int64_t m0, int64_t m1, const struct product *p,
                      struct ahead *ahead)
{
    int64_t rows = m1 - m0, stripes = stripes_of(rows, width);
    int64_t height = rows / stripes, higher = rows % stripes; /* so many are one row higher */
    t.x += m0 * p->xr;
    t.c += m0 * p->dst_stride;
    for (int64_t s = 0; s < stripes; s++) {
        int64_t here = height + (s < higher);
        fetch_ahead(&t, ahead);
        tiles[width / VF_LANES - 1][here - 1](&t);
        t.x += here * p->xr;
        t.c += here * p->dst_stride;
    }
}

/* May tiles read w where it lies? When it pays: the rows are compact, or few rows of x use them. */
static bool direct(const struct product *p, int cols, int64_t rows)
{
    return p->w.format->dtype == DT_F32 && !p->trans_w && cols % VF_LANES == 0 &&
           (p->w.row_stride <= STRIP || rows <= 2 * TILE_ROWS);
}

/* Rows m0..m1 of the piece of w in 'pack'; 'next' will follow. */
static void run_block(const struct job *j, struct buffers *b, const struct pack *pack, int64_t m0,
                      int64_t m1, const struct pack *next)
{
    const struct product *p = j->p;
    int cols = pack->cols;
    bool packed = !direct(p, cols, m1 - m0), last = pack->k + j->step >= p->k;
    struct ahead ahead = {0};
    if (next)
        ahead = ahead_of(next, pack->steps,
                         stripes_of(m1 - m0, TILE_COLS) * ((cols + TILE_COLS - 1) / TILE_COLS));
    if (packed)
        CPU(pack_strip)(pack, b->panels);
    for (int64_t from = m0; from < m1; from += ROW_BLOCK) {
        for (int at = 0; at < cols; at += TILE_COLS) {
            int width = panel_width(at, cols);
            struct tile t = {.k = pack->steps,
                             .x = p->x + pack->k * p->xk,
                             .xr = p->xr,
                             .xk = p->xk,
                             .w = b->panels + at * pack->steps,
                             .wk = width,
                             .c = p->dst + pack->col + at,
                             .cr = p->dst_stride,
                             .cols = (int)i64_min(width, cols - at),
                             .alpha = p->alpha,
                             .beta = pack->k == 0 ? p->beta : 1,
                             .bias = p->bias.data && last ? b->bias + at : NULL};
            if (!packed) {
                t.w = (const float *)weight_at(&p->w, pack->k, pack->col + at);
                t.wk = p->w.row_stride;
            }
            run_panel(t, width, from, i64_min(from + ROW_BLOCK, m1), p, &ahead);
        }
    }
}

/* What item i is: a strip, or one of the parts into which its rows are cut. */
static int64_t strip_of(const struct job *j, int64_t i, int64_t *part, int64_t *parts)
{
    *part = 0;
    *parts = 1;
    if (i < j->whole)
        return i;
    *part = (i - j->whole) % j->parts;
    *parts = j->parts;
    return j->whole + (i - j->whole) / j->parts;
}

static void run_item(void *ctx, int64_t i, int worker)
{
    const struct job *j = ctx;
    const struct product *p = j->p;
    struct buffers *b = (struct buffers *)j->scratch + worker;
    int64_t part, parts, other, strip = strip_of(j, i, &part, &parts), col = strip * STRIP;
    /* most likely the worker's next item */
    int64_t next_strip = strip_of(j, i + j->threads, &other, &other);
    const float *bias = p->bias.data;
    for (int64_t c = 0; bias && c < STRIP && col + c < p->n; c++)
        b->bias[c] = bias[(col + c) * p->bias.stride[0]];
    struct pack now = piece(j, col, 0);
    for (int64_t block = 0; block < j->blocks; block++) {
        bool more = block + 1 < j->blocks || next_strip < j->strips, end = block + 1 == j->blocks;
        struct pack next = now;
        if (more)
            next = piece(j, end ? next_strip * STRIP : col, end ? 0 : block + 1);
        run_block(j, b, &now, p->m * part / parts, p->m * (part + 1) / parts, more ? &next : NULL);
        now = next;
    }
}

static void run_packed(struct device *d, const struct product *p, void *scratch)
{
    struct job j = {.p = p,
                    .step = step_of(p->k),
                    .blocks = blocks_of(p->k),
                    .strips = (p->n + STRIP - 1) / STRIP,
                    .threads = pool_threads(d->pool),
                    .scratch = scratch,
                    .unpack = CPU(unpack_of)(p->w.format)};
    int64_t split = j.strips < SPLIT_STRIPS ? j.strips : SPLIT_LAST;
    j.whole = j.strips - split;
    j.parts = i64_max(1, i64_min(p->m / SPLIT_ROWS, (SPLIT_STRIPS + split - 1) / split));
    pool_run(d->pool, j.whole + split * j.parts, run_item, &j);
}

/* --- x turned ------------------------------------------------------------------------------- */

/* Brings rows of x, or columns of x^T, into compact rows: item i is TURN of them. */
#define TURN 32
struct turn {
    const float *x;
    int64_t xr, xk, steps, rows;
    float *out;
    int64_t out_stride;
};

static void turn_item(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct turn *t = ctx;
    int64_t from = i * TURN, rows = i64_min(TURN, t->rows - from);
    const float *x = t->x + from * t->xr;
    float *out = t->out + from * t->out_stride;
    if (t->xk == 1)
        for (int64_t r = 0; r < rows; r++)
            memcpy(out + r * t->out_stride, x + r * t->xr, (size_t)t->steps * sizeof(float));
    else
        CPU(transpose)(t->steps, rows, x, t->xk, out, t->out_stride);
}

static int64_t turned_rows(const struct product *p)
{
    return p->m <= TURNED_ROWS ? p->m : TURNED_ROWS;
}

/* Steps of x that are turned at once: whole blocks of k. */
static int64_t turned_steps(const struct product *p)
{
    int64_t step = step_of(p->k), most = TURNED_BYTES / 4 / turned_rows(p) / step * step;
    int64_t steps = i64_max(step, most), stored = p->w.format->block;
    if (p->trans_w && stored > BLOCK) /* w is cut there: between its blocks */
        steps = i64_max(stored, steps / stored * stored);
    return i64_min(p->k, steps);
}

/* Floats from one turned row to the next: an odd number of lines, so that they spread. */
static int64_t turned_stride(int64_t steps)
{
    return ((steps + 15) / 16 | 1) * 16;
}

/* Rows that lie a multiple of a page apart fall into the same few places of the caches and push
 * each other out; long ones (the gradient of logits) are worth a copy. */
static bool crowded(const struct product *p)
{
    return p->xr * (int64_t)sizeof(float) % 4096 == 0 && p->m > 2 * TILE_ROWS && p->k >= K_BLOCK &&
           p->n >= 8 * STRIP;
}

/* x^T is read in place when it is so narrow that a step of it lies in a line. */
static bool in_place(const struct product *p)
{
    return p->k == 0 || (p->xk == 1 ? !crowded(p) : p->xk <= 16);
}

static void run_turned(struct device *d, const struct product *whole, char *scratch, float *turned)
{
    int64_t steps = turned_steps(whole), rows = turned_rows(whole);
    for (int64_t m = 0; m < whole->m; m += rows) {
        for (int64_t k = 0; k < whole->k; k += steps) {
            struct product p = *whole;
            p.m = i64_min(rows, whole->m - m);
            p.k = i64_min(steps, whole->k - k);
            const float *x = whole->x + m * whole->xr + k * whole->xk;
            struct turn t = {x, whole->xr, whole->xk, p.k, p.m, turned, turned_stride(p.k)};
            pool_run(d->pool, (p.m + TURN - 1) / TURN, turn_item, &t);
            p.x = turned;
            p.xr = t.out_stride;
            p.xk = 1;
            p.dst += m * p.dst_stride;
            p.beta = k == 0 ? whole->beta : 1;
            if (k + steps < whole->k)
                p.bias.data = NULL;
            /* the rows of w that belong to these steps */
            p.w.data = p.trans_w ? weight_at(&whole->w, 0, k) : weight_at(&whole->w, k, 0);
            run_packed(d, &p, scratch);
        }
    }
}

/* --- swapped -------------------------------------------------------------------------------- */

static bool swapped(const struct product *p)
{
    return p->xr == 1 && p->xk != 1 && !p->trans_w && p->w.format->dtype == DT_F32 &&
           p->n <= SWAP_COLS && p->m > p->n && p->n * p->m <= SWAP_BYTES / 4 && p->k > 0;
}

struct finish {
    const struct product *p;
    const float *turned; /* [n, m] */
};

#define FINISH_ROWS 256
static void finish_item(void *ctx, int64_t i, int worker)
{
    (void)worker;
    const struct finish *f = ctx;
    const struct product *p = f->p;
    const float *bias = p->bias.data;
    for (int64_t m = i * FINISH_ROWS; m < p->m && m < (i + 1) * FINISH_ROWS; m++) {
        float *c = p->dst + m * p->dst_stride;
        for (int64_t n = 0; n < p->n; n++) {
            float sum = f->turned[n * p->m + m] * p->alpha;
            if (p->beta != 0)
                sum = sum + p->beta * c[n];
            c[n] = bias ? sum + bias[n * p->bias.stride[0]] : sum;
        }
    }
}

static void run_swapped(struct device *d, const struct product *p, char *scratch, float *turned)
{
    struct product s = {.m = p->n,
                        .n = p->m,
                        .k = p->k,
                        .x = p->w.data,
                        .xr = 1,
                        .xk = p->w.row_stride,
                        .w = wview_of(view_2d((void *)p->x, DT_F32, p->k, p->m)),
                        .dst = turned,
                        .dst_stride = p->m,
                        .alpha = 1};
    s.w.row_stride = p->xk;
    run_packed(d, &s, scratch);
    struct finish f = {p, turned};
    pool_run(d->pool, (p->m + FINISH_ROWS - 1) / FINISH_ROWS, finish_item, &f);
}

/* --- the operation -------------------------------------------------------------------------- */

static struct product product_of(const struct gemm_args *a)
{
    struct product p = {.m = a->dst.shape[0],
                        .n = a->dst.shape[1],
                        .k = a->trans_w ? a->w.cols : a->w.rows,
                        .x = a->x.data,
                        .xr = a->trans_x ? 1 : a->x.stride[0],
                        .xk = a->trans_x ? a->x.stride[0] : 1,
                        .w = a->w,
                        .trans_w = a->trans_w,
                        .dst = a->dst.data,
                        .dst_stride = a->dst.stride[0],
                        .alpha = (float)a->alpha,
                        .beta = (float)a->beta};
    if (a->epilogue == EPILOGUE_BIAS)
        p.bias = a->bias;
    return p;
}

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t CPU(gemm_workspace)(struct device *d, const struct gemm_args *a)
{
    struct product p = product_of(a);
    if (p.m == 0 || p.n == 0)
        return 0;
    size_t threads = (size_t)pool_threads(d->pool);
    if (CPU(gemm_is_small)(&p))
        return CPU(gemm_small_workspace)(d, &p);
    size_t bytes = lines(threads * sizeof(struct buffers));
    if (swapped(&p))
        bytes += (size_t)(p.n * p.m) * sizeof(float);
    else if (!in_place(&p))
        bytes += (size_t)(turned_rows(&p) * turned_stride(turned_steps(&p))) * sizeof(float);
    return bytes;
}

void CPU(gemm)(struct device *d, const struct gemm_args *a)
{
    struct product p = product_of(a);
    if (p.m == 0 || p.n == 0)
        return;
    char *scratch = a->work.data;
    float *more =
        (float *)(scratch + lines((size_t)pool_threads(d->pool) * sizeof(struct buffers)));
    if (CPU(gemm_is_small)(&p))
        CPU(gemm_small)(d, &p, scratch);
    else if (swapped(&p))
        run_swapped(d, &p, scratch, more);
    else if (in_place(&p))
        run_packed(d, &p, scratch);
    else
        run_turned(d, &p, scratch, more);
}
