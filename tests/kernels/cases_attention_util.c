/* cases_attention_util.c -- attention and its gradient. */
#include "kernels/ref/ref.h"
#include "tests/kernels/parity_util.h"

#include <math.h>

#define MAX_SEQS 6

struct attention_case {
    const char *name;
    int seqs;
    int32_t nq[MAX_SEQS], nk[MAX_SEQS];
    int32_t room[MAX_SEQS]; /* rows behind a sequence's keys that are not in use: wants k_len */
    int64_t q_heads, k_heads, width;
    int64_t window, page_rows;
    double softcap;
    bool causal, slopes, k_len, lse;
    bool fused;      /* q, k, v are windows of one [T, (Hq + 2 Hk) * D] buffer; wants nq = nk */
    double size;     /* of q and k; 0 = 1 */
    int32_t outside; /* rows before and after those of all sequences */
};

/* Row starts and the like, from the lengths. */
struct layout_of {
    int32_t q_start[MAX_SEQS + 1], k_start[MAX_SEQS + 1], pages[MAX_SEQS * 512];
    int64_t q_rows, k_rows, max_q, max_k, max_pages;
};

static struct layout_of lay_out(const struct attention_case *c)
{
    struct layout_of l = {.max_pages = 1};
    l.q_start[0] = l.k_start[0] = c->outside;
    for (int s = 0; s < c->seqs; s++) {
        l.q_start[s + 1] = l.q_start[s] + c->nq[s];
        l.k_start[s + 1] = l.k_start[s] + c->nk[s] + c->room[s];
        l.max_q = c->nq[s] > l.max_q ? c->nq[s] : l.max_q;
        l.max_k = c->nk[s] > l.max_k ? c->nk[s] : l.max_k;
    }
    l.q_rows = l.q_start[c->seqs] + c->outside;
    l.k_rows = l.k_start[c->seqs] + c->outside;
    if (c->page_rows) { /* pages dealt out round robin from the end: neighbours lie far apart */
        l.max_pages = l.max_k / c->page_rows + 1;
        int64_t pages = l.max_pages * c->seqs;
        l.k_rows = pages * c->page_rows;
        for (int64_t p = 0; p < pages; p++)
            l.pages[p] = (int32_t)(pages - 1 - (p * 7) % pages);
        if (pages % 7 == 0)
            for (int64_t p = 0; p < pages; p++)
                l.pages[p] = (int32_t)(pages - 1 - p);
    }
    return l;
}

static struct tensor heads(const char *name, int64_t rows, int64_t n, int64_t width, enum fill fill,
                           double size)
{
    return (struct tensor){name, REAL, 3, {rows, n, width}, DENSE, fill, -1.7 * size, 1.7 * size};
}

/* q, k, v: apart, or as three windows of one buffer. */
static void inputs(struct rig *r, const struct attention_case *c, const struct layout_of *l,
                   struct view *q, struct view *k, struct view *v)
{
    double size = c->size > 0 ? c->size : 1;
    if (!c->fused) {
        *q = rig_in(r, heads("q", l->q_rows, c->q_heads, c->width, UNIFORM, size));
        *k = rig_in(r, heads("k", l->k_rows, c->k_heads, c->width, UNIFORM, size));
        *v = rig_in(r, heads("v", l->k_rows, c->k_heads, c->width, UNIFORM, 1));
        return;
    }
    struct view all =
        rig_in(r, heads("qkv", l->q_rows, c->q_heads + 2 * c->k_heads, c->width, UNIFORM, size));
    *q = view_slice(all, 1, 0, c->q_heads);
    *k = view_slice(all, 1, c->q_heads, c->k_heads);
    *v = view_slice(all, 1, c->q_heads + c->k_heads, c->k_heads);
}

