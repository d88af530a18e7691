/* sink.c -- the table of log files. To add one: a struct sink_kind and a row. */
#include "engine/train/sink.h"
#include "engine/core/file.h"
#include "engine/train/tensorboard.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <stdio.h>
#include <string.h>

static int jsonl_path(const struct training_arguments *args, int n, char **out)
{
    struct buffer b = {0};
    (void)n;
    buffer_printf(&b, "%s/log.jsonl", args->output_dir);
    int status = buffer_close(&b);
    *out = b.bytes;
    return status;
}

static void jsonl_entry(struct buffer *out, const struct trainer_log *e)
{
    struct json_writer w;
    json_write_begin(&w, out, -1);
    log_write(&w, NULL, e);
    buffer_text(out, "\n");
}

static const struct sink_kind jsonl = {"jsonl", "output_dir/log.jsonl: one JSON object a line",
                                       jsonl_path, NULL, jsonl_entry};

static const struct sink_kind tensorboard = {
    "tensorboard", "TensorBoard event files under logging_dir", tensorboard_path, tensorboard_begin,
    tensorboard_entry};

const struct sink_kind *const sink_kinds[] = {&jsonl, &tensorboard, NULL};

static bool wanted(const struct sink_kind *k, const struct training_arguments *a)
{
    bool on = k == &jsonl && strcmp(a->save_strategy, "no"); /* a folder of results has its log */
    for (int i = 0; i < a->report_to.count; i++)
        on = on || !strcmp(a->report_to.items[i], "all") || !strcmp(a->report_to.items[i], k->name);
    return on;
}

static int make_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return OK;
    char *folder = mem_text(path, (size_t)(slash - path));
    if (!folder)
        return ERR_MEMORY;
    int status = *folder ? file_make_folder(folder) : OK;
    mem_free(folder);
    return status;
}

/* A new file with all entries; its path is set when that went well. */
static int open_sink(const struct sink_kind *k, char **path, const struct training_arguments *args,
                     const struct trainer_log *logs, int64_t count)
{
    static int files;
    struct buffer b = {0};
    char *p = NULL;
    int status = k->path(args, files++, &p);
    if (!status)
        status = make_parent(p);
    if (!status && k->begin)
        k->begin(&b);
    for (int64_t i = 0; i < count && !status; i++)
        k->entry(&b, &logs[i]);
    if (!status)
        status = buffer_close(&b);
    if (!status)
        status = file_write_all(p, b.bytes, (size_t)b.length);
    buffer_free(&b);
    if (status)
        mem_free(p);
    else
        *path = p;
    return status;
}

static int append(const struct sink_kind *k, const char *path, const struct trainer_log *e)
{
    struct buffer b = {0};
    k->entry(&b, e);
    int status = buffer_close(&b);
    if (!status)
        status = file_append(path, b.bytes, (size_t)b.length);
    buffer_free(&b);
    return status;
}

void sinks_write(struct sinks *s, const struct training_arguments *args,
                 const struct trainer_log *logs, int64_t count)
{
    for (int i = 0; sink_kinds[i]; i++) {
        const struct sink_kind *k = sink_kinds[i];
        if (!wanted(k, args))
            continue;
        int status = s->path[i] ? append(k, s->path[i], &logs[count - 1])
                                : open_sink(k, &s->path[i], args, logs, count);
        if (!status)
            continue;
        mem_free(s->path[i]); /* its end may be torn: the next entry writes a whole file */
        s->path[i] = NULL;
        snprintf(s->problem, sizeof s->problem, "%s", status_message());
        s->told = false;
    }
}

const char *sinks_problem(struct sinks *s)
{
    if (!*s->problem || s->told)
        return NULL;
    s->told = true;
    return s->problem;
}

void sinks_close(struct sinks *s)
{
    for (int i = 0; i < SINKS; i++)
        mem_free(s->path[i]);
    *s = (struct sinks){0};
}
