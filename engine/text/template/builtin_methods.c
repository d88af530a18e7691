/* builtin_methods.c -- methods of texts, maps, lists and loops. */
#include "engine/text/template/eval.h"
#include "engine/text/template/pytext.h"
#include "engine/text/unicode.h"

#include <string.h>

/* A part of self, sharing its bytes. */
static struct tv part(struct tv self, size_t start, size_t stop)
{
    struct tv v = tv_text(self.as.text + start, stop - start);
    v.safe = self.safe;
    return v;
}

static int to_case(struct eval *e, struct arguments *a, enum pytext_case to, struct tv *out)
{
    struct buffer b = {0};
    pytext_to_case(a->self.as.text, a->self.length, to, &b);
    TRY(tv_spend(&e->budget, b.length / 64));
    TRY(tv_from_buffer(&e->budget, &b, out));
    out->safe = a->self.safe;
    return OK;
}

static int upper(struct eval *e, struct arguments *a, struct tv *out)
{
    return to_case(e, a, PYTEXT_UPPER, out);
}

static int lower(struct eval *e, struct arguments *a, struct tv *out)
{
    return to_case(e, a, PYTEXT_LOWER, out);
}

static int capitalize(struct eval *e, struct arguments *a, struct tv *out)
{
    return to_case(e, a, PYTEXT_CAPITALIZE, out);
}

static int title(struct eval *e, struct arguments *a, struct tv *out)
{
    return to_case(e, a, PYTEXT_TITLE, out);
}

static int swapcase(struct eval *e, struct arguments *a, struct tv *out)
{
    return to_case(e, a, PYTEXT_SWAP, out);
}

static int strip_sides(struct eval *e, struct arguments *a, bool left, bool right, struct tv *out)
{
    size_t start = 0, stop = a->self.length;
    struct tv chars = tv_text(NULL, 0);
    if (a->given[0] && a->values[0].kind != TV_NONE)
        TRY(builtin_text(a, 0, &chars));
    pytext_strip(a->self.as.text, &start, &stop, chars.as.text, chars.length, left, right);
    *out = part(a->self, start, stop);
    return tv_spend(&e->budget, a->self.length / 64);
}

static int strip(struct eval *e, struct arguments *a, struct tv *out)
{
    return strip_sides(e, a, true, true, out);
}

static int lstrip(struct eval *e, struct arguments *a, struct tv *out)
{
    return strip_sides(e, a, true, false, out);
}

static int rstrip(struct eval *e, struct arguments *a, struct tv *out)
{
    return strip_sides(e, a, false, true, out);
}

/* Parts under construction, in a list that grows. */
struct parts {
    struct tv list;
    int64_t capacity;
};

static int add_part(struct eval *e, struct parts *p, struct tv v)
{
    struct tv_list *list = p->list.as.list;
    if (list->count == p->capacity) {
        int64_t capacity = p->capacity ? p->capacity * 2 : 8;
        struct tv *items = heap_array(&e->budget.heap, (size_t)capacity, sizeof *items);
        if (!items)
            return ERR_MEMORY;
        if (list->count)
            memcpy(items, list->items, (size_t)list->count * sizeof *items);
        list->items = items;
        p->capacity = capacity;
    }
    list->items[list->count++] = v;
    return OK;
}

/* Without a separator: runs of white space divide, and none stands at the ends. */
static int split_space(struct eval *e, struct tv self, int64_t limit, struct parts *p)
{
    size_t start = 0, stop = self.length;
    for (;;) {
        pytext_strip(self.as.text, &start, &stop, NULL, 0, true, false);
        if (start == stop)
            return OK;
        size_t end = start;
        uint32_t cp = 0;
        while (end < stop && limit) {
            int n = utf8_decode(self.as.text + end, self.as.text + stop, &cp);
            if (pytext_is_space(cp))
                break;
            end += (size_t)(n ? n : 1);
        }
        if (!limit)
            end = stop;
        TRY(add_part(e, p, part(self, start, end)));
        start = end;
        limit -= limit > 0;
    }
}

