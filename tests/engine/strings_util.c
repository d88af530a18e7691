/* strings_util.c -- deterministic random strings for tokenizer tests. */
#include "tests/engine/strings_util.h"
#include "engine/text/unicode.h"

#include <string.h>

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static unsigned below(uint64_t *state, unsigned n)
{
    return (unsigned)((next(state) >> 33) % n);
}

struct maker {
    uint64_t state;
    char *out;
    size_t length;
};

static void put(struct maker *m, const char *text)
{
    size_t n = strlen(text);
    memcpy(m->out + m->length, text, n);
    m->length += n;
}

static void put_cp(struct maker *m, uint32_t cp)
{
    m->length += (size_t)utf8_encode(cp, m->out + m->length);
}

static const char *const words[] = {"the",   "Hello", "world",  "I'm", "don't", "patient", "fever",
                                    "WE'LL", "naïve", "Straße", "été", "x",     "of",      "Q"};
static const char *const marks[] = {".",  ",",  "!?", "...", "--", "#",  "$", "%", "()", "[x]",
                                    "{}", "\"", "'",  "''",  "/",  "\\", "_", "=", "+",  "~"};
static const char *const endings[] = {"'s", "'t",  "'re", "'ve", "'m",  "'ll", "'d", "'S",
                                      "'T", "'RE", "'Ve", "'M",  "'LL", "'D",  "'ſ", "'x"};
static const char *const emoji[] = {"😀",
                                    "👩‍👩‍👧‍👦",
                                    "🏳️‍🌈",
                                    "👍🏽",
                                    "🇩🇪",
                                    "❤️",
                                    "☺",
                                    "🧑🏿‍🚀"};
static const char *const added[] = {
    "<|endoftext|>",     "<|im_start|>", "<|im_end|>",  "  ",      "          ", "\t\t",
    "\t\t\t\t\t",        "<|end",        "<file_sep>",  "<think>", "</think>",   "<|eot_id|>",
    "<|begin_of_text|>", "|>",           "<repo_name>", "<|"};
static const char *const lines[] = {"\r\n", "\n", "\n\n", "\r", " \n", "\n ", "\r\n\r\n", "\t\n"};
static const uint32_t spaces[] = {9,      10,     11,     12,     13,     0x20,   0x85,
                                  0xA0,   0x1680, 0x2000, 0x2003, 0x2009, 0x200A, 0x2028,
                                  0x2029, 0x202F, 0x205F, 0x3000, 0x180E, 0x200B};
static const uint32_t scripts[][2] = {
    {0x370, 0x90},    {0x400, 0x100},  {0x531, 0x58},    {0x5D0, 0x1B},  {0x620, 0x90},
    {0x900, 0x80},    {0x980, 0x80},   {0xB80, 0x80},    {0xE00, 0x60},  {0x10A0, 0x60},
    {0x1100, 0x100},  {0x1200, 0x80},  {0x1E00, 0x100},  {0x3041, 0x56}, {0x30A0, 0x60},
    {0xAC00, 0x2BA4}, {0x10330, 0x20}, {0x1D400, 0x400}, {0xFF00, 0xF0}, {0x2070, 0x120},
    {0x2460, 0xA0},   {0x660, 0x10},   {0x966, 0x10},    {0x13A0, 0x60}};

static void put_from(struct maker *m, uint32_t start, uint32_t count)
{
    uint32_t cp = start + below(&m->state, count);
    if (unicode_flags(cp) & UNICODE_ASSIGNED)
        put_cp(m, cp);
}

static void put_ascii(struct maker *m, const char *alphabet, unsigned size, unsigned longest)
{
    for (unsigned n = 1 + below(&m->state, longest); n > 0; n--)
        put_cp(m, (uint32_t)(unsigned char)alphabet[below(&m->state, size)]);
}

#define PICK(m, list) (list)[below(&(m)->state, sizeof(list) / sizeof *(list))]

