/* column.c -- typed columns: making, reading, picking rows.
 *
 * A text in the arena is a 4-byte length and its bytes; a row holds the place of the length. */
#include "engine/data/column.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena {
    int refs;
    int64_t used, capacity;
    char *bytes;
};

static const size_t item_bytes[] = {
    [COLUMN_TEXT] = 8, [COLUMN_INT] = 8, [COLUMN_FLOAT] = 8, [COLUMN_BOOL] = 1, [COLUMN_JSON] = 8};

static void arena_free(struct arena *a)
{
    if (!a || --a->refs)
        return;
    mem_free(a->bytes);
    mem_free(a);
}

int column_new(enum column_type type, struct column **out)
{
    struct column *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_MEMORY;
    c->refs = 1;
    c->type = type;
    if (column_type_has_texts(type)) {
        c->arena = mem_calloc(1, sizeof *c->arena);
        if (!c->arena) {
            mem_free(c);
            return ERR_MEMORY;
        }
        c->arena->refs = 1;
    }
    *out = c;
    return OK;
}

int column_like(const struct column *like, struct column **out)
{
    if (!column_type_has_texts(like->type))
        return column_new(like->type, out);
    struct column *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_MEMORY;
    c->refs = 1;
    c->type = like->type;
    c->arena = like->arena;
    c->arena->refs++;
    *out = c;
    return OK;
}

struct column *column_hold(const struct column *c)
{
    struct column *held = (struct column *)(uintptr_t)c; /* the count is not part of its value */
    held->refs++;
    return held;
}

void column_free(struct column *c)
{
    if (!c || --c->refs)
        return;
    arena_free(c->arena);
    mem_free(c->null);
    mem_free(c->items);
    mem_free(c);
}

/* Room for 'more' further values; the null flags grow along. */
static int room(struct column *c, int64_t more)
{
    int64_t old = c->capacity, wanted;
    if (__builtin_add_overflow(c->count, more, &wanted))
        return fail(ERR_MEMORY, "out of memory: a column of %" PRId64 " rows", INT64_MAX);
    if (wanted <= old)
        return OK;
    int64_t capacity = old;
    if (c->null) { /* flags first: when the second step fails, 'capacity' still tells the truth */
        void *flags = c->null;
        TRY(mem_grow(&flags, &capacity, wanted, 1));
        c->null = flags;
        memset(c->null + old, 0, (size_t)(capacity - old));
    }
    TRY(mem_grow(&c->items, &c->capacity, wanted, item_bytes[c->type]));
    return OK;
}

int column_reserve(struct column *c, int64_t count)
{
    return count > c->count ? room(c, count - c->count) : OK;
}

static int flag_null(struct column *c)
{
    if (!c->null) {
        c->null = mem_calloc((size_t)c->capacity, 1);
        if (!c->null)
            return ERR_MEMORY;
    }
    c->null[c->count] = 1;
    return OK;
}

int column_add_null(struct column *c)
{
    TRY(room(c, 1));
    if (column_type_has_texts(c->type)) {
        c->at[c->count] = -1;
    } else {
        TRY(flag_null(c));
        memset((char *)c->items + (size_t)c->count * item_bytes[c->type], 0, item_bytes[c->type]);
    }
    c->count++;
    c->nulls++;
    return OK;
}

int column_add_text(struct column *c, const char *text, size_t length)
{
    struct arena *a = c->arena;
    if (length > INT32_MAX)
        return fail(ERR_ARG, "a text of %zu bytes in a column, wanted at most %d", length,
                    INT32_MAX);
    int64_t place = a->used;
    uint32_t prefix = (uint32_t)length;
    if (c->count == c->capacity)
        TRY(room(c, 1));
    if (place + 4 + (int64_t)length > a->capacity) {
        void *block = a->bytes;
        TRY(mem_grow(&block, &a->capacity, place + 4 + (int64_t)length, 1));
        a->bytes = block;
    }
    memcpy(a->bytes + place, &prefix, 4);
    if (length)
        memcpy(a->bytes + place + 4, text, length);
    a->used = place + 4 + (int64_t)length;
    c->at[c->count++] = place;
    return OK;
}

int column_add_int(struct column *c, int64_t value)
{
    TRY(room(c, 1));
    c->ints[c->count++] = value;
    return OK;
}

int column_add_float(struct column *c, double value)
{
    TRY(room(c, 1));
    c->floats[c->count++] = value;
    return OK;
}

int column_add_bool(struct column *c, bool value)
{
    TRY(room(c, 1));
    c->bools[c->count++] = value;
    return OK;
}

int column_add_from(struct column *c, const struct column *from, int64_t row)
{
    size_t length;
    if (row < 0 || column_is_null(from, row))
        return column_add_null(c);
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_JSON: {
        if (c->arena == from->arena) {
            TRY(room(c, 1));
            c->at[c->count++] = from->at[row];
            return OK;
        }
        const char *text = column_text(from, row, &length);
        return column_add_text(c, text, length);
    }
    case COLUMN_INT:
        return column_add_int(c, from->ints[row]);
    case COLUMN_FLOAT:
        return column_add_float(c, from->floats[row]);
    case COLUMN_BOOL:
        return column_add_bool(c, from->bools[row]);
    }
    return fail(ERR_INTERNAL, "column type %d", (int)c->type);
}

