/* base.c -- the ground floor: status, memory, sizes, random numbers. */
#include "kernels/base/mem.h"
#include "kernels/base/rng.h"
#include "kernels/base/size.h"
#include "kernels/base/status.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* cmocka names a macro fail, which takes nothing: keep ours reachable */
static int say(int code, const char *text)
{
    return fail(code, "%s", text);
}

#include <cmocka.h>

/* --- status ---------------------------------------------------------------------------------- */

static void messages(void **state)
{
    (void)state;
    status_clear();
    assert_string_equal(status_message(), "");
    assert_int_equal(status_code(), OK);
    assert_int_equal(say(ERR_ARG, "width 3, wanted 4"), ERR_ARG);
    assert_string_equal(status_message(), "width 3, wanted 4");
    assert_int_equal(fail_in(ERR_FORMAT, "layer %d", 7), ERR_FORMAT);
    assert_string_equal(status_message(), "layer 7: width 3, wanted 4");
    assert_int_equal(status_code(), ERR_FORMAT);
    assert_int_equal(say(ERR_IO, "100% of %s and %n"), ERR_IO); /* text is never a format */
    assert_string_equal(status_message(), "100% of %s and %n");
    for (int code = OK; code <= ERR_INTERNAL; code++)
        assert_string_not_equal(status_name(code), "unknown");
    assert_string_equal(status_name(ERR_INTERNAL), "internal");
    assert_string_equal(status_name(ERR_INTERNAL + 1), "unknown");
    assert_string_equal(status_name(-1), "unknown");
}

/* Whole UTF-8 up to the end? */
static bool whole_utf8(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        int more = *p < 0x80 ? 0 : *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : *p >= 0xC0 ? 1 : -1;
        if (more < 0)
            return false;
        for (p++; more > 0; more--, p++)
            if ((*p & 0xC0) != 0x80)
                return false;
    }
    return true;
}

static void long_messages_are_cut_whole(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x90\xA2"};
    static char text[9000];
    for (int kind = 0; kind < 4; kind++)
        for (int lead = 0; lead < 5; lead++) {
            memset(text, 'x', (size_t)lead);
            text[lead] = '\0';
            for (size_t n = (size_t)lead; n < 8000; n += strlen(letters[kind]))
                strcpy(text + n, letters[kind]);
            say(ERR_ARG, text);
            size_t length = strlen(status_message());
            assert_true(length >= 2040 && length < 2048);
            assert_true(whole_utf8(status_message()));
            assert_string_equal(status_message() + length - 3, "...");
            fail_in(ERR_ARG, "prefix"); /* does not fit any more: cut again */
            assert_true(whole_utf8(status_message()));
            assert_memory_equal(status_message(), "prefix: ", 8);
        }
    memset(text, 'y', 2047); /* just fits */
    text[2047] = '\0';
    say(ERR_ARG, text);
    assert_string_equal(status_message(), text);
}

static void *other_thread(void *unused)
{
    (void)unused;
    assert_string_equal(status_message(), "");
    say(ERR_IO, "of the other thread");
    return NULL;
}

static void each_thread_has_its_message(void **state)
{
    (void)state;
    say(ERR_ARG, "of this thread");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(status_message(), "of this thread");
    assert_int_equal(status_code(), ERR_ARG);
}

/* --- memory ---------------------------------------------------------------------------------- */

static void counting(void **state)
{
    (void)state;
    struct mem_stats before = mem_stats();
    mem_reset_peak();
    void *a = mem_alloc(100), *b = mem_alloc_aligned(1000), *c = mem_calloc(10, 8);
    assert_true(a && b && c);
    assert_int_equal((uintptr_t)a % 16, 0);
    assert_int_equal((uintptr_t)b % 64, 0);
    for (int i = 0; i < 80; i++)
        assert_int_equal(((char *)c)[i], 0);
    assert_int_equal(mem_stats().live_bytes - before.live_bytes, 1180);
    assert_int_equal(mem_stats().live_blocks - before.live_blocks, 3);
    assert_int_equal(mem_stats().calls - before.calls, 3);
    mem_free(b);
    mem_free(NULL);
    assert_int_equal(mem_stats().live_bytes - before.live_bytes, 180);
    assert_int_equal(mem_stats().peak_bytes - before.live_bytes, 1180);
    mem_reset_peak();
    assert_int_equal(mem_stats().peak_bytes, mem_stats().live_bytes);
    a = mem_realloc(a, 5000);
    assert_non_null(a);
    assert_int_equal(mem_stats().live_bytes - before.live_bytes, 5080);
    mem_free(a);
    mem_free(c);
    void *nothing = mem_alloc(0);
    assert_non_null(nothing);
    mem_free(nothing);
    assert_int_equal(mem_stats().live_bytes, before.live_bytes);
    assert_int_equal(mem_stats().live_blocks, before.live_blocks);
}