static int split_by(struct eval *e, struct tv self, struct tv by, int64_t limit, struct parts *p)
{
    size_t start = 0;
    for (; limit; limit -= limit > 0) {
        int64_t at = pytext_find(self.as.text + start, self.length - start, by.as.text, by.length);
        if (at < 0)
            break;
        TRY(add_part(e, p, part(self, start, start + (size_t)at)));
        start += (size_t)at + by.length;
    }
    return add_part(e, p, part(self, start, self.length));
}

static int rsplit_space(struct eval *e, struct tv self, int64_t limit, struct parts *p)
{
    size_t start = 0, stop = self.length;
    for (;;) {
        pytext_strip(self.as.text, &start, &stop, NULL, 0, false, true);
        if (start == stop)
            return OK;
        size_t from = stop;
        while (from > start && limit) {
            size_t last = from - 1;
            uint32_t cp = 0;
            while (last > start && ((unsigned char)self.as.text[last] & 0xC0) == 0x80)
                last--;
            if (utf8_decode(self.as.text + last, self.as.text + from, &cp) && pytext_is_space(cp))
                break;
            from = last;
        }
        if (!limit)
            from = start; /* with the blanks in front */
        TRY(add_part(e, p, part(self, from, stop)));
        stop = from;
        limit -= limit > 0;
    }
}

static int rsplit_by(struct eval *e, struct tv self, struct tv by, int64_t limit, struct parts *p)
{
    size_t stop = self.length;
    for (; limit; limit -= limit > 0) {
        int64_t at = pytext_find_last(self.as.text, stop, by.as.text, by.length);
        if (at < 0)
            break;
        TRY(add_part(e, p, part(self, (size_t)at + by.length, stop)));
        stop = (size_t)at;
    }
    return add_part(e, p, part(self, 0, stop));
}

static int split_any(struct eval *e, struct arguments *a, bool right, struct tv *out)
{
    struct parts p = {0};
    struct tv by = tv_none();
    int64_t limit;
    TRY(tv_new_list(&e->budget, TV_LIST, 0, &p.list));
    TRY(builtin_int(a, 1, -1, &limit));
    TRY(tv_spend(&e->budget, a->self.length / 64));
    limit = limit < 0 ? -1 : limit;
    if (!a->given[0] || a->values[0].kind == TV_NONE) {
        TRY((right ? rsplit_space : split_space)(e, a->self, limit, &p));
    } else {
        TRY(builtin_text(a, 0, &by));
        if (!by.length)
            return fail(ERR_ARG, "an empty separator");
        TRY((right ? rsplit_by : split_by)(e, a->self, by, limit, &p));
    }
    struct tv_list *list = p.list.as.list;
    for (int64_t i = 0, k = list->count - 1; right && i < k; i++, k--) {
        struct tv v = list->items[i];
        list->items[i] = list->items[k];
        list->items[k] = v;
    }
    *out = p.list;
    return OK;
}

static int split(struct eval *e, struct arguments *a, struct tv *out)
{
    return split_any(e, a, false, out);
}

static int rsplit(struct eval *e, struct arguments *a, struct tv *out)
{
    return split_any(e, a, true, out);
}

/* Bytes of the line end at p; 0 = there is none. */
static size_t line_end(const char *p, const char *end)
{
    uint32_t cp = 0;
    int n = utf8_decode(p, end, &cp);
    if (cp == 13)
        return p + 1 < end && p[1] == '\n' ? 2 : 1;
    bool is = (cp >= 10 && cp <= 12) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
              cp == 0x2029;
    return is ? (size_t)n : 0;
}

static int splitlines(struct eval *e, struct arguments *a, struct tv *out)
{
    struct parts p = {0};
    const char *text = a->self.as.text;
    size_t start = 0, length = a->self.length;
    bool keep = builtin_flag(a, 0, false);
    TRY(tv_new_list(&e->budget, TV_LIST, 0, &p.list));
    TRY(tv_spend(&e->budget, (int64_t)length / 64));
    for (size_t i = 0; i < length;) {
        size_t n = line_end(text + i, text + length);
        if (n) {
            TRY(add_part(e, &p, part(a->self, start, i + (keep ? n : 0))));
            start = i + n;
        }
        i += n ? n : 1;
    }
    if (start < length)
        TRY(add_part(e, &p, part(a->self, start, length)));
    *out = p.list;
    return OK;
}

