/* protobuf.h -- reads the fields of a protocol-buffer message one after the other.
 *
 * Nothing is built and nothing is copied: a message inside is a range of bytes that is read with a
 * reader of its own. Groups, which nobody writes any more, are refused. */
#ifndef ENGINE_TEXT_PROTOBUF_H
#define ENGINE_TEXT_PROTOBUF_H

#include "kernels/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_32 = 5 };

struct protobuf {
    /* the current field */
    uint32_t field;
    enum protobuf_wire wire;
    uint64_t number;   /* VARINT, and the bits of 64 and 32 */
    const char *bytes; /* BYTES */
    size_t length;
    /* private */
    const char *whole, *p, *end;
};

void protobuf_begin(struct protobuf *b, const char *bytes, size_t length);

/* The next field into b->field and so on; *more false at the end. ERR_FORMAT with the byte. */
int protobuf_next(struct protobuf *b, bool *more) MUST_CHECK;

/* The current field's value, which must be of that wire type. */
int protobuf_int(const struct protobuf *b, int64_t *out) MUST_CHECK;
int protobuf_float(const struct protobuf *b, float *out) MUST_CHECK;
int protobuf_bytes(const struct protobuf *b, const char **bytes, size_t *length) MUST_CHECK;

#endif