const char *column_text(const struct column *c, int64_t row, size_t *length)
{
    int64_t at = c->at[row];
    *length = 0;
    if (at < 0)
        return NULL;
    uint32_t prefix;
    memcpy(&prefix, c->arena->bytes + at, 4);
    *length = prefix;
    return c->arena->bytes + at + 4;
}

double column_number(const struct column *c, int64_t row)
{
    if (column_type_has_texts(c->type) || column_is_null(c, row))
        return NAN;
    return c->type == COLUMN_INT     ? (double)c->ints[row]
           : c->type == COLUMN_FLOAT ? c->floats[row]
                                     : (double)c->bools[row];
}

void column_float_text(double value, char out[32])
{
    if (isnan(value)) {
        strcpy(out, "nan");
        return;
    }
    if (isinf(value)) {
        strcpy(out, value > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    if (!strpbrk(out, ".e"))
        strcat(out, ".0"); /* at most 24 characters were written */
}

void column_show(const struct column *c, int64_t row, struct buffer *out)
{
    char number[32];
    size_t length;
    if (column_is_null(c, row))
        return;
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_JSON: {
        const char *text = column_text(c, row, &length);
        buffer_add(out, text, length);
        return;
    }
    case COLUMN_INT:
        buffer_printf(out, "%" PRId64, c->ints[row]);
        return;
    case COLUMN_FLOAT:
        column_float_text(c->floats[row], number);
        buffer_text(out, number);
        return;
    case COLUMN_BOOL:
        buffer_text(out, c->bools[row] ? "true" : "false");
        return;
    }
}

int column_pick(const struct column *c, const int64_t *rows, int64_t count, struct column **out)
{
    struct column *picked;
    int status = OK;
    TRY(column_like(c, &picked));
    TRY_OUT(column_reserve(picked, count));
    for (int64_t i = 0; i < count; i++)
        TRY_OUT(column_add_from(picked, c, rows[i]));
    *out = picked;
    return OK;
out:
    column_free(picked);
    return status;
}

int column_nulls(enum column_type type, int64_t count, struct column **out)
{
    struct column *c;
    int status = OK;
    TRY(column_new(type, &c));
    TRY_OUT(column_reserve(c, count));
    for (int64_t i = 0; i < count; i++)
        TRY_OUT(column_add_null(c));
    *out = c;
    return OK;
out:
    column_free(c);
    return status;
}

int column_join(const struct column *const *parts, int count, struct column **out)
{
    struct column *c;
    int64_t total = 0;
    int status = OK;
    TRY(count ? column_like(parts[0], &c) : column_new(COLUMN_TEXT, &c));
    bool own = true; /* adding to a shared arena is fine only for texts that are in it already */
    for (int i = 0; i < count; i++) {
        total += parts[i]->count;
        own = own && parts[i]->arena == parts[0]->arena;
    }
    if (!own) {
        column_free(c);
        TRY(column_new(parts[0]->type, &c));
    }
    TRY_OUT(column_reserve(c, total));
    for (int i = 0; i < count; i++)
        for (int64_t row = 0; row < parts[i]->count; row++)
            TRY_OUT(column_add_from(c, parts[i], row));
    *out = c;
    return OK;
out:
    column_free(c);
    return status;
}

static int compare_text(const struct column *a, int64_t i, const struct column *b, int64_t j)
{
    size_t n, m;
    const char *s = column_text(a, i, &n), *t = column_text(b, j, &m);
    int order = memcmp(s, t, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

static int compare_float(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

int column_compare(const struct column *a, int64_t i, const struct column *b, int64_t j)
{
    int x = column_is_null(a, i), y = column_is_null(b, j);
    if (x || y)
        return x - y;
    switch (a->type) {
    case COLUMN_TEXT:
    case COLUMN_JSON:
        return compare_text(a, i, b, j);
    case COLUMN_INT:
        return (a->ints[i] > b->ints[j]) - (a->ints[i] < b->ints[j]);
    case COLUMN_FLOAT:
        return compare_float(a->floats[i], b->floats[j]);
    case COLUMN_BOOL:
        return a->bools[i] - b->bools[j];
    }
    return 0;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

uint64_t column_hash(const struct column *c, int64_t row, uint64_t seed)
{
    size_t length;
    uint64_t h = mix(seed, 1);
    if (column_is_null(c, row))
        return mix(h, 2);
    if (column_type_has_texts(c->type)) {
        const char *text = column_text(c, row, &length);
        for (; length >= 8; text += 8, length -= 8) {
            uint64_t word;
            memcpy(&word, text, 8);
            h = mix(h, word);
        }
        uint64_t word = length;
        for (size_t i = 0; i < length; i++)
            word = word << 8 | (unsigned char)text[i];
        return mix(h, word);
    }
    if (c->type == COLUMN_FLOAT) {
        double value = c->floats[row];
        uint64_t bits = 3; /* every NaN */
        if (value == 0)
            value = 0; /* -0 equals 0 */
        if (!isnan(value))
            memcpy(&bits, &value, 8);
        return mix(h, bits);
    }
    return mix(h, c->type == COLUMN_INT ? (uint64_t)c->ints[row] : c->bools[row]);
}

int64_t column_bytes(const struct column *c)
{
    return c->count * (int64_t)item_bytes[c->type] + (c->null ? c->count : 0) +
           (c->arena ? c->arena->used : 0);
}
