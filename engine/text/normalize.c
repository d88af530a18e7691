/* normalize.c -- Unicode normalisation forms through utf8proc, the only file that uses it.
 *
 * The library is opened on first use, so that a program that never needs it starts without it. */
#include "engine/text/normalize.h"
#include "engine/text/unicode.h"
#include "kernels/base/mem.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

/* utf8proc 2: ssize_t utf8proc_decompose(str, length, buffer, buffer length, options),
 * ssize_t utf8proc_reencode(buffer, length, options) and int32_t utf8proc_tolower(int32_t);
 * options STABLE 2, COMPAT 4, COMPOSE 8, DECOMPOSE 16. */
typedef ptrdiff_t (*decompose_fn)(const unsigned char *, ptrdiff_t, int32_t *, ptrdiff_t, int);
typedef ptrdiff_t (*reencode_fn)(int32_t *, ptrdiff_t, int);
typedef int32_t (*tolower_fn)(int32_t);

static const int form_options[] = {
    [NORMAL_NFC] = 2 | 8,
    [NORMAL_NFD] = 2 | 16,
    [NORMAL_NFKC] = 2 | 4 | 8,
    [NORMAL_NFKD] = 2 | 4 | 16,
};

static _Atomic(decompose_fn) decompose;
static _Atomic(reencode_fn) reencode;
static _Atomic(tolower_fn) lower;

static int open_library(void)
{
    if (atomic_load(&decompose) && atomic_load(&reencode) && atomic_load(&lower))
        return OK;
    void *library = dlopen("libutf8proc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen("libutf8proc.so.3", RTLD_NOW | RTLD_LOCAL);
    void *d = library ? dlsym(library, "utf8proc_decompose") : NULL;
    void *r = library ? dlsym(library, "utf8proc_reencode") : NULL;
    void *l = library ? dlsym(library, "utf8proc_tolower") : NULL;
    if (!d || !r || !l)
        return fail(ERR_ARG, "this tokenizer normalises text, and libutf8proc is not installed; "
                             "hint: install the package libutf8proc2");
    decompose_fn df;
    reencode_fn rf;
    tolower_fn lf;
    memcpy(&df, &d, sizeof df);
    memcpy(&rf, &r, sizeof rf);
    memcpy(&lf, &l, sizeof lf);
    atomic_store(&lower, lf);
    atomic_store(&reencode, rf);
    atomic_store(&decompose, df);
    return OK;
}

size_t normalize_unchanged(enum normal_form form, const char *text, size_t length)
{
    uint32_t limit = form == NORMAL_NFC ? 0x300 : 0x80, cp;
    const char *p = text, *end = text + length, *last = text;
    while (p < end) {
        int n = utf8_decode(p, end, &cp);
        if (n && cp >= limit)
            return (size_t)(last - text); /* a mark may join the character before it */
        last = p;
        p += n ? n : 1;
    }
    return length;
}

int normalize_form(enum normal_form form, const char *text, size_t length, char **out,
                   size_t *out_length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    int options = form_options[form];
    TRY(open_library());
    ptrdiff_t want = decompose(bytes, (ptrdiff_t)length, NULL, 0, options);
    if (want < 0)
        return fail(ERR_INTERNAL, "utf8proc refused a text (%td)", want);
    int32_t *points = mem_alloc((size_t)(want + 1) * sizeof *points);
    if (!points)
        return ERR_MEMORY;
    ptrdiff_t count = decompose(bytes, (ptrdiff_t)length, points, want, options);
    ptrdiff_t written = count == want ? reencode(points, count, options) : -1;
    if (written < 0) {
        mem_free(points);
        return fail(ERR_INTERNAL, "utf8proc refused a text (%td)", written);
    }
    *out = (char *)points;
    *out_length = (size_t)written;
    return OK;
}

int normalize_lower(uint32_t cp, char out[8], size_t *length)
{
    if (cp == 0x130) { /* the one letter whose lower case is two characters */
        memcpy(out, "i\xCC\x87", 3);
        *length = 3;
        return OK;
    }
    if (cp < 0x80) {
        out[0] = cp >= 'A' && cp <= 'Z' ? (char)(cp + 32) : (char)cp;
        *length = 1;
        return OK;
    }
    TRY(open_library());
    *length = (size_t)utf8_encode((uint32_t)atomic_load(&lower)((int32_t)cp), out);
    return OK;
}