static void starts(struct rig *r, const struct attention_case *c, const struct layout_of *l,
                   struct view *q_start, struct view *k_start, struct view *slopes)
{
    *q_start = rig_ints(r, "q_start", l->q_start, c->seqs + 1);
    *k_start = rig_ints(r, "k_start", l->k_start, c->seqs + 1);
    if (c->slopes) {
        struct tensor t = {"slopes", REAL, 1, {c->q_heads}, DENSE, UNIFORM, 0, 0.5};
        *slopes = rig_in(r, t);
    }
}

static void attention(struct rig *r, const void *params)
{
    const struct attention_case *c = params;
    struct layout_of l = lay_out(c);
    struct attention_args a = {.scale = 1 / sqrt((double)c->width)};
    inputs(r, c, &l, &a.q, &a.k, &a.v);
    starts(r, c, &l, &a.q_start, &a.k_start, &a.slopes);
    if (c->k_len)
        a.k_len = rig_ints(r, "k_len", c->nk, c->seqs);
    if (c->page_rows) {
        a.pages = rig_ints(r, "pages", l.pages, c->seqs * l.max_pages);
        a.pages = view_2d(a.pages.data, DT_I32, c->seqs, l.max_pages);
        a.page_rows = c->page_rows;
        a.k_start = (struct view){0};
    }
    a.max_q = l.max_q, a.max_k = l.max_k;
    a.window = c->window, a.softcap = c->softcap, a.causal = c->causal;
    a.out = rig_out(r, heads("out", l.q_rows, c->q_heads, c->width, JUNK, 1),
                    (struct tolerance){.l2 = 1e-6, .l2_least = 0.01});
    if (c->lse) {
        struct tensor t = {"lse", REAL, 2, {c->q_heads, l.q_rows}, DENSE, JUNK, 0, 0};
        double size = c->size > 0 ? c->size : 1;
        a.lse =
            rig_out(r, t, (struct tolerance){.ulp = 8, .least = 16 * UNIT * (4 + 4 * size * size)});
    }
    RUN(r, attention, a);
}

/* With the device's own saved out and lse, as in training. */
static void attention_grad(struct rig *r, const void *params)
{
    const struct attention_case *c = params;
    /* with one key each the gradients of q and k cancel to 0: what is left is rounding of terms of
     * size 1 and more */
    struct tolerance near = {.l2 = 1e-6, .l2_least = c->window == 1 ? 1 : 0.1};
    struct layout_of l = lay_out(c);
    struct attention_grad_args a = {.scale = 1 / sqrt((double)c->width)};
    inputs(r, c, &l, &a.q, &a.k, &a.v);
    starts(r, c, &l, &a.q_start, &a.k_start, &a.slopes);
    a.max_q = l.max_q, a.max_k = l.max_k;
    a.window = c->window, a.softcap = c->softcap, a.causal = c->causal;
    a.dout = rig_in(r, heads("dout", l.q_rows, c->q_heads, c->width, NORMAL, 1));
    a.out = rig_out(r, heads("out", l.q_rows, c->q_heads, c->width, JUNK, 1),
                    (struct tolerance){.l2 = 1e-6, .l2_least = 0.01});
    struct tensor t = {"lse", REAL, 2, {c->q_heads, l.q_rows}, DENSE, JUNK, 0, 0};
    a.lse = rig_out(r, t, (struct tolerance){.ulp = 16, .least = 100 * UNIT});
    struct attention_args f = {.q = a.q,
                               .k = a.k,
                               .v = a.v,
                               .q_start = a.q_start,
                               .k_start = a.k_start,
                               .slopes = a.slopes,
                               .max_q = a.max_q,
                               .max_k = a.max_k,
                               .window = a.window,
                               .scale = a.scale,
                               .softcap = a.softcap,
                               .causal = a.causal,
                               .out = a.out,
                               .lse = a.lse};
    RUN(r, attention, f);
    a.dq = rig_out(r, heads("dq", l.q_rows, c->q_heads, c->width, JUNK, 1), near);
    a.dk = rig_out(r, heads("dk", l.k_rows, c->k_heads, c->width, JUNK, 1), near);
    a.dv = rig_out(r, heads("dv", l.k_rows, c->k_heads, c->width, JUNK, 1), near);
    RUN(r, attention_grad, a);
}