/* self[start:stop] by characters, as the arguments 1 and 2 of find and startswith say. */
static int window(struct eval *e, struct arguments *a, struct tv *out)
{
    const struct tv *start = a->given[1] ? &a->values[1] : NULL;
    const struct tv *stop = a->given[2] ? &a->values[2] : NULL;
    *out = a->self;
    return start || stop ? eval_slice(e, a->self, start, stop, NULL, out) : OK;
}

static bool has_affix(struct tv text, struct tv affix, bool end)
{
    if (affix.length > text.length)
        return false;
    size_t at = end ? text.length - affix.length : 0;
    return affix.length == 0 || memcmp(text.as.text + at, affix.as.text, affix.length) == 0;
}

static int affix(struct eval *e, struct arguments *a, bool end, struct tv *out)
{
    struct tv text = tv_none(), v = a->values[0];
    bool is = false;
    TRY(window(e, a, &text));
    if (v.kind != TV_TUPLE)
        TRY(builtin_text(a, 0, &v));
    if (v.kind == TV_TEXT)
        is = has_affix(text, v, end);
    for (int64_t i = 0; v.kind == TV_TUPLE && i < v.as.list->count && !is; i++) {
        if (v.as.list->items[i].kind != TV_TEXT)
            return fail(ERR_ARG, "expected texts, found a %s", tv_type(v.as.list->items[i]));
        is = has_affix(text, v.as.list->items[i], end);
    }
    *out = tv_bool(is);
    return OK;
}

static int startswith(struct eval *e, struct arguments *a, struct tv *out)
{
    return affix(e, a, false, out);
}

static int endswith(struct eval *e, struct arguments *a, struct tv *out)
{
    return affix(e, a, true, out);
}

static int remove_affix(struct arguments *a, bool end, struct tv *out)
{
    struct tv v = tv_none();
    size_t length = a->self.length;
    TRY(builtin_text(a, 0, &v));
    *out = a->self;
    if (has_affix(a->self, v, end))
        *out = end ? part(a->self, 0, length - v.length) : part(a->self, v.length, length);
    return OK;
}

static int removeprefix(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return remove_affix(a, false, out);
}

static int removesuffix(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return remove_affix(a, true, out);
}

static int replace(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv from = tv_none(), to = tv_none(), self = a->self;
    struct buffer b = {0};
    int64_t limit;
    size_t at = 0;
    TRY(builtin_text(a, 0, &from));
    TRY(builtin_text(a, 1, &to));
    TRY(builtin_int(a, 2, -1, &limit));
    while (limit && !tv_check(&e->budget, &b)) {
        int64_t found = pytext_find(self.as.text + at, self.length - at, from.as.text, from.length);
        if (found < 0)
            break;
        buffer_add(&b, self.as.text + at, (size_t)found);
        buffer_add(&b, to.as.text, to.length);
        at += (size_t)found + from.length;
        limit -= limit > 0;
        if (from.length)
            continue;
        if (at == self.length) /* between all characters and at the ends */
            break;
        uint32_t cp;
        int n = utf8_decode(self.as.text + at, self.as.text + self.length, &cp);
        buffer_add(&b, self.as.text + at, (size_t)(n ? n : 1));
        at += (size_t)(n ? n : 1);
    }
    buffer_add(&b, self.as.text + at, self.length - at);
    int status = tv_spend(&e->budget, (b.length + self.length) / 64);
    if (status) {
        buffer_free(&b);
        return status;
    }
    TRY(tv_from_buffer(&e->budget, &b, out));
    out->safe = self.safe;
    return OK;
}

static int find_at(struct eval *e, struct arguments *a, bool last, int64_t *out)
{
    struct tv text = tv_none(), what = tv_none();
    TRY(builtin_text(a, 0, &what));
    TRY(window(e, a, &text));
    TRY(tv_spend(&e->budget, text.length / 64));
    int64_t at = (last ? pytext_find_last : pytext_find)(text.as.text, text.length, what.as.text,
                                                         what.length);
    *out =
        at < 0 ? -1 : pytext_count(a->self.as.text, (size_t)(text.as.text - a->self.as.text + at));
    return OK;
}

static int find(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t at;
    TRY(find_at(e, a, false, &at));
    *out = tv_int(at);
    return OK;
}

