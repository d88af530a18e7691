/* sha256.h -- SHA-256 (FIPS 180-4): what a checkpoint's manifest says about its files. */
#ifndef ENGINE_CORE_SHA256_H
#define ENGINE_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t h[8];
    uint64_t length; /* bytes so far */
    unsigned char block[64];
};

void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t length);
void sha256_end(struct sha256 *s, char hex[65]); /* lower-case digits and a NUL */

#endif