/* --- the cases ------------------------------------------------------------------------------- */

static const struct attention_case both[] = {
    {"one token", 1, {1}, {1}, {0}, 1, 1, 8, .causal = true, .lse = true},
    {"nothing", 1, {0}, {0}, {0}, 2, 1, 8, .causal = true, .lse = true},
    {"no sequence", 0, {0}, {0}, {0}, 2, 1, 8, .causal = true, .lse = true},
    {"causal 33", 1, {33}, {33}, {0}, 2, 2, 16, .causal = true, .lse = true},
    {"causal 130", 1, {130}, {130}, {0}, 3, 1, 64, .causal = true, .lse = true},
    {"full 65", 1, {65}, {65}, {0}, 2, 1, 32, .lse = true},
    {"full, lengths differ", 2, {31, 5}, {7, 66}, {0}, 2, 2, 16, .lse = true},
    {"packed", 5, {3, 1, 31, 64, 2}, {3, 1, 31, 64, 2}, {0}, 4, 2, 16, .causal = true, .lse = true},
    {"packed, an empty one", 3, {3, 0, 5}, {3, 0, 5}, {0}, 4, 4, 8, .causal = true, .lse = true},
    {"more keys", 2, {5, 33}, {64, 65}, {0}, 2, 1, 16, .causal = true, .lse = true},
    {"more queries", 2, {9, 33}, {4, 1}, {0}, 2, 1, 16, .causal = true, .lse = true},
    {"no keys", 2, {3, 4}, {0, 4}, {0}, 2, 1, 16, .causal = true, .lse = true},
    {"no keys, full", 2, {3, 4}, {0, 4}, {0}, 2, 1, 16, .lse = true},
    {"no queries", 2, {0, 4}, {5, 4}, {0}, 2, 1, 16, .causal = true, .lse = true},
    {"window 1", 1, {33}, {33}, {0}, 2, 1, 16, 1, .causal = true, .lse = true},
    {"window 7", 2, {65, 12}, {65, 40}, {0}, 4, 2, 16, 7, .causal = true, .lse = true},
    {"window 64", 1, {129}, {129}, {0}, 1, 1, 32, 64, .causal = true, .lse = true},
    {"window wide", 1, {20}, {20}, {0}, 1, 1, 32, 64, .causal = true, .lse = true},
    {"soft cap", 2, {33, 5}, {33, 9}, {0}, 2, 1, 16, .softcap = 3, .causal = true, .lse = true},
    {"soft cap, large",
     1,
     {40},
     {40},
     {0},
     2,
     1,
     16,
     .softcap = 5,
     .causal = true,
     .lse = true,
     .size = 3},
    {"slopes", 2, {33, 5}, {33, 9}, {0}, 4, 2, 16, .slopes = true, .causal = true, .lse = true},
    {"slopes, full", 1, {33}, {20}, {0}, 4, 2, 16, .slopes = true, .lse = true},
    {"all of it",
     3,
     {33, 5, 1},
     {33, 70, 64},
     {0},
     6,
     2,
     40,
     20,
     .softcap = 8,
     .slopes = true,
     .causal = true,
     .lse = true},
    {"9 heads on 3, width 64", 2, {23, 40}, {23, 40}, {0}, 9, 3, 64, .causal = true, .lse = true},
    {"odd width", 1, {17}, {17}, {0}, 2, 1, 5, .causal = true, .lse = true},
    {"width 1", 1, {17}, {17}, {0}, 2, 1, 1, .causal = true, .lse = true},
    {"width 128", 1, {35}, {35}, {0}, 2, 1, 128, .causal = true, .lse = true},
    {"width 80", 1, {35}, {35}, {0}, 2, 1, 80, .causal = true, .lse = true},
    {"one buffer",
     2,
     {33, 18},
     {33, 18},
     {0},
     4,
     2,
     16,
     .causal = true,
     .lse = true,
     .fused = true},
    {"257", 1, {257}, {257}, {0}, 2, 1, 16, .causal = true, .lse = true},
    {"rows outside", 2, {5, 20}, {5, 30}, {0}, 4, 2, 16, .causal = true, .lse = true, .outside = 3},
    {"two long, window", 2, {150, 200}, {150, 230}, {0}, 2, 1, 16, 70, .causal = true, .lse = true},
    {"200 heads on one", 1, {3}, {5}, {0}, 200, 1, 4, .causal = true, .lse = true},
    {"large scores", 1, {40}, {40}, {0}, 2, 1, 16, .causal = true, .lse = true, .size = 2},
};

