/* normalize.c -- Unicode normalisation NFC through utf8proc, the only file that uses it.
 *
 * Most texts need nothing: characters below U+0300 are in NFC by themselves. The library is opened
 * on first use, so that a program that never needs it starts without it. */
#include "engine/text/normalize.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

/* utf8proc 2: ssize_t utf8proc_decompose(str, length, buffer, buffer length, options) and
 * ssize_t utf8proc_reencode(buffer, length, options); options STABLE 2, COMPOSE 8. */
typedef ptrdiff_t (*decompose_fn)(const unsigned char *, ptrdiff_t, int32_t *, ptrdiff_t, int);
typedef ptrdiff_t (*reencode_fn)(int32_t *, ptrdiff_t, int);
#define OPTIONS (2 | 8)

static _Atomic(decompose_fn) decompose;
static _Atomic(reencode_fn) reencode;

static int open_library(void)
{
    if (atomic_load(&decompose) && atomic_load(&reencode))
        return OK;
    void *library = dlopen("libutf8proc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen("libutf8proc.so.3", RTLD_NOW | RTLD_LOCAL);
    void *d = library ? dlsym(library, "utf8proc_decompose") : NULL;
    void *r = library ? dlsym(library, "utf8proc_reencode") : NULL;
    if (!d || !r)
        return fail(ERR_ARG, "this tokenizer normalises text (NFC), and libutf8proc is not "
                             "installed; hint: install the package libutf8proc2");
    decompose_fn df;
    reencode_fn rf;
    memcpy(&df, &d, sizeof df);
    memcpy(&rf, &r, sizeof rf);
    atomic_store(&reencode, rf);
    atomic_store(&decompose, df);
    return OK;
}

/* The first character that may change, alone or with its neighbours. */
static size_t surely_normal(const char *text, size_t length)
{
    const char *p = text, *end = text + length, *last = text;
    uint32_t cp;
    while (p < end) {
        int n = utf8_decode(p, end, &cp);
        if (n && cp >= 0x300)
            return (size_t)(last - text); /* a mark may join the character before it */
        last = p;
        p += n ? n : 1;
    }
    return length;
}

struct growing {
    char *bytes;
    int64_t count, capacity;
};

static int put(struct growing *g, const char *p, size_t n)
{
    TRY(mem_grow((void **)&g->bytes, &g->capacity, g->count + (int64_t)n + 1, 1));
    if (n)
        memcpy(g->bytes + g->count, p, n);
    g->count += (int64_t)n;
    return OK;
}

/* Normalises a run of valid UTF-8. */
static int put_normal(struct growing *g, const char *p, size_t n)
{
    int status = OK;
    if (n == 0)
        return OK;
    ptrdiff_t want = decompose((const unsigned char *)p, (ptrdiff_t)n, NULL, 0, OPTIONS);
    if (want < 0)
        return fail(ERR_INTERNAL, "utf8proc refused a text (%td)", want);
    int32_t *points = mem_alloc((size_t)(want + 1) * sizeof *points);
    if (!points)
        return ERR_MEMORY;
    ptrdiff_t count = decompose((const unsigned char *)p, (ptrdiff_t)n, points, want, OPTIONS);
    ptrdiff_t bytes = count == want ? reencode(points, count, OPTIONS) : -1;
    if (bytes < 0)
        status = fail(ERR_INTERNAL, "utf8proc refused a text (%td)", bytes);
    else
        status = put(g, (const char *)points, (size_t)bytes);
    mem_free(points);
    return status;
}

int normalize_nfc(const char *text, size_t length, char **out, size_t *out_length)
{
    struct growing g = {0};
    size_t at = surely_normal(text, length);
    *out = NULL;
    *out_length = length;
    if (at == length)
        return OK;
    int status = open_library();
    if (!status)
        status = put(&g, text, at);
    while (!status && at < length) {
        size_t good = utf8_valid(text + at, length - at);
        status = put_normal(&g, text + at, good);
        at += good;
        if (!status && at < length) /* not UTF-8: kept */
            status = put(&g, text + at++, 1);
    }
    if (status || (g.count == (int64_t)length && memcmp(g.bytes, text, length) == 0)) {
        mem_free(g.bytes);
        return status;
    }
    *out = g.bytes;
    *out_length = (size_t)g.count;
    return OK;
}
