/* status.c -- the per-thread error message. */
#include "kernels/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 2048

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local int last_code;

/* 'length' is what the whole text would have needed; marks a cut text with "..." without
 * splitting a UTF-8 character. */
static void mark_cut(int length)
{
    if (length < MESSAGE_BYTES)
        return;
    size_t end = MESSAGE_BYTES - 4;
    while (end > 0 && ((unsigned char)message[end] & 0xC0) == 0x80)
        end--;
    memcpy(message + end, "...", 4);
}

int fail(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    mark_cut(vsnprintf(message, sizeof message, fmt, args));
    va_end(args);
    last_code = code;
    return code;
}

int fail_in(int code, const char *fmt, ...)
{
    char old[MESSAGE_BYTES];
    memcpy(old, message, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (n >= 0 && n < MESSAGE_BYTES)
        n += snprintf(message + n, sizeof message - (size_t)n, ": %s", old);
    mark_cut(n);
    last_code = code;
    return code;
}

const char *status_message(void)
{
    return message;
}

int status_code(void)
{
    return last_code;
}

void status_clear(void)
{
    message[0] = '\0';
    last_code = OK;
}

const char *status_name(int code)
{
    static const char *const names[] = {"ok",     "argument", "i/o",       "format",  "memory",
                                        "device", "numeric",  "cancelled", "internal"};
    return code >= 0 && code < (int)(sizeof names / sizeof *names) ? names[code] : "unknown";
}
