/* sampling.c -- greedy choice, and sampling with temperature, top-k, top-p, min-p. */
#include "engine/model/sampling.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <math.h>
#include <stdlib.h>

#define ROW(field, kind, preset, ...) \
    OPTION(struct generation_config, field, kind, preset, __VA_ARGS__)

static const struct option rows[] = {
    ROW(max_new_tokens, INT, "0", .min = 0, .max = 1e7,
        .doc = "tokens to generate at most; 0 = up to max_length"),
    ROW(max_length, INT, "0", .min = 0, .max = 1e7,
        .doc = "prompt and new tokens together at most; 0 = 256 new tokens"),
    ROW(min_new_tokens, INT, "0", .min = 0, .max = 1e7, .doc = "no end of text before this many"),
    ROW(do_sample, BOOL, "false", .doc = "draw from the distribution; false takes the likeliest"),
    ROW(temperature, FLOAT, "1.0", .min = 1e-4, .max = 100, .doc = "divides the logits"),
    ROW(top_k, INT, "50", .min = 0, .max = 1e7, .doc = "keep the k likeliest; 0 = all"),
    ROW(top_p, FLOAT, "1.0", .min = 1e-6, .max = 1,
        .doc = "keep the likeliest whose sum reaches p"),
    ROW(min_p, FLOAT, "0.0", .min = 0, .max = 1,
        .doc = "keep those at least this share of the likeliest"),
    ROW(repetition_penalty, FLOAT, "1.0", .min = 0.01, .max = 100,
        .doc = "above 1 makes tokens that occurred less likely"),
    ROW(seed, INT, "-1", .min = -1, .max = 9e15, .doc = "of the sampling; -1 = the session's seed"),
    ROW(stop_strings, LIST, NULL, .doc = "texts that end the generation"),
    ROW(eos_token_id, INT, "-1", .min = -1, .max = 1e9,
        .doc = "token that ends the text; -1 = the tokenizer's"),
    ROW(skip_special_tokens, BOOL, "true", .doc = "leave special tokens out of the text"),
    ROW(stream, BOOL, "true", .doc = "show the text while it is made"),
    {.name = "pad_token_id",
     .type = OPTION_NOTE,
     .doc = "padding token",
     .note = "pad_token_id is not needed: nothing is ever padded"},
    {.name = "use_cache",
     .type = OPTION_NOTE,
     .doc = "keep keys and values",
     .note = "use_cache: the cache is always used in generation"},
    {.name = "num_beams",
     .type = OPTION_NOTE,
     .doc = "beam search width",
     .note = "num_beams: beam search is not built; one sequence is generated"},
};

const struct option_table generation_options = {
    .name = "GenerationConfig",
    .doc = "How model:generate makes text.",
    .rows = rows,
    .count = (int)(sizeof rows / sizeof *rows),
    .struct_bytes = sizeof(struct generation_config),
};

struct choice {
    float p; /* logit, later probability */
    int32_t id;
};

struct sampler {
    int64_t vocab;
    struct choice choices[];
};

int sampler_new(int64_t vocab, struct sampler **out)
{
    struct sampler *s = mem_alloc(sizeof *s + (size_t)vocab * sizeof s->choices[0]);
    if (!s)
        return ERR_MEMORY;
    s->vocab = vocab;
    *out = s;
    return OK;
}

void sampler_free(struct sampler *s)
{
    mem_free(s);
}

/* As transformers: a positive logit is divided, a negative one multiplied, once per token. */
static void penalise(float *logits, const int32_t *seen, int64_t n, int64_t vocab, double penalty,
                     struct choice *marks)
{
    for (int64_t i = 0; i < n; i++)
        if (seen[i] >= 0 && seen[i] < vocab)
            marks[seen[i]].id = -1;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = seen[i];
        if (id < 0 || id >= vocab || marks[id].id != -1)
            continue;
        marks[id].id = 0; /* done */
        double l = (double)logits[id];
        logits[id] = (float)(l > 0 ? l / penalty : l * penalty);
    }
}

static int likeliest(const float *logits, int64_t vocab, int32_t *token)
{
    int64_t best = -1;
    for (int64_t i = 0; i < vocab; i++)
        if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = i;
    if (best < 0)
        return fail(ERR_NUMERIC, "generate: no logit is finite; hint: the weights hold NaN or "
                                 "infinity, or training diverged");
    *token = (int32_t)best;
    return OK;
}

/* Likelier first; ties by id, so that the order is the same everywhere. */
static int by_logit(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->p != y->p)
        return x->p > y->p ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Moves the k likeliest to the front (any order): quickselect by halves of the range. */
static void select_top(struct choice *c, int64_t n, int64_t k)
{
    int64_t from = 0, to = n - 1;
    while (from < to) {
        struct choice pivot = c[from + (to - from) / 2];
        int64_t i = from, j = to;
        while (i <= j) {
            while (by_logit(&c[i], &pivot) < 0)
                i++;
            while (by_logit(&c[j], &pivot) > 0)
                j--;
            if (i <= j) {
                struct choice t = c[i];
                c[i++] = c[j];
                c[j--] = t;
            }
        }
        if (k - 1 <= j)
            to = j;
        else if (k - 1 >= i)
            from = i;
        else
            return;
    }
}

/* Probabilities of the first n (sorted) choices, then cut by top_p and min_p; returns how many. */
static int64_t cut(struct choice *c, int64_t n, const struct generation_config *g)
{
    double sum = 0, reached = 0;
    float top = c[0].p;
    for (int64_t i = 0; i < n; i++)
        sum += (double)(c[i].p = (float)exp((double)(c[i].p - top) / g->temperature));
    int64_t keep = n;
    if (g->top_p < 1)
        for (keep = 0; keep < n && reached < g->top_p; keep++)
            reached += (double)c[keep].p / sum;
    while (keep > 1 && (double)c[keep - 1].p < g->min_p * (double)c[0].p)
        keep--;
    return keep;
}

int sampler_pick(struct sampler *s, const struct generation_config *g, float *logits,
                 const int32_t *seen, int64_t n, struct rng_key key, int64_t position,
                 int32_t *token)
{
    if (g->repetition_penalty != 1)
        penalise(logits, seen, n, s->vocab, g->repetition_penalty, s->choices);
    TRY(likeliest(logits, s->vocab, token));
    if (!g->do_sample)
        return OK;
    int64_t count = 0;
    for (int64_t i = 0; i < s->vocab; i++)
        if (isfinite(logits[i]))
            s->choices[count++] = (struct choice){logits[i], (int32_t)i};
    int64_t k = g->top_k > 0 ? i64_min(g->top_k, count) : count;
    if (k < count)
        select_top(s->choices, count, k);
    qsort(s->choices, (size_t)k, sizeof s->choices[0], by_logit);
    k = cut(s->choices, k, g);
    double sum = 0, draw = rng_uniform(key, (uint64_t)position);
    for (int64_t i = 0; i < k; i++)
        sum += (double)s->choices[i].p;
    *token = s->choices[k - 1].id;
    for (int64_t i = 0; i < k; i++) {
        draw -= (double)s->choices[i].p / sum;
        if (draw < 0) {
            *token = s->choices[i].id;
            break;
        }
    }
    return OK;
}
