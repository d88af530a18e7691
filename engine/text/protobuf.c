/* protobuf.c -- reads the fields of a protocol-buffer message one after the other. */
#include "engine/text/protobuf.h"

#include <string.h>

void protobuf_begin(struct protobuf *b, const char *bytes, size_t length)
{
    *b = (struct protobuf){.whole = bytes, .p = bytes, .end = bytes + length};
}

static int damaged(const struct protobuf *b, const char *what)
{
    return fail(ERR_FORMAT, "byte %td: %s", b->p - b->whole, what);
}

static int varint(struct protobuf *b, uint64_t *out)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (b->p == b->end)
            return damaged(b, "the message ends inside a number");
        unsigned char byte = (unsigned char)*b->p++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = v;
            return OK;
        }
    }
    return damaged(b, "a number of more than 64 bits");
}

static int fixed(struct protobuf *b, size_t bytes)
{
    if ((size_t)(b->end - b->p) < bytes)
        return damaged(b, "the message ends inside a number");
    b->number = 0;
    for (size_t i = 0; i < bytes; i++)
        b->number |= (uint64_t)(unsigned char)b->p[i] << (8 * i);
    b->p += bytes;
    return OK;
}

int protobuf_next(struct protobuf *b, bool *more)
{
    uint64_t key, n;
    *more = b->p < b->end;
    if (!*more)
        return OK;
    TRY(varint(b, &key));
    if (key >> 3 == 0 || key >> 3 > 0x1FFFFFFF)
        return damaged(b, "a field number out of range");
    b->field = (uint32_t)(key >> 3);
    b->wire = (enum protobuf_wire)(key & 7);
    switch (b->wire) {
    case PROTOBUF_VARINT:
        return varint(b, &b->number);
    case PROTOBUF_64:
        return fixed(b, 8);
    case PROTOBUF_32:
        return fixed(b, 4);
    case PROTOBUF_BYTES:
        TRY(varint(b, &n));
        if (n > (uint64_t)(b->end - b->p))
            return damaged(b, "a field is longer than its message");
        b->bytes = b->p;
        b->length = (size_t)n;
        b->p += n;
        return OK;
    default:
        return damaged(b, "a field of an unknown kind");
    }
}

static int of_kind(const struct protobuf *b, enum protobuf_wire wire)
{
    return b->wire == wire ? OK
                           : fail(ERR_FORMAT, "byte %td: field %u is of kind %d, wanted %d",
                                  b->p - b->whole, b->field, (int)b->wire, (int)wire);
}

int protobuf_int(const struct protobuf *b, int64_t *out)
{
    TRY(of_kind(b, PROTOBUF_VARINT));
    *out = (int64_t)b->number;
    return OK;
}

int protobuf_float(const struct protobuf *b, float *out)
{
    uint32_t bits = (uint32_t)b->number;
    TRY(of_kind(b, PROTOBUF_32));
    memcpy(out, &bits, sizeof bits);
    return OK;
}

int protobuf_bytes(const struct protobuf *b, const char **bytes, size_t *length)
{
    TRY(of_kind(b, PROTOBUF_BYTES));
    *bytes = b->bytes;
    *length = b->length;
    return OK;
}