static void reallocation_keeps_content(void **state)
{
    (void)state;
    char *p = mem_realloc(NULL, 4);
    assert_non_null(p);
    memcpy(p, "abc", 4);
    p = mem_realloc(p, 100000);
    assert_non_null(p);
    assert_string_equal(p, "abc");
    p = mem_realloc(p, 3);
    assert_memory_equal(p, "abc", 3);
    mem_fail_at(1, 0);
    assert_null(mem_realloc(p, 1000));
    assert_memory_equal(p, "abc", 3); /* untouched */
    mem_fail_at(0, 0);
    mem_free(p);
    char *text = mem_text("shell", 3);
    assert_string_equal(text, "she");
    mem_free(text);
    text = mem_text(NULL, 0);
    assert_string_equal(text, "");
    mem_free(text);
}

static void growing(void **state)
{
    (void)state;
    int32_t *items = NULL;
    int64_t capacity = 0;
    for (int64_t n = 1; n <= 1000; n++) {
        assert_int_equal(mem_grow((void **)&items, &capacity, n, sizeof *items), OK);
        assert_true(capacity >= n);
        items[n - 1] = (int32_t)n;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i + 1);
    int64_t was = capacity;
    mem_fail_at(1, 1);
    assert_int_equal(mem_grow((void **)&items, &capacity, 5000, sizeof *items), ERR_MEMORY);
    mem_fail_at(0, 0);
    assert_int_equal(capacity, was);
    assert_int_equal(items[999], 1000);
    assert_int_equal(mem_grow((void **)&items, &capacity, INT64_MAX, 4), ERR_MEMORY);
    assert_int_equal(mem_grow((void **)&items, &capacity, INT64_MAX / 2, 64), ERR_MEMORY);
    assert_int_equal(items[999], 1000);
    mem_free(items);
}

static void sizes_that_cannot_be(void **state)
{
    (void)state;
    assert_null(mem_calloc(SIZE_MAX / 2, 3));
    assert_int_equal(status_code(), ERR_MEMORY);
    assert_null(mem_alloc(SIZE_MAX));
    assert_null(mem_alloc(SIZE_MAX - 8));
    assert_null(mem_alloc_aligned(SIZE_MAX - 63));
    assert_non_null(strstr(status_message(), "wanted"));
}

static void nth_allocation_fails(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        for (int for_good = 0; for_good <= 1; for_good++) {
            mem_fail_at(n, for_good);
            for (int i = 1; i <= 8; i++) {
                void *p = mem_alloc(16);
                assert_int_equal(p == NULL, for_good ? i >= n : i == n);
                if (!p)
                    assert_int_equal(status_code(), ERR_MEMORY);
                mem_free(p);
            }
            assert_int_equal(mem_fail_at(0, 0), 8);
        }
    mem_fail_at(2, 0);
    assert_int_equal(mem_account(100), OK);
    assert_int_equal(mem_account(100), ERR_MEMORY);
    assert_int_equal(mem_account(-100), OK);
    mem_fail_at(0, 0);
}

static void limits(void **state)
{
    (void)state;
    int64_t live = mem_stats().live_bytes;
    mem_set_limit(live + 1000);
    void *a = mem_alloc(900);
    assert_non_null(a);
    assert_null(mem_alloc(101));
    assert_non_null(strstr(status_message(), "limit"));
    assert_null(mem_alloc(SIZE_MAX / 2));
    assert_int_equal(mem_account(101), ERR_MEMORY);
    assert_int_equal(mem_account(100), OK);
    assert_int_equal(mem_account(-100), OK);
    mem_free(a);
    a = mem_alloc(1000);
    assert_non_null(a);
    mem_free(a);
    mem_set_limit(0);
    a = mem_alloc(100000);
    assert_non_null(a);
    mem_free(a);
}

static void *kept;
static int pressed;

static void let_go(void *ctx)
{
    assert_ptr_equal(ctx, &kept);
    pressed++;
    mem_free(kept);
    kept = NULL;
}

static void pressure_is_tried_once(void **state)
{
    (void)state;
    kept = mem_alloc(800);
    mem_set_pressure(let_go, &kept);
    mem_set_limit(mem_stats().live_bytes + 100);
    void *p = mem_alloc(700);
    assert_non_null(p);
    assert_int_equal(pressed, 1);
    assert_null(mem_alloc(5000));
    assert_int_equal(pressed, 2);
    mem_set_limit(0);
    mem_set_pressure(NULL, NULL);
    mem_free(p);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void size_arithmetic(void **state)
{
    (void)state;
    size_t r = 77;
    assert_true(size_mul(6, 7, &r) && r == 42);
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &r));
    assert_int_equal(r, 42);
    assert_true(size_mul(0, SIZE_MAX, &r) && r == 0);
    assert_true(size_add(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &r));
    assert_true(size_pad(0, 64, &r) && r == 0);
    assert_true(size_pad(1, 64, &r) && r == 64);
    assert_true(size_pad(64, 64, &r) && r == 64);
    assert_false(size_pad(SIZE_MAX - 3, 32, &r)); /* rounding up itself may wrap */
    assert_int_equal(r, 64);
    assert_int_equal(i64_min(-3, 4), -3);
    assert_int_equal(i64_max(INT64_MIN, INT64_MAX), INT64_MAX);
}

