/* tensorboard.c -- scalars as TensorBoard reads them.
 *
 * Event: 1 wall_time (double), 2 step (varint), 3 file_version (text), 5 summary. A summary holds
 * values (field 1) of 1 tag (text) and 2 simple_value (float). */
#include "engine/train/tensorboard.h"
#include "engine/core/crc32c.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static void put_number(struct buffer *b, uint64_t value, int bytes)
{
    unsigned char out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
    buffer_add(b, out, (size_t)bytes);
}

static void put_varint(struct buffer *b, uint64_t value)
{
    unsigned char out[10];
    int n = 0;
    do {
        out[n++] = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
    buffer_add(b, out, (size_t)n);
}

/* A field of text or of a nested message. */
static void put_bytes(struct buffer *b, int field, const void *bytes, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    buffer_add(b, bytes, n);
}

static void put_double(struct buffer *b, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(b, (uint64_t)field << 3 | 1);
    put_number(b, bits, 8);
}

static void put_float(struct buffer *b, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(b, (uint64_t)field << 3 | 5);
    put_number(b, bits, 4);
}

static uint32_t masked(const void *bytes, size_t n)
{
    uint32_t crc = crc32c(0, bytes, n);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

static void put_record(struct buffer *out, const struct buffer *event)
{
    unsigned char length[8];
    size_t n = (size_t)event->length;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)n >> (8 * i));
    buffer_add(out, length, 8);
    put_number(out, masked(length, 8), 4);
    buffer_add(out, event->bytes, n);
    put_number(out, masked(event->bytes, n), 4);
    if (event->status && !out->status)
        out->status = event->status;
}

static double wall_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void tensorboard_begin(struct buffer *out)
{
    struct buffer event = {0};
    put_double(&event, 1, wall_time());
    put_bytes(&event, 3, "brain.Event:2", 13);
    put_record(out, &event);
    buffer_free(&event);
}

static void put_scalar(struct buffer *out, int64_t step, const char *tag, double value)
{
    struct buffer event = {0}, summary = {0}, scalar = {0};
    put_bytes(&scalar, 1, tag, strlen(tag));
    put_float(&scalar, 2, (float)value);
    put_bytes(&summary, 1, scalar.bytes, (size_t)scalar.length);
    put_double(&event, 1, wall_time());
    put_varint(&event, 2 << 3);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary.bytes, (size_t)summary.length);
    if (scalar.status || summary.status)
        event.status = ERR_MEMORY;
    put_record(out, &event);
    buffer_free(&event);
    buffer_free(&summary);
    buffer_free(&scalar);
}

void tensorboard_entry(struct buffer *out, const struct trainer_log *e)
{
    for (int i = 0; i < LOG_NAMES; i++)
        if (log_has(e, i))
            put_scalar(out, e->step, log_fields[i].tag, e->value[i]);
    put_scalar(out, e->step, "train/epoch", e->epoch);
}

int tensorboard_path(const struct training_arguments *args, int n, char **out)
{
    struct buffer b = {0};
    char host[64] = "";
    if (gethostname(host, sizeof host - 1) || !*host || strchr(host, '/'))
        memcpy(host, "localhost", 10);
    if (args->logging_dir)
        buffer_printf(&b, "%s", args->logging_dir);
    else
        buffer_printf(&b, "%s/runs", args->output_dir);
    if (args->run_name)
        buffer_printf(&b, "/%s", args->run_name);
    buffer_printf(&b, "/events.out.tfevents.%lld.%s.%ld.%d", (long long)wall_time(), host,
                  (long)getpid(), n);
    int status = buffer_close(&b);
    *out = b.bytes;
    return status;
}
