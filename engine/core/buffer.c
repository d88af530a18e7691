/* buffer.c -- text that grows at its end, geometrically. */
#include "engine/core/buffer.h"
#include "kernels/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *room(struct buffer *b, size_t length)
{
    int64_t wanted;
    if (b->status)
        return NULL;
    if (length > INT64_MAX / 2 || __builtin_add_overflow(b->length, (int64_t)length + 1, &wanted)) {
        b->status = fail(ERR_MEMORY, "out of memory: a text of %zu bytes", length);
        return NULL;
    }
    void *block = b->bytes;
    b->status = mem_grow(&block, &b->capacity, wanted, 1);
    b->bytes = block;
    return b->status ? NULL : b->bytes + b->length;
}

void buffer_add(struct buffer *b, const void *bytes, size_t length)
{
    char *to = room(b, length);
    if (!to || !length)
        return;
    memcpy(to, bytes, length);
    b->length += (int64_t)length;
}

void buffer_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

void buffer_repeat(struct buffer *b, const char *text, int64_t times)
{
    size_t length = strlen(text);
    for (int64_t i = 0; i < times; i++)
        buffer_add(b, text, length);
}

void buffer_printf(struct buffer *b, const char *fmt, ...)
{
    char small[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0) {
        b->status = fail(ERR_INTERNAL, "a text could not be formatted");
    } else if ((size_t)n < sizeof small) {
        buffer_add(b, small, (size_t)n);
    } else {
        char *to = room(b, (size_t)n);
        if (!to)
            return;
        va_start(args, fmt);
        vsnprintf(to, (size_t)n + 1, fmt, args);
        va_end(args);
        b->length += n;
    }
}

int buffer_close(struct buffer *b)
{
    char *end = room(b, 0);
    if (end)
        *end = '\0';
    return b->status;
}

void buffer_free(struct buffer *b)
{
    mem_free(b->bytes);
    *b = (struct buffer){0};
}