static int rfind(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t at;
    TRY(find_at(e, a, true, &at));
    *out = tv_int(at);
    return OK;
}

static int text_index(struct eval *e, struct arguments *a, struct tv *out)
{
    TRY(find(e, a, out));
    return out->as.integer < 0 ? fail(ERR_ARG, "the text is not there") : OK;
}

static int text_count(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv text = tv_none(), what = tv_none();
    int64_t count = 0, at;
    TRY(builtin_text(a, 0, &what));
    TRY(window(e, a, &text));
    TRY(tv_spend(&e->budget, text.length / 64));
    size_t from = 0;
    while (what.length && (at = pytext_find(text.as.text + from, text.length - from, what.as.text,
                                            what.length)) >= 0) {
        count++;
        from += (size_t)at + what.length;
    }
    *out = tv_int(what.length ? count : pytext_count(text.as.text, text.length) + 1);
    return OK;
}

static int join(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv_list *items = NULL;
    TRY(eval_items(e, a->values[0], &items));
    for (int64_t i = 0; i < items->count; i++)
        if (items->items[i].kind != TV_TEXT)
            return fail(ERR_ARG, "item %lld is a %s, expected a text", (long long)i,
                        tv_type(items->items[i]));
    struct tv list = {.kind = TV_LIST, .as.list = items};
    struct arguments with = {.self = list, .positional = &a->self, .count = 1};
    return builtin_call(e, builtin_filter("join", 4), &with, out);
}

static int pad(struct eval *e, struct arguments *a, int side, struct tv *out)
{
    struct tv fill = tv_text(" ", 1);
    int64_t width;
    struct buffer b = {0};
    TRY(builtin_int(a, 0, 0, &width));
    if (a->given[1])
        TRY(builtin_text(a, 1, &fill));
    int64_t space = width - pytext_count(a->self.as.text, a->self.length);
    *out = a->self;
    if (space <= 0)
        return OK;
    if (space > (int64_t)e->budget.text || pytext_count(fill.as.text, fill.length) != 1)
        return fail(ERR_ARG, "a width of %lld, filled with %u bytes", (long long)width,
                    fill.length);
    int64_t left = side == 0 ? space / 2 + (space & width & 1) : side < 0 ? space : 0;
    for (int64_t i = 0; i < space; i++) {
        if (i == left)
            buffer_add(&b, a->self.as.text, a->self.length);
        buffer_add(&b, fill.as.text, fill.length);
    }
    if (left == space)
        buffer_add(&b, a->self.as.text, a->self.length);
    TRY(tv_from_buffer(&e->budget, &b, out));
    return tv_spend(&e->budget, space / 16);
}

static int center(struct eval *e, struct arguments *a, struct tv *out)
{
    return pad(e, a, 0, out);
}

static int ljust(struct eval *e, struct arguments *a, struct tv *out)
{
    return pad(e, a, 1, out);
}

static int rjust(struct eval *e, struct arguments *a, struct tv *out)
{
    return pad(e, a, -1, out);
}

static int zfill(struct eval *e, struct arguments *a, struct tv *out)
{
    struct tv self = a->self, sign = tv_text("", 0);
    if (self.length && (self.as.text[0] == '-' || self.as.text[0] == '+')) {
        sign = part(self, 0, 1);
        self = part(self, 1, self.length);
    }
    struct tv width = tv_none();
    int64_t n;
    TRY(builtin_int(a, 0, 0, &n));
    width = tv_int(n > 0 ? n - (int64_t)sign.length : 0);
    struct arguments with = {
        .self = self, .values = {width, tv_text("0", 1)}, .given = {true, true}};
    TRY(pad(e, &with, -1, out));
    return eval_math(e, OP_ADD, sign, *out, out);
}

static int partition_at(struct eval *e, struct arguments *a, bool last, struct tv *out)
{
    struct tv by = tv_none(), self = a->self, empty = tv_text("", 0);
    TRY(builtin_text(a, 0, &by));
    if (!by.length)
        return fail(ERR_ARG, "an empty separator");
    int64_t at =
        (last ? pytext_find_last : pytext_find)(self.as.text, self.length, by.as.text, by.length);
    TRY(tv_new_list(&e->budget, TV_TUPLE, 3, out));
    struct tv *items = out->as.list->items;
    items[0] = at >= 0 ? part(self, 0, (size_t)at) : last ? empty : self;
    items[1] = at >= 0 ? by : empty;
    items[2] = at >= 0 ? part(self, (size_t)at + by.length, self.length) : last ? self : empty;
    return OK;
}

