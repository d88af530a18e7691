/* manifest.c -- writes, reads and proves the list of a checkpoint's files. */
#include "engine/train/manifest.h"
#include "engine/core/file.h"
#include "engine/core/json.h"
#include "engine/core/json_write.h"
#include "engine/core/sha256.h"
#include "kernels/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (1 << 20)
#define LARGEST (16 << 20) /* of a manifest */

void manifest_free(struct manifest *m)
{
    for (int64_t i = 0; i < m->count; i++)
        mem_free(m->files[i].name);
    mem_free(m->files);
    *m = (struct manifest){0};
}

/* Size and hash of a file. */
static int hash_file(const char *path, struct manifest_file *out)
{
    struct file *f;
    struct sha256 s;
    TRY(file_open(path, &f));
    int status = OK;
    char *block = mem_alloc(BLOCK);
    if (!block)
        status = ERR_MEMORY;
    out->bytes = file_size(f);
    sha256_begin(&s);
    for (int64_t at = 0; at < out->bytes && !status; at += BLOCK) {
        size_t n = out->bytes - at < BLOCK ? (size_t)(out->bytes - at) : BLOCK;
        status = file_read_at(f, at, block, n);
        if (!status)
            sha256_add(&s, block, n);
    }
    sha256_end(&s, out->sha256);
    mem_free(block);
    file_close(f);
    return status;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int add_file(struct manifest *m, const char *folder, const char *name)
{
    TRY(mem_grow((void **)&m->files, &m->room, m->count + 1, sizeof *m->files));
    struct manifest_file *f = &m->files[m->count];
    *f = (struct manifest_file){.name = mem_text(name, strlen(name))};
    if (!f->name)
        return ERR_MEMORY;
    m->count++;
    char path[FILE_PATH];
    TRY(file_join(path, folder, name));
    return hash_file(path, f);
}

static void write_text(struct buffer *b, const struct manifest *m)
{
    struct json_writer w;
    char run[32] = "";
    for (int i = 0; i < 16; i++)
        run[i] = "0123456789abcdef"[m->run >> (60 - 4 * i) & 15];
    json_write_begin(&w, b, 2);
    json_write_open(&w, NULL, '{');
    json_write_text(&w, "format", "lorash checkpoint");
    json_write_int(&w, "version", m->version);
    json_write_int(&w, "step", m->step);
    json_write_int(&w, "serial", m->serial);
    json_write_text(&w, "run", run);
    json_write_open(&w, "files", '{');
    for (int64_t i = 0; i < m->count; i++) {
        json_write_open(&w, m->files[i].name, '{');
        json_write_int(&w, "bytes", m->files[i].bytes);
        json_write_text(&w, "sha256", m->files[i].sha256);
        json_write_close(&w);
    }
    json_write_close(&w);
    json_write_close(&w);
    buffer_text(b, "\n");
}

int manifest_write(const char *folder, int64_t step, int64_t serial, uint64_t run)
{
    struct manifest m = {.version = MANIFEST_VERSION, .step = step, .serial = serial, .run = run};
    struct file_names names = {0};
    struct buffer b = {0};
    int status;
    TRY_OUT(file_list(folder, &names));
    for (int64_t i = 0; i < names.count; i++)
        if (strcmp(names.items[i], MANIFEST_NAME))
            TRY_OUT(add_file(&m, folder, names.items[i]));
    write_text(&b, &m);
    TRY_OUT(buffer_close(&b));
    status = file_write_in(folder, MANIFEST_NAME, b.bytes, (size_t)b.length);
out:
    buffer_free(&b);
    file_names_free(&names);
    manifest_free(&m);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Exactly 'n' lower-case hexadecimal digits as the text of the next value. */
static int take_hex(struct json *j, const char *what, char *out, size_t n)
{
    TRY(json_next(j));
    bool good = j->kind == JSON_STRING && j->length == n;
    for (size_t i = 0; i < n && good; i++)
        good = j->text[i] && strchr("0123456789abcdef", j->text[i]);
    if (!good)
        return json_fail(j, "%s: expected %zu hexadecimal digits", what, n);
    memcpy(out, j->text, n);
    out[n] = '\0';
    return OK;
}

static int take_count(struct json *j, const char *what, int64_t *out)
{
    TRY(json_take_int(j, what, out));
    return *out < 0 ? json_fail(j, "%s: %" PRId64 " is negative", what, *out) : OK;
}

static int read_file(struct json *j, struct manifest *m)
{
    TRY(mem_grow((void **)&m->files, &m->room, m->count + 1, sizeof *m->files));
    struct manifest_file *f = &m->files[m->count];
    *f = (struct manifest_file){.bytes = -1};
    if (!j->length || memchr(j->text, '\0', j->length))
        return json_fail(j, "a file name is empty or holds a NUL");
    f->name = mem_text(j->text, j->length);
    if (!f->name)
        return ERR_MEMORY;
    m->count++;
    if (!file_is_plain_name(f->name))
        return json_fail(j, "'%.60s' is not a plain file name", f->name);
    TRY(json_open(j, JSON_OBJECT, "file"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            break;
        if (json_is(j, "bytes"))
            TRY(take_count(j, "bytes", &f->bytes));
        else if (json_is(j, "sha256"))
            TRY(take_hex(j, "sha256", f->sha256, 64));
        else
            TRY(json_skip_value(j));
    }
    return f->bytes < 0 || !*f->sha256 ? json_fail(j, "%.60s: bytes or sha256 is missing", f->name)
                                       : OK;
}

static int read_files(struct json *j, struct manifest *m)
{
    TRY(json_open(j, JSON_OBJECT, "files"));
    for (;;) {
        TRY(json_next(j));
        if (j->kind == JSON_OBJECT_END)
            return OK;
        TRY(read_file(j, m));
    }
}

static int read_entry(struct json *j, struct manifest *m)
{
    char run[17];
    if (json_is(j, "version")) {
        TRY(take_count(j, "version", &m->version));
        return m->version == MANIFEST_VERSION
                   ? OK
                   : json_fail(j,
                               "version %" PRId64 ", this program reads %d; hint: a newer lorash "
                               "wrote it",
                               m->version, MANIFEST_VERSION);
    }
    if (json_is(j, "step"))
        return take_count(j, "step", &m->step);
    if (json_is(j, "serial"))
        return take_count(j, "serial", &m->serial);
    if (json_is(j, "run")) {
        TRY(take_hex(j, "run", run, 16));
        m->run = strtoull(run, NULL, 16);
        return OK;
    }
    return json_is(j, "files") ? read_files(j, m) : json_skip_value(j);
}

int manifest_parse(const char *bytes, size_t length, struct manifest *out)
{
    struct manifest m = {.step = -1, .serial = -1};
    struct json j;
    int status;
    json_begin(&j, bytes, length, NULL);
    TRY_OUT(json_open(&j, JSON_OBJECT, "the manifest"));
    for (;;) {
        TRY_OUT(json_next(&j));
        if (j.kind == JSON_OBJECT_END)
            break;
        TRY_OUT(read_entry(&j, &m));
    }
    TRY_OUT(json_end(&j));
    if (!m.version || m.step < 0 || m.serial < 0 || !m.count)
        status = fail(ERR_FORMAT, "version, step, serial or files is missing");
out:
    json_free(&j);
    if (status)
        manifest_free(&m);
    else
        *out = m;
    return status;
}

int manifest_read(const char *folder, struct manifest *out)
{
    char path[FILE_PATH], *bytes;
    size_t length;
    TRY(file_join(path, folder, MANIFEST_NAME));
    if (!file_exists(path))
        return fail(ERR_FORMAT,
                    "'%s' has no " MANIFEST_NAME ": it was not written to its end, or not by "
                    "lorash",
                    folder);
    TRY(file_read(path, LARGEST, &bytes, &length));
    int status = manifest_parse(bytes, length, out);
    mem_free(bytes);
    return status ? fail_in(status, "'%s'", path) : OK;
}

static int check_file(const char *folder, const struct manifest_file *wanted)
{
    struct manifest_file found = {0};
    char path[FILE_PATH];
    TRY(file_join(path, folder, wanted->name));
    if (!file_exists(path))
        return fail(ERR_FORMAT, "'%s' is missing", path);
    TRY(hash_file(path, &found));
    if (found.bytes != wanted->bytes)
        return fail(ERR_FORMAT, "'%s' has %" PRId64 " bytes, its manifest says %" PRId64, path,
                    found.bytes, wanted->bytes);
    if (strcmp(found.sha256, wanted->sha256))
        return fail(ERR_FORMAT, "'%s' is damaged: its SHA-256 is not the one of its manifest",
                    path);
    return OK;
}

int manifest_check(const char *folder, const struct manifest *m)
{
    for (int64_t i = 0; i < m->count; i++)
        TRY(check_file(folder, &m->files[i]));
    return OK;
}