static const struct attention_case forward_only[] = {
    {"no lse", 2, {33, 5}, {33, 9}, {0}, 2, 1, 16, .causal = true},
    {"decode",
     4,
     {1, 1, 1, 1},
     {64, 1, 33, 129},
     {7, 20, 0, 1},
     4,
     2,
     64,
     .causal = true,
     .k_len = true},
    {"decode, grouped",
     2,
     {1, 1},
     {300, 65},
     {0, 3},
     9,
     3,
     64,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"long decode",
     4,
     {1, 1, 1, 1},
     {1000, 257, 512, 513},
     {3, 0, 0, 1},
     4,
     2,
     32,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"long decode, window",
     4,
     {1, 1, 1, 1},
     {1000, 257, 30, 769},
     {0},
     4,
     1,
     32,
     100,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"long decode, all of it",
     3,
     {1, 1, 1},
     {1000, 300, 5},
     {0},
     6,
     2,
     24,
     600,
     16,
     .softcap = 5,
     .slopes = true,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"long decode, one idle",
     3,
     {1, 0, 1},
     {600, 300, 0},
     {0},
     4,
     2,
     32,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"long, full", 2, {1, 1}, {700, 20}, {0}, 3, 3, 16, .lse = true},
    {"decode, 20 heads on one, pages",
     2,
     {1, 1},
     {300, 40},
     {0},
     20,
     1,
     8,
     0,
     16,
     .causal = true,
     .k_len = true},
    {"prefill in a cache",
     2,
     {12, 3},
     {12, 40},
     {20, 0},
     2,
     1,
     32,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"room and window", 2, {5, 1}, {20, 33}, {3, 9}, 2, 1, 32, 6, .causal = true, .k_len = true},
    {"room, full", 2, {5, 1}, {20, 33}, {3, 9}, 2, 1, 32, .k_len = true, .lse = true},
    {"pages of 1", 2, {3, 1}, {9, 20}, {0}, 2, 1, 16, 0, 1, .causal = true, .k_len = true},
    {"pages of 16",
     3,
     {1, 17, 1},
     {33, 40, 16},
     {0},
     4,
     2,
     16,
     0,
     16,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"pages of 16, window, cap",
     3,
     {1, 17, 1},
     {33, 40, 16},
     {0},
     4,
     2,
     16,
     5,
     16,
     .softcap = 4,
     .slopes = true,
     .causal = true,
     .k_len = true,
     .lse = true},
    {"pages of 7, full", 2, {2, 5}, {30, 6}, {0}, 2, 2, 8, 0, 7, .k_len = true},
    {"one page", 1, {4}, {10}, {0}, 2, 2, 8, 0, 64, .causal = true, .k_len = true},
};

static void attention_cases(void)
{
    parity_begin("attention");
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        parity_case(attention, &both[i], "%s", both[i].name);
    for (size_t i = 0; i < sizeof forward_only / sizeof *forward_only; i++)
        parity_case(attention, &forward_only[i], "%s", forward_only[i].name);
    parity_end();
}

static void attention_grad_cases(void)
{
    parity_begin("attention_grad");
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        parity_case(attention_grad, &both[i], "%s", both[i].name);
    parity_end();
}

const struct parity_test cases_attention[] = {
    {"attention", attention_cases}, {"attention_grad", attention_grad_cases}, {NULL, NULL}};