static void put_part(struct maker *m, unsigned kind)
{
    unsigned n;
    switch (kind) {
    case 0:
        put(m, PICK(m, words));
        break;
    case 1:
        put(m, " ");
        put(m, PICK(m, words));
        break;
    case 2:
        put_ascii(m, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 52, 9);
        break;
    case 3:
        put_ascii(m, "0123456789", 10, 8);
        break;
    case 4:
        for (n = 1 + below(&m->state, 5); n > 0; n--)
            put_cp(m, PICK(m, spaces));
        break;
    case 5:
        put(m, PICK(m, marks));
        break;
    case 6:
        for (n = 1 + below(&m->state, 4); n > 0; n--)
            put_from(m, 0, 0x110000);
        break;
    case 7: {
        const uint32_t *s = PICK(m, scripts);
        for (n = 1 + below(&m->state, 6); n > 0; n--)
            put_from(m, s[0], s[1]);
        break;
    }
    case 8:
        put_ascii(m, "aeiouAEIOUnc", 12, 1);
        for (n = 1 + below(&m->state, 3); n > 0; n--)
            put_from(m, 0x300, 0x70);
        break;
    case 9:
        put(m, PICK(m, emoji));
        break;
    case 10:
        for (n = 1 + below(&m->state, 5); n > 0; n--)
            put_from(m, 0x4E00, 0x5200);
        break;
    case 11:
        n = below(&m->state, 66);
        put_cp(m, n < 32 ? n : 0x7F + (n - 32));
        break;
    case 12:
        put(m, PICK(m, lines));
        break;
    case 13:
        put(m, PICK(m, added));
        break;
    case 14:
        put(m, PICK(m, endings));
        break;
    default: /* assigned in any plane, mostly the first */
        put_from(m, 0xA0, 0x2F60);
        break;
    }
}

size_t random_string(uint64_t index, char out[RANDOM_STRING_BYTES])
{
    struct maker m = {.state = index * 0xD1342543DE82EF95u + 20260302u, .out = out};
    unsigned parts = 1 + below(&m.state, 16);
    for (unsigned i = 0; i < parts; i++)
        put_part(&m, below(&m.state, 16));
    return m.length;
}

static const char *const special[] = {"<s>",
                                      "</s>",
                                      "<unk>",
                                      "<pad>",
                                      "<bos>",
                                      "<eos>",
                                      "<mask>",
                                      "<|user|>",
                                      "<|end|>",
                                      "<|assistant|>",
                                      "<|placeholder1|>",
                                      "[gMASK]",
                                      "<!sop!>",
                                      "<!dummy-prefix!>",
                                      "<start_of_turn>",
                                      "<end_of_turn>",
                                      "<unused5>",
                                      "<image_soft_token>",
                                      "[INST]",
                                      ">>TITLE<<",
                                      "<tool_call>",
                                      "<|endoftext|>",
                                      "<|im_start|>",
                                      "<think>",
                                      "<|eot_id|>",
                                      "▁",
                                      "▁▁",
                                      "\n\n\n",
                                      "<0x0A>",
                                      "<0xE2>",
                                      "<h1>",
                                      "       "};

/* Bytes of the first and last character. */
static size_t first_bytes(const char *text)
{
    size_t n = 1;
    while (((unsigned char)text[n] & 0xC0) == 0x80)
        n++;
    return n;
}

static size_t last_bytes(const char *text)
{
    size_t length = strlen(text), n = 1;
    while (((unsigned char)text[length - n] & 0xC0) == 0x80)
        n++;
    return n;
}

int special_string(int index, char out[SPECIAL_STRING_BYTES])
{
    static const char *const forms[] = {"M",  " M",  "M ", "aMb", "a  M \n b",
                                        "MM", "M M", "xL", "FM",  "I amMHello, world  M\tM!"};
    int form = index % 10, mark = index / 10;
    struct maker m = {.out = out};
    if (mark >= (int)(sizeof special / sizeof *special))
        return 0;
    const char *text = special[mark];
    for (const char *p = forms[form]; *p; p++) {
        if (*p == 'M') {
            put(&m, text);
        } else if (*p == 'F') {
            put(&m, text + first_bytes(text));
        } else if (*p == 'L') {
            put(&m, text);
            m.length -= last_bytes(text);
        } else {
            put_cp(&m, (uint32_t)(unsigned char)*p);
        }
    }
    out[m.length] = '\0';
    return 1;
}

int random_ids(uint64_t index, int32_t size, int32_t ids[12])
{
    uint64_t state = (1000000 + index) * 0xD1342543DE82EF95u + 20260302u;
    int n = 1 + (int)below(&state, 12);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)below(&state, (unsigned)size);
    return n;
}
