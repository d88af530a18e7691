/* hash.c -- multiply-and-fold over 8 bytes at a time, seeded per process. */
#include "engine/core/hash.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

uint64_t hash_seed(void)
{
    static atomic_uint_fast64_t seed;
    uint64_t s = atomic_load_explicit(&seed, memory_order_relaxed), none = 0;
    if (s)
        return s;
    if (getrandom(&s, sizeof s, GRND_NONBLOCK) != sizeof s) /* an early boot: time must do */
        s = (uint64_t)time(NULL) * 0x9E3779B97F4A7C15u ^ (uint64_t)getpid();
    s |= 1;
    return atomic_compare_exchange_strong(&seed, &none, s) ? s : none; /* first thread wins */
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

uint64_t hash_bytes(const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    uint64_t seed = hash_seed(), h = seed ^ length * 0x9E3779B97F4A7C15u, v;
    for (; length >= 8; p += 8, length -= 8) {
        memcpy(&v, p, 8);
        h = fold(h ^ v, seed ^ 0xD6E8FEB86659FD93u) + v;
    }
    v = 0;
    if (length) /* bytes may be NULL when there are none */
        memcpy(&v, p, length);
    h = fold(h ^ v, seed ^ 0xA0761D6478BD642Fu);
    return fold(h ^ seed, 0xE7037ED1A0B428DBu);
}
