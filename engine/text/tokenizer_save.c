/* tokenizer_save.c -- a tokenizer as files in a folder.
 *
 * Files it came from go out byte for byte; where something was set since, only the keys it concerns
 * are written anew, everything else in them stays. */
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/json_write.h"
#include "engine/text/tokenizer_private.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

static const char *const special_keys[] = {"bos_token", "eos_token", "pad_token", "unk_token"};

static int put_buffer(const char *folder, const char *name, struct buffer *b)
{
    int status = buffer_close(b);
    if (!status)
        status = file_write_in(folder, name, b->bytes, (size_t)b->length);
    buffer_free(b);
    return status;
}

static const struct tokenizer_file *find_file(const struct tokenizer *t, const char *name)
{
    for (int i = 0; i < t->file_count; i++)
        if (!strcmp(t->files[i].name, name))
            return &t->files[i];
    return NULL;
}

static void put_special(const struct tokenizer *t, struct json_writer *w, int which)
{
    int32_t id = t->special[which];
    if (id < 0)
        json_write_null(w, special_keys[which]);
    else
        json_write_bytes(w, special_keys[which], t->vocab.tokens[id].spelling,
                         t->vocab.tokens[id].spelling_length);
}

/* Which change an entry of tokenizer_config.json reflects; 0 = none. */
static unsigned change_of(const struct json *j)
{
    for (int i = 0; i < 4; i++)
        if (json_is(j, special_keys[i]))
            return (unsigned)CHANGED_SPECIAL << i;
    return json_is(j, "add_bos_token")      ? CHANGED_ADD_BOS
           : json_is(j, "add_eos_token")    ? CHANGED_ADD_EOS
           : json_is(j, "model_max_length") ? CHANGED_LENGTH
           : json_is(j, "chat_template")    ? CHANGED_TEMPLATE
                                            : 0;
}

static void put_change(const struct tokenizer *t, struct json_writer *w, unsigned change,
                       bool with_template)
{
    for (int i = 0; i < 4; i++)
        if (change == (unsigned)CHANGED_SPECIAL << i)
            put_special(t, w, i);
    if (change == CHANGED_ADD_BOS)
        json_write_bool(w, "add_bos_token", tokenizer_adds_bos(t));
    if (change == CHANGED_ADD_EOS)
        json_write_bool(w, "add_eos_token", tokenizer_adds_eos(t));
    if (change == CHANGED_LENGTH && t->max_length == INT64_MAX) /* how "no limit" is written */
        json_write_raw(w, "model_max_length", "1000000000000000019884624838656", 31);
    else if (change == CHANGED_LENGTH)
        json_write_int(w, "model_max_length", t->max_length);
    if (change == CHANGED_TEMPLATE && with_template && t->chat_template)
        json_write_text(w, "chat_template", t->chat_template);
}

/* Copies the entries of a JSON object but for those that 'changed' concerns, which come anew. */
static int put_changed(const struct tokenizer *t, const struct tokenizer_file *f, unsigned changed,
                       bool with_template, struct buffer *out)
{
    struct json j;
    struct json_options options = {.nan = true};
    struct json_writer w;
    char key[256];
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '{');
    json_begin(&j, f->bytes, f->length, &options);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && json_more(&j)) {
        status = json_open(&j, JSON_KEY, NULL);
        if (status)
            break;
        unsigned change = change_of(&j) & changed;
        int n = snprintf(key, sizeof key, "%.*s", (int)(j.length < 256 ? j.length : 256), j.text);
        bool fits = n >= 0 && n < (int)sizeof key;
        status = json_next(&j);
        size_t start = j.offset;
        if (!status)
            status = json_skip(&j);
        if (!status && !change && fits)
            json_write_raw(&w, key, f->bytes + start, (size_t)(j.p - j.whole) - start);
    }
    json_free(&j);
    for (unsigned bit = 1; bit <= CHANGED_TEMPLATE; bit <<= 1)
        if (changed & bit)
            put_change(t, &w, bit, with_template);
    json_write_close(&w);
    buffer_text(out, "\n");
    return status;
}

static int save_config(const struct tokenizer *t, const char *folder)
{
    static const struct tokenizer_file none = {NULL, (char *)(uintptr_t) "{}", 2};
    const struct tokenizer_file *f = find_file(t, "tokenizer_config.json");
    bool jinja = find_file(t, "chat_template.jinja") != NULL;
    unsigned changed = t->changed & (CHANGED_TEMPLATE * 2 - 1);
    struct buffer b = {0};
    if (f && !changed)
        return file_write_in(folder, f->name, f->bytes, f->length);
    if (!f && !changed)
        return OK;
    int status = put_changed(t, f ? f : &none, changed, !jinja, &b);
    if (status) {
        buffer_free(&b);
        return status;
    }
    return put_buffer(folder, "tokenizer_config.json", &b);
}

static int save_map(const struct tokenizer *t, const char *folder)
{
    const struct tokenizer_file *f = find_file(t, "special_tokens_map.json");
    unsigned changed = t->changed & (CHANGED_ADD_BOS - 1);
    struct buffer b = {0};
    if (!f)
        return OK;
    if (!changed)
        return file_write_in(folder, f->name, f->bytes, f->length);
    int status = put_changed(t, f, changed, false, &b);
    if (status) {
        buffer_free(&b);
        return status;
    }
    return put_buffer(folder, f->name, &b);
}

