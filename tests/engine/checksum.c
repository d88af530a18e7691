/* checksum.c -- SHA-256 and CRC-32C against their published vectors, cut at every place. */
#include "engine/core/crc32c.h"
#include "engine/core/sha256.h"
#include "tests/engine/engine_util.h"

#include <string.h>

static void sha_of(const char *text, size_t n, size_t cut, char hex[65])
{
    struct sha256 s;
    sha256_begin(&s);
    sha256_add(&s, text, cut);
    sha256_add(&s, text + cut, n - cut);
    sha256_end(&s, hex);
}

/* FIPS 180-4 examples, and NIST's of one million letters. */
static void sha256_vectors(void **state)
{
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
         "lmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].text);
        for (size_t cut = 0; cut <= n; cut++) {
            sha_of(cases[i].text, n, cut, hex);
            assert_string_equal(hex, cases[i].hex);
        }
    }
    char a[1000];
    struct sha256 s;
    memset(a, 'a', sizeof a);
    sha256_begin(&s);
    for (int i = 0; i < 1000; i++)
        sha256_add(&s, a, sizeof a);
    sha256_end(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length around a block: the padding has its edges there. */
static void sha256_lengths(void **state)
{
    char text[200], one[65], two[65];
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        struct sha256 s;
        sha_of(text, n, n, one);
        sha256_begin(&s);
        for (size_t i = 0; i < n; i++)
            sha256_add(&s, text + i, 1);
        sha256_end(&s, two);
        assert_string_equal(one, two);
    }
}

/* RFC 3720, B.4 */
static void crc32c_vectors(void **state)
{
    unsigned char b[32];
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(b, 0, sizeof b);
    assert_int_equal(crc32c(0, b, 32), 0x8A9136AA);
    memset(b, 0xFF, sizeof b);
    assert_int_equal(crc32c(0, b, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, b, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c(0, b, 32), 0x113FDB5C);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(sha256_lengths),
        cmocka_unit_test(crc32c_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
