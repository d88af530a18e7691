/* status.h -- how functions report failure.
 *
 * A function that can fail returns OK (0) or one of the codes below and leaves one message in a
 * buffer of the calling thread. The message names the thing, what was found, what was wanted and,
 * after "; hint: ", what to do. Worker threads never call fail(): operations are checked before
 * they are handed to the pool. */
#ifndef KERNELS_BASE_STATUS_H
#define KERNELS_BASE_STATUS_H

enum status {
    OK = 0,
    ERR_ARG,       /* a value, shape, dtype or name that cannot be used */
    ERR_IO,        /* the operating system refused a file call */
    ERR_FORMAT,    /* a file or text that is not what it claims to be */
    ERR_MEMORY,    /* no memory, or over a limit */
    ERR_DEVICE,    /* no such device, or a device that failed */
    ERR_NUMERIC,   /* a number that must be finite is not */
    ERR_CANCELLED, /* stopped by the user */
    ERR_INTERNAL,  /* our own bug */
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Stores the formatted message for this thread and returns 'code'. Messages longer than the
 * buffer are cut at a whole UTF-8 character and end in "...". */
int fail(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "prefix: " before the stored message and returns 'code': callers add what they know (a
 * file name, a layer). */
int fail_in(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The message of this thread's last failure, "" if there was none. Valid until the next fail(). */
const char *status_message(void);

/* The code of this thread's last failure. */
int status_code(void);

/* Forgets the stored message. */
void status_clear(void);

/* "argument", "i/o", ... for a code. */
const char *status_name(int code);

/* return on failure, for the common case of nothing to clean up */
#define TRY(expr)                 \
    do {                          \
        int try_status_ = (expr); \
        if (try_status_)          \
            return try_status_;   \
    } while (0)

/* jump to 'out' on failure with the status in a variable named 'status' */
#define TRY_OUT(expr)    \
    do {                 \
        status = (expr); \
        if (status)      \
            goto out;    \
    } while (0)

#endif
