/* tokenizer_config.c -- tokenizer_config.json, and loading from a path.
 *
 * Of the configuration only what concerns text is read; unknown keys are other programs' business.
 * Keys that would select code (auto_map and the like) are never looked at. */
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/formats/gguf.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

#define LONGEST_INPUT 1e15 /* "no limit" is written as 1000000000000000019884624838656 */
#define FILE_LIMIT ((size_t)256 << 20)

struct config {
    int32_t special[4];   /* -2 = not said */
    int add_bos, add_eos; /* -1 = not said */
    bool rebuilds;        /* a class that builds its template from the two */
};

/* "text", {"content": "text", ...} or null: the token's id. A text that is no token is left out, as
 * in the reference, which would add it to the vocabulary. */
static int read_special(struct tokenizer *t, struct json *j, int32_t *out)
{
    TRY(json_next(j));
    if (j->kind == JSON_STRING) {
        *out = vocab_find(&t->vocab, j->text, j->length);
        return OK;
    }
    if (j->kind != JSON_OBJECT)
        return json_skip(j);
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        if (!json_is(j, "content")) {
            TRY(json_skip_value(j));
            continue;
        }
        TRY(json_open(j, JSON_STRING, "content"));
        *out = vocab_find(&t->vocab, j->text, j->length);
    }
    return json_open(j, JSON_OBJECT_END, NULL);
}

static int keep_template(struct tokenizer *t, const char *text, size_t length)
{
    char *copy = mem_text(text, length);
    if (!copy)
        return ERR_MEMORY;
    mem_free(t->chat_template);
    t->chat_template = copy;
    return OK;
}

/* One of a list of {"name": ..., "template": ...}: "default" wins, else the first. */
static int read_named_template(struct tokenizer *t, struct json *j)
{
    char *text = NULL, name[16] = "";
    int status = json_open(j, JSON_OBJECT, "chat_template");
    while (!status && !(status = json_next(j)) && j->kind == JSON_KEY) {
        bool is_name = json_is(j, "name"), is_text = json_is(j, "template");
        status =
            is_name || is_text ? json_open(j, JSON_STRING, "chat_template") : json_skip_value(j);
        if (status || (!is_name && !is_text))
            continue;
        if (is_name) {
            snprintf(name, sizeof name, "%.*s", (int)(j->length < 15 ? j->length : 15), j->text);
        } else {
            mem_free(text);
            text = mem_text(j->text, j->length);
            status = text ? OK : ERR_MEMORY;
        }
    }
    if (!status && text && (!t->chat_template || strcmp(name, "default") == 0))
        status = keep_template(t, text, strlen(text));
    mem_free(text);
    return status;
}

static int read_template(struct tokenizer *t, struct json *j)
{
    TRY(json_next(j));
    if (j->kind == JSON_STRING)
        return keep_template(t, j->text, j->length);
    if (j->kind != JSON_ARRAY)
        return json_skip(j);
    while (json_more(j))
        TRY(read_named_template(t, j));
    return json_open(j, JSON_ARRAY_END, NULL);
}

static int read_max_length(struct tokenizer *t, struct json *j)
{
    double n;
    TRY(json_next(j));
    if (j->kind != JSON_NUMBER)
        return json_skip(j);
    TRY(json_double(j, "model_max_length", &n));
    if (n >= 1 && n < LONGEST_INPUT)
        t->max_length = (int64_t)n;
    return OK;
}

static int read_switch(struct json *j, int *out)
{
    TRY(json_next(j));
    if (j->kind == JSON_BOOL)
        *out = j->boolean;
    return json_skip(j);
}

