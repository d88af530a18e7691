/* lint.c -- what is odd about the rows of a data set. */
#include "engine/data/lint.h"
#include "engine/core/hash.h"
#include "engine/data/print.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <string.h>

const struct lint_text lint_texts[LINT_KINDS] = {
    [LINT_EMPTY] = {"empty", "without text or without an answer",
                    "ds:filter(function(row) ... end) leaves them out", false},
    [LINT_NO_TARGET] = {"no target", "without a token to learn, left out", NULL, true},
    [LINT_CUT] = {"cut", "longer than max_length, cut", NULL, true},
    [LINT_NO_EOS] = {"no end", "without a learned end-of-text token: nothing there teaches to stop",
                     NULL, false},
    [LINT_TWO_BOS] = {"two begins", "with two begin-of-text tokens at the start",
                      "take the token out of the text: the tokenizer adds one", false},
    [LINT_DUPLICATE] = {"duplicates", "with the same tokens as an earlier row",
                        "DataFrame(ds):drop_duplicates() leaves them out", false},
    [LINT_TEMPLATE] = {"template", "with marks of a chat template that are unknown or left open",
                       "rows of messages are written with the model's own template", false},
    [LINT_ROLE] = {"role", "with a role other than system, user, assistant and tool", NULL, false},
    [LINT_BOUNDARY] = {"boundary",
                       "with a token across the end of the prompt and the start of the answer",
                       "end the prompt with a line end", false},
};

void lint_add(struct lint *l, enum lint_kind kind, int64_t row)
{
    int64_t n = l->found[kind].count;
    if (n && l->found[kind].last == row)
        return;
    l->found[kind].last = row;
    if (n < LINT_ROWS)
        l->found[kind].rows[n] = row;
    l->found[kind].count++;
}

/* Adds a hash to the table of those seen; *old when it is there. Half full at most. */
static int see(struct lint *l, uint64_t hash, bool *old)
{
    hash += hash == 0; /* 0 = empty */
    if (2 * (l->seen_count + 1) > l->seen_room) {
        int64_t room = l->seen_room ? 2 * l->seen_room : 1024;
        uint64_t *bigger = mem_calloc((size_t)room, sizeof *bigger);
        if (!bigger)
            return ERR_MEMORY;
        for (int64_t i = 0; i < l->seen_room; i++) {
            uint64_t at = l->seen[i] & (uint64_t)(room - 1);
            while (l->seen[i] && bigger[at])
                at = (at + 1) & (uint64_t)(room - 1);
            if (l->seen[i])
                bigger[at] = l->seen[i];
        }
        mem_free(l->seen);
        l->seen = bigger;
        l->seen_room = room;
    }
    uint64_t at = hash & (uint64_t)(l->seen_room - 1);
    while (l->seen[at] && l->seen[at] != hash)
        at = (at + 1) & (uint64_t)(l->seen_room - 1);
    *old = l->seen[at] == hash;
    l->seen[at] = hash;
    l->seen_count += !*old;
    return OK;
}

int lint_tokens(struct lint *l, const int32_t *ids, int64_t count, int32_t bos, int64_t row)
{
    bool old;
    if (count == 0) /* nothing cannot be the same as something */
        return OK;
    TRY(see(l, hash_bytes(ids, (size_t)count * sizeof *ids), &old));
    if (old)
        lint_add(l, LINT_DUPLICATE, row);
    if (bos >= 0 && count > 1 && ids[0] == bos && ids[1] == bos)
        lint_add(l, LINT_TWO_BOS, row);
    return OK;
}

void lint_finish(struct lint *l)
{
    mem_free(l->seen);
    l->seen = NULL;
    l->seen_count = l->seen_room = 0;
}

void lint_line(const struct lint *l, enum lint_kind kind, struct buffer *out)
{
    char number[32];
    int64_t n = l->found[kind].count;
    bool one = n == 1;
    buffer_printf(out, "%s row%s %s (row%s", print_count(n, number), one ? "" : "s",
                  lint_texts[kind].doc, one ? "" : "s");
    for (int64_t i = 0; i < n && i < LINT_ROWS; i++)
        buffer_printf(out, "%s %s", i ? "," : "", print_count(l->found[kind].rows[i] + 1, number));
    buffer_text(out, n > LINT_ROWS ? ", ...)" : ")");
}

/* --- templates in plain texts ----------------------------------------------------------------- */

static int64_t count_of(const char *text, size_t length, const char *mark)
{
    size_t n = strlen(mark);
    int64_t count = 0;
    const char *end = text + length, *p = text;
    while ((p = memmem(p, (size_t)(end - p), mark, n))) {
        count++;
        p += n;
    }
    return count;
}

/* "<|name|>" of at most 40 bytes without blanks, which is no token. */
static bool unknown_mark(const char *text, size_t length,
                         bool (*is_token)(void *ctx, const char *text, size_t length), void *ctx)
{
    const char *end = text + length, *p = text;
    while ((p = memmem(p, (size_t)(end - p), "<|", 2))) {
        size_t n = 2;
        while (p + n + 1 < end && n < 40 && p[n] > ' ' && !(p[n] == '|' && p[n + 1] == '>'))
            n++;
        if (p + n + 1 < end && n > 2 && p[n] == '|' && p[n + 1] == '>' && !is_token(ctx, p, n + 2))
            return true;
        p += 2;
    }
    return false;
}

bool lint_odd_template(const char *text, size_t length,
                       bool (*is_token)(void *ctx, const char *text, size_t length), void *ctx)
{
    if (!memchr(text, '<', length) && !memchr(text, '[', length))
        return false;
    return count_of(text, length, "[INST]") != count_of(text, length, "[/INST]") ||
           count_of(text, length, "<|im_start|>") != count_of(text, length, "<|im_end|>") ||
           unknown_mark(text, length, is_token, ctx);
}
