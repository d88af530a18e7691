/* cases_gemm_util.c -- gemm, embed, scatter_add. */
#include "tests/kernels/parity_util.h"
#include "kernels/base/size.h"

static const struct tolerance product = {.ku = 8};

struct gemm_case {
    int64_t m, n, k;
    bool trans_x, trans_w, bias;
    const struct format *f; /* NULL = the rig's own */
    double alpha, beta;
    enum layout layout; /* DENSE or GAPS */
};

static struct wview weight(struct rig *r, const struct gemm_case *c)
{
    int64_t rows = c->trans_w ? c->n : c->k, cols = c->trans_w ? c->k : c->n;
    if (c->f)
        return rig_weight(r, c->f, rows, cols, c->layout == GAPS ? 3 : 0);
    struct tensor w = {"w", REAL, 2, {rows, cols}, c->layout, NORMAL, 0, 0};
    return wview_of(rig_in(r, w));
}

static void gemm(struct rig *r, const void *params)
{
    const struct gemm_case *c = params;
    struct tensor x = {"x", REAL, 2, {c->m, c->k}, c->layout, NORMAL, 0, 0};
    if (c->trans_x)
        x.shape[0] = c->k, x.shape[1] = c->m;
    struct gemm_args a = {.trans_x = c->trans_x, .trans_w = c->trans_w};
    a.alpha = rig_scalar(r, c->alpha);
    a.beta = rig_scalar(r, c->beta);
    a.x = rig_in(r, x);
    a.w = weight(r, c);
    if (c->bias) {
        struct tensor bias = {"bias", REAL, 1, {c->n}, DENSE, NORMAL, 0, 0};
        a.bias = rig_in(r, bias);
        a.epilogue = EPILOGUE_BIAS;
    }
    struct tensor dst = {"dst", REAL, 2, {c->m, c->n}, c->layout, c->beta != 0 ? NORMAL : JUNK,
                         0,     0};
    a.dst = rig_out(r, dst, product);
    RUN(r, gemm, a);
}

static void try_gemm(struct gemm_case c)
{
    parity_case(gemm, &c, "%lldx%lldx%lld%s%s %s%s alpha %g beta %g%s", (long long)c.m,
                (long long)c.n, (long long)c.k, c.trans_x ? " x^T" : "", c.trans_w ? " w^T" : "",
                c.f ? c.f->name : "plain", c.layout == GAPS ? " gaps" : "", c.alpha, c.beta,
                c.bias ? " bias" : "");
}

/* The three products of training, and the fourth for completeness, on odd sizes. */
static void gemm_shapes(void)
{
    static const int64_t shapes[][3] = {
        {0, 5, 7},   {5, 0, 7},   {5, 7, 0},   {1, 1, 1},    {1, 65, 33},  {2, 3, 5},
        {3, 2, 129}, {7, 31, 64}, {33, 16, 2}, {31, 33, 65}, {64, 64, 64}, {13, 97, 127},
        {65, 1, 63}, {1, 1, 257}, {9, 129, 3}, {6, 32, 32},  {12, 48, 96}, {97, 101, 37},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 4; t++) {
            struct gemm_case c = {
                shapes[i][0], shapes[i][1], shapes[i][2], t & 1, t >> 1, false, NULL, 1, 0, DENSE};
            try_gemm(c);
            c.alpha = -0.5, c.beta = 0.75, c.layout = GAPS;
            try_gemm(c);
            c.beta = 1, c.bias = true;
            try_gemm(c);
        }
    for (int t = 0; t < 4; t++) /* longer than any blocking of K, M, N that fits a cache */
        for (int i = 0; i < 4; i++) {
            static const int64_t large[][3] = {
                {5, 40, 1100}, {1, 300, 600}, {150, 70, 300}, {20, 600, 33}};
            try_gemm((struct gemm_case){large[i][0], large[i][1], large[i][2], t & 1, t >> 1, false,
                                        NULL, 1, 0, DENSE});
        }
}

/* With the stored rows rounded up to whole blocks. */
static void try_whole(struct gemm_case c)
{
    int64_t *row = c.trans_w ? &c.k : &c.n;
    *row = (*row + c.f->block - 1) / c.f->block * c.f->block;
    try_gemm(c);
}

static void gemm_formats(void)
{
    for (int f = 0; f < formats_count; f++) {
        if (formats[f].dtype == DT_F64) /* refused on cpu */
            continue;
        static const int64_t shapes[][3] = {{1, 32, 64}, {3, 64, 96},   {17, 32, 32}, {5, 0, 32},
                                            {2, 96, 0},  {40, 160, 64}, {1, 64, 288}, {8, 32, 576}};
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int t = 0; t < 4; t++)
                try_whole((struct gemm_case){shapes[i][0], shapes[i][1], shapes[i][2], t & 1,
                                             t >> 1, i % 2, &formats[f], i % 3 ? 1 : 0.5,
                                             i % 4 ? 0 : 1, i % 2 ? GAPS : DENSE});
        for (int64_t m = 1; m < 6; m++) { /* few rows, as in decoding */
            try_whole(
                (struct gemm_case){m, 65, 1536, false, true, m == 2, &formats[f], 1, 0, DENSE});
            try_whole((struct gemm_case){m, 200, 96, false, true, false, &formats[f], 2, 1, DENSE});
        }
        if (formats[f].block > 1) /* only the contiguous side must be whole blocks */
            for (int64_t m = 1; m < 20; m += 6) {
                try_whole(
                    (struct gemm_case){m, 33, 64, false, true, false, &formats[f], 1, 0, DENSE});
                try_whole(
                    (struct gemm_case){m, 64, 33, false, false, false, &formats[f], 1, 0, DENSE});
            }
    }
}