/* One entry of added_tokens_decoder: the flags there count over those of tokenizer.json. */
static int read_added_entry(struct tokenizer *t, struct json *j)
{
    struct added_token token = {.id = -1};
    bool normalized = false;
    char *text = NULL;
    size_t length = 0;
    int64_t id = -1;
    for (size_t i = 0; i < j->length && i < 10; i++) /* the key: a decimal id */
        id = j->text[i] >= '0' && j->text[i] <= '9' && j->length < 10
                 ? (id < 0 ? 0 : id) * 10 + j->text[i] - '0'
                 : INT32_MAX;
    int status = json_open(j, JSON_OBJECT, "added_tokens_decoder");
    while (!status && !(status = json_next(j)) && j->kind == JSON_KEY) {
        bool *flag = json_is(j, "special")       ? &token.special
                     : json_is(j, "lstrip")      ? &token.lstrip
                     : json_is(j, "rstrip")      ? &token.rstrip
                     : json_is(j, "single_word") ? &token.single_word
                     : json_is(j, "normalized")  ? &normalized
                                                 : NULL;
        if (flag) {
            status = json_take_bool(j, "added_tokens_decoder", flag);
        } else if (json_is(j, "content")) {
            status = json_open(j, JSON_STRING, "content");
            if (!status) {
                mem_free(text);
                length = j->length;
                text = mem_text(j->text, length);
                status = text ? OK : ERR_MEMORY;
            }
        } else {
            status = json_skip_value(j);
        }
    }
    if (!status && text && length) {
        int32_t known = vocab_find(&t->vocab, text, length);
        bool taken = known < 0 && id >= 0 && id < t->vocab.count && t->vocab.tokens[id].spelling;
        if (taken) { /* tokenizer.json, which has another text there, decides */
            mem_free(text);
            return OK;
        }
        if (known < 0)
            status = vocab_add(&t->vocab, id, (int64_t)t->vocab.count + 1000000, text, length, 0);
        token.id = known < 0 ? (int32_t)id : known;
        if (!status)
            status = tokenizer_add_added(t, token, normalized);
    }
    mem_free(text);
    return status;
}

static int read_added_decoder(struct tokenizer *t, struct json *j)
{
    TRY(json_next(j));
    if (j->kind != JSON_OBJECT)
        return json_skip(j);
    while (json_more(j)) {
        TRY(json_open(j, JSON_KEY, NULL));
        TRY(read_added_entry(t, j));
    }
    return json_open(j, JSON_OBJECT_END, NULL);
}

static int read_class(struct json *j, struct config *c)
{
    static const char *const names[] = {"Llama", "Gemma", "CodeLlama", "Cohere"};
    TRY(json_next(j));
    for (int i = 0; i < 4; i++) {
        size_t n = strlen(names[i]);
        c->rebuilds |= j->kind == JSON_STRING && j->length >= n && !memcmp(j->text, names[i], n);
    }
    return json_skip(j);
}