/* --- tokenizer.json */

/* Where the values of two keys stand. */
struct places {
    size_t added, added_end; /* the list; 0 = not there */
    size_t post, post_end;
};

static int find_places(const struct tokenizer_file *f, struct places *p)
{
    struct json j;
    *p = (struct places){0, 0, 0, 0};
    json_begin(&j, f->bytes, f->length, NULL);
    int status = json_open(&j, JSON_OBJECT, NULL);
    while (!status && json_more(&j)) {
        status = json_open(&j, JSON_KEY, NULL);
        bool added = !status && json_is(&j, "added_tokens");
        bool post = !status && json_is(&j, "post_processor");
        if (!status)
            status = json_next(&j);
        size_t start = j.offset;
        if (!status)
            status = json_skip(&j);
        *(added ? &p->added : post ? &p->post : &start) = start;
        if (added)
            p->added_end = (size_t)(j.p - j.whole);
        if (post)
            p->post_end = (size_t)(j.p - j.whole);
    }
    json_free(&j);
    return status;
}

/* All added tokens, old and new. */
static void put_added(const struct tokenizer *t, struct buffer *out)
{
    struct json_writer w;
    json_write_begin(&w, out, 2);
    json_write_open(&w, NULL, '[');
    for (int32_t id = 0; id < t->vocab.count; id++)
        if (t->vocab.tokens[id].spelling && t->vocab.tokens[id].flags & TOKEN_ADDED)
            tokenizer_export_added(t, &w, id);
    json_write_close(&w);
}

static void put_post(const struct tokenizer *t, struct buffer *out)
{
    struct json_writer w;
    json_write_begin(&w, out, 2);
    tokenizer_export_post(t, &w, NULL);
}

static int save_json(const struct tokenizer *t, const char *folder, const struct tokenizer_file *f)
{
    struct places p;
    bool tokens = t->changed & CHANGED_TOKENS;
    bool around =
        t->changed & (CHANGED_ADD_BOS | CHANGED_ADD_EOS | CHANGED_SPECIAL << TOKENIZER_BOS |
                      CHANGED_SPECIAL << TOKENIZER_EOS);
    struct buffer b = {0};
    if (!tokens && !around)
        return file_write_in(folder, f->name, f->bytes, f->length);
    TRY(find_places(f, &p));
    bool first_added = p.added < p.post;
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        bool added = (i == 0) == first_added;
        size_t start = added ? p.added : p.post, end = added ? p.added_end : p.post_end;
        if (!end || !(added ? tokens : around))
            continue;
        buffer_add(&b, f->bytes + at, start - at);
        if (added)
            put_added(t, &b);
        else
            put_post(t, &b);
        at = end;
    }
    buffer_add(&b, f->bytes + at, f->length - at);
    return put_buffer(folder, f->name, &b);
}

/* Tokens added to a vocabulary whose file has no place for them. */
static int save_added(const struct tokenizer *t, const char *folder)
{
    struct buffer b = {0};
    struct json_writer w;
    if (!(t->changed & CHANGED_TOKENS) || find_file(t, "tokenizer.json"))
        return OK;
    json_write_begin(&w, &b, 2);
    json_write_open(&w, NULL, '{');
    for (int32_t id = t->base_size; id < t->vocab.count; id++)
        if (t->vocab.tokens[id].spelling)
            json_write_int(&w, t->vocab.tokens[id].spelling, id);
    json_write_close(&w);
    return put_buffer(folder, "added_tokens.json", &b);
}

static int save_files(const struct tokenizer *t, const char *folder)
{
    static const char *const plain[] = {"vocab.json", "merges.txt", "tokenizer.model"};
    const struct tokenizer_file *f = find_file(t, "tokenizer.json");
    if (f)
        TRY(save_json(t, folder, f));
    for (int i = 0; i < 3; i++)
        if ((f = find_file(t, plain[i])) != NULL)
            TRY(file_write_in(folder, f->name, f->bytes, f->length));
    if (find_file(t, "chat_template.jinja") && t->chat_template)
        TRY(file_write_in(folder, "chat_template.jinja", t->chat_template,
                          strlen(t->chat_template)));
    TRY(save_map(t, folder));
    TRY(save_added(t, folder));
    return save_config(t, folder);
}

/* --- from a GGUF file */

static int save_exported(const struct tokenizer *t, const char *folder)
{
    struct buffer b = {0};
    struct json_writer w;
    int status = tokenizer_export_json(t, &b);
    if (status) {
        buffer_free(&b);
        return status;
    }
    TRY(put_buffer(folder, "tokenizer.json", &b));
    json_write_begin(&w, &b, 2);
    json_write_open(&w, NULL, '{');
    for (unsigned bit = 1; bit <= CHANGED_TEMPLATE; bit <<= 1)
        put_change(t, &w, bit, true);
    json_write_bool(&w, "clean_up_tokenization_spaces", false);
    json_write_text(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    json_write_close(&w);
    buffer_text(&b, "\n");
    return put_buffer(folder, "tokenizer_config.json", &b);
}

int tokenizer_save(const struct tokenizer *t, const char *folder)
{
    TRY(file_make_folder(folder));
    return t->file_count > 0 ? save_files(t, folder) : save_exported(t, folder);
}