/* Large enough to be cut into many pieces of work. */
static void gemm_large(void)
{
    const struct format *q4_1 = format_by_name("q4_1");
    try_gemm((struct gemm_case){300, 512, 256, false, true, false, q4_1, 1, 0, DENSE});
    try_gemm((struct gemm_case){300, 512, 260, true, false, false, NULL, 1, 1, GAPS});
    try_gemm((struct gemm_case){2, 4000, 576, false, true, false, q4_1, 1, 0, DENSE});
    try_gemm((struct gemm_case){8, 576, 1536, false, false, false, q4_1, 1, 1, DENSE});
    /* blocks of 256 cut by blocks of k, and where x^T is turned piece by piece */
    const struct format *q4_k = format_by_name("q4_k"), *q6_k = format_by_name("q6_k");
    try_gemm((struct gemm_case){70, 65, 1280, false, true, true, q6_k, 1, 0, DENSE});
    try_gemm((struct gemm_case){60, 40, 4096, true, true, false, q4_k, 1, 1, DENSE});
    try_gemm((struct gemm_case){40, 768, 65, false, false, false, q6_k, 1, 0, DENSE});
}

static void gemm_cases(void)
{
    parity_begin("gemm");
    gemm_shapes();
    gemm_formats();
    gemm_large();
    parity_end();
}

/* --- embed, scatter_add ---------------------------------------------------------------------- */

struct rows_case {
    int64_t n, rows, cols;
    const struct format *f;
    enum layout layout;
    double low, high; /* of ids */
};

static void embed(struct rig *r, const void *params)
{
    const struct rows_case *c = params;
    struct tensor ids = {"ids", DT_I32, 1,      {c->n}, c->layout == GAPS ? SPARSE : DENSE,
                         WHOLE, c->low, c->high};
    struct embed_args a = {.ids = rig_in(r, ids)};
    a.w = rig_weight(r, c->f, c->rows, c->cols, c->layout == GAPS ? 3 : 0);
    struct tensor y = {"y", REAL, 2, {c->n, c->cols}, c->layout, JUNK, 0, 0};
    a.y = rig_out(r, y, (struct tolerance){0});
    RUN(r, embed, a);
}

static void embed_cases(void)
{
    parity_begin("embed");
    for (int f = 0; f < formats_count; f++)
        for (int i = 0; i < PARITY_SIZES && formats[f].dtype != DT_F64; i++) {
            int64_t cols = parity_sizes[PARITY_SIZES - 1 - i];
            if (formats[f].block > 1)
                cols = cols / 8 * i64_max(32, formats[f].block / 8);
            cols = cols / formats[f].block * formats[f].block;
            struct rows_case c = {parity_sizes[i],      17, cols, &formats[f],
                                  i % 2 ? GAPS : DENSE, 0,  17};
            parity_case(embed, &c, "%s %lld of %lld", formats[f].name, (long long)c.n,
                        (long long)cols);
            c.low = -3, c.high = 20; /* outside: NaN rows, on every device but in absolute values */
            parity_case(embed, &c, "%s %lld of %lld, some outside", formats[f].name, (long long)c.n,
                        (long long)cols);
        }
    parity_end();
}

static void scatter_add(struct rig *r, const void *params)
{
    const struct rows_case *c = params;
    /* the absolute run must go to the same rows, so ids are not drawn negative there */
    int32_t ids[300];
    for (int64_t i = 0; i < c->n; i++)
        ids[i] = (int32_t)(c->low + (double)((i * 7919) % 1000) / 1000 * (c->high - c->low));
    struct scatter_add_args a = {.ids = rig_ints(r, "ids", ids, c->n)};
    struct tensor x = {"x", REAL, 2, {c->n, c->cols}, c->layout, NORMAL, 0, 0};
    struct tensor y = {"y", REAL, 2, {c->rows, c->cols}, c->layout, NORMAL, 0, 0};
    a.x = rig_in(r, x);
    a.y = rig_out(r, y, product);
    RUN(r, scatter_add, a);
}

static void scatter_add_cases(void)
{
    parity_begin("scatter_add");
    for (int i = 0; i < PARITY_SIZES; i++)
        for (int l = DENSE; l <= GAPS; l++) {
            struct rows_case c = {
                parity_sizes[i], 11, parity_sizes[PARITY_SIZES - 1 - i], NULL, l, 0, 11};
            parity_case(scatter_add, &c, "%lld rows, layout %d", (long long)c.n, l);
            c.low = -2, c.high = 14;
            parity_case(scatter_add, &c, "%lld rows, layout %d, some outside", (long long)c.n, l);
        }
    parity_end();
}

const struct parity_test cases_gemm[] = {
    {"gemm", gemm_cases}, {"embed", embed_cases}, {"scatter_add", scatter_add_cases}, {NULL, NULL}};
