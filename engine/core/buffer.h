/* buffer.h -- text that grows at its end.
 *
 * The first failure sticks: later additions do nothing, so a long run of additions is checked once,
 * through 'status', where it is used. Start with {0}; release with buffer_free. */
#ifndef ENGINE_CORE_BUFFER_H
#define ENGINE_CORE_BUFFER_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *bytes; /* NULL while empty; not NUL-terminated, see buffer_close */
    int64_t length, capacity;
    int status;
};

void buffer_add(struct buffer *b, const void *bytes, size_t length);
void buffer_text(struct buffer *b, const char *text); /* up to its NUL */
void buffer_repeat(struct buffer *b, const char *text, int64_t times);
void buffer_printf(struct buffer *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts a NUL behind the text (it does not count) and returns 'status'. */
int buffer_close(struct buffer *b) MUST_CHECK;

/* Releases the text and zeroes the struct. */
void buffer_free(struct buffer *b);

#endif