static int read_key(struct tokenizer *t, struct json *j, struct config *c)
{
    static const char *const specials[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    for (int i = 0; i < 4; i++)
        if (json_is(j, specials[i]))
            return read_special(t, j, &c->special[i]);
    if (json_is(j, "model_max_length"))
        return read_max_length(t, j);
    if (json_is(j, "chat_template"))
        return read_template(t, j);
    if (json_is(j, "add_bos_token"))
        return read_switch(j, &c->add_bos);
    if (json_is(j, "add_eos_token"))
        return read_switch(j, &c->add_eos);
    if (json_is(j, "tokenizer_class"))
        return read_class(j, c);
    return json_skip_value(j);
}

/* added_tokens_decoder comes first: the special tokens may be among what it adds. */
static int read_added_pass(struct tokenizer *t, const char *json, size_t length)
{
    struct json j;
    struct json_options options = {.nan = true};
    json_begin(&j, json, length, &options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY)
        status =
            json_is(&j, "added_tokens_decoder") ? read_added_decoder(t, &j) : json_skip_value(&j);
    if (!status)
        status = json_end(&j);
    json_free(&j);
    return status;
}

int tokenizer_read_config(struct tokenizer *t, const char *json, size_t length)
{
    struct config c = {{-2, -2, -2, -2}, -1, -1, false};
    struct json_options options = {.nan = true};
    struct json j;
    TRY(read_added_pass(t, json, length));
    json_begin(&j, json, length, &options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY)
        status = read_key(t, &j, &c);
    json_free(&j);
    TRY(status);
    for (int i = 0; i < 4; i++)
        if (c.special[i] != -2)
            t->special[i] = c.special[i];
    if (t->has_scores && c.rebuilds && c.add_bos < 0) /* those classes do unless told otherwise */
        c.add_bos = 1;
    if (c.rebuilds && c.add_bos >= 0 && t->special[TOKENIZER_BOS] >= 0)
        TRY(tokenizer_set_add_bos(t, c.add_bos));
    if (c.rebuilds && c.add_eos >= 0 && t->special[TOKENIZER_EOS] >= 0)
        TRY(tokenizer_set_add_eos(t, c.add_eos));
    return OK;
}

/* --- from a path */

/* folder + "/" + name; owned. */
static int join(const char *folder, size_t n, const char *name, char **out)
{
    size_t bytes = n + strlen(name) + 2;
    *out = mem_alloc(bytes);
    if (!*out)
        return ERR_MEMORY;
    snprintf(*out, bytes, "%.*s%s%s", (int)n, folder, n && folder[n - 1] != '/' ? "/" : "", name);
    return OK;
}

enum { SOURCE_MAIN, SOURCE_MERGES, SOURCE_CONFIG, SOURCE_MAP, SOURCE_TEMPLATE, SOURCES };

struct sources {
    const char *names[SOURCES];
    char *bytes[SOURCES]; /* owned; NULL = not there */
    size_t length[SOURCES];
};

static void sources_free(struct sources *s)
{
    for (int i = 0; i < SOURCES; i++)
        mem_free(s->bytes[i]);
}

/* Reads a file of the folder; a missing one is left NULL unless it is needed. */
static int read_beside(const char *folder, size_t n, struct sources *s, int which, const char *name,
                       bool needed)
{
    char *path;
    TRY(join(folder, n, name, &path));
    int status = needed || file_exists(path)
                     ? file_read(path, FILE_LIMIT, &s->bytes[which], &s->length[which])
                     : OK;
    s->names[which] = name;
    mem_free(path);
    return status;
}

static int read_companions(const char *folder, size_t n, struct sources *s)
{
    TRY(read_beside(folder, n, s, SOURCE_CONFIG, "tokenizer_config.json", false));
    TRY(read_beside(folder, n, s, SOURCE_MAP, "special_tokens_map.json", false));
    return read_beside(folder, n, s, SOURCE_TEMPLATE, "chat_template.jinja", false);
}

/* special_tokens_map.json says what the configuration leaves open. */
static int read_special_map(struct tokenizer *t, const char *json, size_t length)
{
    struct config c = {{-2, -2, -2, -2}, -1, -1, false};
    struct json_options options = {.nan = true};
    struct json j;
    json_begin(&j, json, length, &options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && !(status = json_next(&j)) && j.kind == JSON_KEY)
        status = read_key(t, &j, &c);
    json_free(&j);
    for (int i = 0; i < 4 && !status; i++)
        if (t->special[i] < 0 && c.special[i] >= 0)
            t->special[i] = c.special[i];
    return status ? fail_in(status, "special_tokens_map.json") : OK;
}

static bool is_sentencepiece(const struct sources *s)
{
    return s->length[SOURCE_MAIN] > 0 && s->bytes[SOURCE_MAIN][0] == '\n';
}

/* Base64 and a number in the first line: what the tiktoken library reads. */
static bool is_tiktoken(const struct sources *s)
{
    size_t n = strcspn(s->bytes[SOURCE_MAIN], " \n");
    return n > 0 && n < 64 && s->bytes[SOURCE_MAIN][n] == ' ' &&
           s->bytes[SOURCE_MAIN][n + 1] >= '0' && s->bytes[SOURCE_MAIN][n + 1] <= '9' &&
           strspn(s->bytes[SOURCE_MAIN],
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == n;
}

static int build(struct sources *s, struct tokenizer **out)
{
    struct tokenizer *t = NULL;
    const char *main = s->bytes[SOURCE_MAIN], *config = s->bytes[SOURCE_CONFIG];
    size_t length = s->length[SOURCE_MAIN], config_length = s->length[SOURCE_CONFIG];
    if (s->bytes[SOURCE_MERGES])
        TRY(tokenizer_from_vocab(main, length, s->bytes[SOURCE_MERGES], s->length[SOURCE_MERGES],
                                 config, config_length, &t));
    else if (is_sentencepiece(s))
        TRY(tokenizer_from_sentencepiece(main, length, config, config_length, &t));
    else if (is_tiktoken(s))
        return fail(ERR_FORMAT, "a tiktoken vocabulary is not read; hint: use the model's "
                                "tokenizer.json");
    else
        TRY(tokenizer_from_json(main, length, config, config_length, &t));
    int status = OK;
    if (s->bytes[SOURCE_MAP])
        status = read_special_map(t, s->bytes[SOURCE_MAP], s->length[SOURCE_MAP]);
    if (!status && s->bytes[SOURCE_TEMPLATE])
        status = keep_template(t, s->bytes[SOURCE_TEMPLATE], s->length[SOURCE_TEMPLATE]);
    for (int i = 0; i < SOURCES && !status; i++)
        if (s->bytes[i]) {
            status = tokenizer_keep_file(t, s->names[i], s->bytes[i], s->length[i]);
            s->bytes[i] = status ? s->bytes[i] : NULL;
        }
    if (status) {
        tokenizer_free(t);
        return status;
    }
    *out = t;
    return OK;
}

static int read_main(const char *path, size_t n, struct sources *s)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "tokenizer.model"};
    for (int i = 0; i < 3; i++) {
        TRY(read_beside(path, n, s, SOURCE_MAIN, names[i], false));
        if (s->bytes[SOURCE_MAIN])
            return i == 1 ? read_beside(path, n, s, SOURCE_MERGES, "merges.txt", true) : OK;
    }
    return fail(ERR_IO, "the folder has no tokenizer; hint: wanted tokenizer.json, vocab.json and "
                        "merges.txt, or tokenizer.model");
}