static int partition(struct eval *e, struct arguments *a, struct tv *out)
{
    return partition_at(e, a, false, out);
}

static int rpartition(struct eval *e, struct arguments *a, struct tv *out)
{
    return partition_at(e, a, true, out);
}

/* Are there characters, and has each one of the flags? */
static int all_flags(struct arguments *a, unsigned flags, bool spaces, struct tv *out)
{
    const char *p = a->self.as.text, *end = p + a->self.length;
    bool all = a->self.length > 0;
    while (p < end && all) {
        uint32_t cp = 0;
        int n = utf8_decode(p, end, &cp);
        all = spaces ? pytext_is_space(cp) : (unicode_flags(cp) & flags) != 0;
        p += n ? n : 1;
    }
    *out = tv_bool(all);
    return OK;
}

static int isdigit_(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return all_flags(a, UNICODE_NUMBER, false, out);
}

static int isalpha_(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return all_flags(a, UNICODE_LETTER, false, out);
}

static int isalnum_(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return all_flags(a, UNICODE_LETTER | UNICODE_NUMBER, false, out);
}

static int isspace_(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    return all_flags(a, 0, true, out);
}

static int case_test(struct eval *e, struct arguments *a, const char *test, struct tv *out)
{
    struct arguments with = {.self = a->self};
    return builtin_call(e, builtin_test(test, 5), &with, out);
}

static int isupper_(struct eval *e, struct arguments *a, struct tv *out)
{
    return case_test(e, a, "upper", out);
}

static int islower_(struct eval *e, struct arguments *a, struct tv *out)
{
    return case_test(e, a, "lower", out);
}

const struct builtin builtin_text_methods[] = {
    {"capitalize", capitalize, {NULL}, 0, false},
    {"center", center, {"width", "fillchar"}, 1, false},
    {"count", text_count, {"sub", "start", "end"}, 1, false},
    {"endswith", endswith, {"suffix", "start", "end"}, 1, false},
    {"find", find, {"sub", "start", "end"}, 1, false},
    {"index", text_index, {"sub", "start", "end"}, 1, false},
    {"isalnum", isalnum_, {NULL}, 0, false},
    {"isalpha", isalpha_, {NULL}, 0, false},
    {"isdigit", isdigit_, {NULL}, 0, false},
    {"islower", islower_, {NULL}, 0, false},
    {"isnumeric", isdigit_, {NULL}, 0, false},
    {"isspace", isspace_, {NULL}, 0, false},
    {"isupper", isupper_, {NULL}, 0, false},
    {"join", join, {"iterable"}, 1, false},
    {"ljust", ljust, {"width", "fillchar"}, 1, false},
    {"lower", lower, {NULL}, 0, false},
    {"lstrip", lstrip, {"chars"}, 0, false},
    {"partition", partition, {"sep"}, 1, false},
    {"removeprefix", removeprefix, {"prefix"}, 1, false},
    {"removesuffix", removesuffix, {"suffix"}, 1, false},
    {"replace", replace, {"old", "new", "count"}, 2, false},
    {"rfind", rfind, {"sub", "start", "end"}, 1, false},
    {"rjust", rjust, {"width", "fillchar"}, 1, false},
    {"rpartition", rpartition, {"sep"}, 1, false},
    {"rsplit", rsplit, {"sep", "maxsplit"}, 0, false},
    {"rstrip", rstrip, {"chars"}, 0, false},
    {"split", split, {"sep", "maxsplit"}, 0, false},
    {"splitlines", splitlines, {"keepends"}, 0, false},
    {"startswith", startswith, {"prefix", "start", "end"}, 1, false},
    {"strip", strip, {"chars"}, 0, false},
    {"swapcase", swapcase, {NULL}, 0, false},
    {"title", title, {NULL}, 0, false},
    {"upper", upper, {NULL}, 0, false},
    {"zfill", zfill, {"width"}, 1, false},
    {NULL, NULL, {NULL}, 0, false},
};