/* --- random numbers -------------------------------------------------------------------------- */

/* The known answers that come with the algorithm (Random123). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < COUNT_OF(known); i++) {
        uint32_t out[4];
        rng_philox((struct rng_key){{known[i].key[0], known[i].key[1]}}, known[i].counter, out);
        assert_memory_equal(out, known[i].want, sizeof out);
    }
}

static void distributions(void **state)
{
    (void)state;
    struct rng_key key = rng_key(42, RNG_USER);
    double sum = 0, squares = 0, normal = 0, normal2 = 0, normal4 = 0;
    const int n = 40000;
    for (int i = 0; i < n; i++) {
        double u = rng_uniform(key, (uint64_t)i), g = rng_normal(key, (uint64_t)i);
        assert_true(u >= 0 && u < 1 && isfinite(g));
        sum += u, squares += u * u;
        normal += g, normal2 += g * g, normal4 += g * g * g * g;
    }
    assert_true(fabs(sum / n - 0.5) < 0.01 && fabs(squares / n - 1.0 / 3) < 0.01);
    assert_true(fabs(normal / n) < 0.03 && fabs(normal2 / n - 1) < 0.03);
    assert_true(fabs(normal4 / n - 3) < 0.2);
    assert_true(rng_unit(0xFFFFFFFFu) < 1 && rng_unit(255) == 0 && rng_unit(256) == 0x1p-24f);
    assert_true(rng_u64(key, 0) != rng_u64(rng_key(42, RNG_INIT), 0)); /* streams differ */
    assert_true(rng_u64(key, 0) != rng_u64(rng_key(43, RNG_USER), 0)); /* seeds differ */
    assert_true(rng_u64(key, 1) != rng_u64(key, (uint64_t)1 << 32));
}

static void permutations(void **state)
{
    (void)state;
    static const int64_t counts[] = {1,  2,   3,   4,   5,   7,    8,    15,   16,   17,   31,   64,
                                     65, 100, 255, 256, 257, 1000, 1023, 1025, 4096, 4097, 10007};
    static unsigned char seen[10007];
    for (int seed = 0; seed < 3; seed++)
        for (int c = 0; c < COUNT_OF(counts); c++) {
            struct rng_key key = rng_key((uint64_t)seed, RNG_SHUFFLE);
            int64_t count = counts[c], fixed = 0;
            memset(seen, 0, sizeof seen);
            for (int64_t i = 0; i < count; i++) {
                int64_t to = rng_permute(key, i, count);
                assert_true(to >= 0 && to < count && !seen[to]);
                seen[to] = 1;
                fixed += to == i;
            }
            assert_true(count < 100 || fixed < 10); /* it does shuffle: 1 is expected */
        }
    struct rng_key key = rng_key(5, RNG_SHUFFLE);
    int64_t big = INT64_C(3000000000000); /* far beyond 32 bits: in range, no two alike nearby */
    for (int64_t i = 0; i < 200; i++) {
        int64_t to = rng_permute(key, i, big);
        assert_true(to >= 0 && to < big && to != rng_permute(key, i + 1, big));
    }
}

/* Every order of 4 items comes up, about equally often. */
static void small_permutations_are_fair(void **state)
{
    (void)state;
    int times[256] = {0}, different = 0;
    for (uint64_t seed = 0; seed < 4800; seed++) {
        int code = 0;
        for (int64_t i = 0; i < 4; i++)
            code = code * 4 + (int)rng_permute(rng_key(seed, RNG_SHUFFLE), i, 4);
        times[code]++;
    }
    for (int i = 0; i < 256; i++) {
        different += times[i] > 0;
        assert_true(times[i] == 0 || (times[i] > 120 && times[i] < 290));
    }
    assert_int_equal(different, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(long_messages_are_cut_whole),
        cmocka_unit_test(each_thread_has_its_message),
        cmocka_unit_test(counting),
        cmocka_unit_test(reallocation_keeps_content),
        cmocka_unit_test(growing),
        cmocka_unit_test(sizes_that_cannot_be),
        cmocka_unit_test(nth_allocation_fails),
        cmocka_unit_test(limits),
        cmocka_unit_test(pressure_is_tried_once),
        cmocka_unit_test(size_arithmetic),
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(distributions),
        cmocka_unit_test(permutations),
        cmocka_unit_test(small_permutations_are_fair),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