static int load_folder(const char *path, struct tokenizer **out)
{
    struct sources s = {.length = {0}};
    size_t n = strlen(path);
    int status = read_main(path, n, &s);
    if (!status)
        status = read_companions(path, n, &s);
    if (!status)
        status = build(&s, out);
    sources_free(&s);
    return status;
}

static int load_one(const char *path, struct tokenizer **out)
{
    struct sources s = {.length = {0}};
    const char *slash = strrchr(path, '/');
    int status = file_read(path, FILE_LIMIT, &s.bytes[SOURCE_MAIN], &s.length[SOURCE_MAIN]);
    s.names[SOURCE_MAIN] = !status && is_sentencepiece(&s) ? "tokenizer.model" : "tokenizer.json";
    if (!status)
        status = read_companions(slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1, &s);
    if (!status)
        status = build(&s, out);
    sources_free(&s);
    return status;
}

static int load_gguf(const char *path, struct tokenizer **out)
{
    struct gguf *g;
    TRY(gguf_open(path, &g));
    int status = tokenizer_from_gguf(g, out);
    gguf_close(g);
    return status ? fail_in(status, "'%s'", path) : OK;
}

static int load_file(const char *path, struct tokenizer **out)
{
    struct file *f;
    char magic[4] = "";
    TRY(file_open(path, &f));
    int64_t size = file_size(f);
    int status = file_read_at(f, 0, magic, size < 4 ? (size_t)size : 4);
    file_close(f);
    TRY(status);
    if (memcmp(magic, "GGUF", 4) == 0)
        return load_gguf(path, out);
    status = load_one(path, out);
    return status && status != ERR_IO ? fail_in(status, "'%s'", path) : status;
}

int tokenizer_load(const char *path, struct tokenizer **out)
{
    struct tokenizer *t = NULL;
    bool folder = file_is_folder(path);
    int status = folder ? load_folder(path, &t) : load_file(path, &t);
    if (status)
        return folder ? fail_in(status, "'%s'", path) : status;
    t->changed = 0; /* what loading set is what the files say */
    t->name = mem_text(path, strlen(path));
    if (!t->name) {
        tokenizer_free(t);
        return ERR_MEMORY;
    }
    *out = t;
    return OK;
}
