/* data_readme.c -- 'configs' in the front matter of a data set's README.md.
 *
 * Not YAML, but the shapes in which the hub's own tools write this one list: block lists and keys,
 * one a line, scalars plain or quoted, and lists in brackets. Anything else of the front matter is
 * passed over. */
#include "engine/data/data_files.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

struct piece {
    const char *at;
    size_t length;
};

static struct piece trim(struct piece p)
{
    while (p.length && strchr(" \t\r", p.at[0])) {
        p.at++;
        p.length--;
    }
    while (p.length && strchr(" \t\r", p.at[p.length - 1]))
        p.length--;
    return p;
}

/* Without blanks, quotes and a comment behind it. */
static struct piece scalar(struct piece p)
{
    p = trim(p);
    char quote = p.length ? p.at[0] : '\0';
    if (quote == '"' || quote == '\'') {
        const char *end = memchr(p.at + 1, quote, p.length - 1);
        return (struct piece){p.at + 1, end ? (size_t)(end - p.at - 1) : p.length - 1};
    }
    for (size_t i = 1; i < p.length; i++)
        if (p.at[i] == '#' && p.at[i - 1] == ' ')
            p.length = i;
    return trim(p);
}

static bool is(struct piece p, const char *literal)
{
    return p.length == strlen(literal) && !memcmp(p.at, literal, p.length);
}

static bool same(const char *text, struct piece p)
{
    return text && is(p, text);
}

/* What is known of the configuration being read, and of all so far. */
struct reading {
    const char *wanted;        /* or NULL */
    struct data_files files;   /* of the configuration being read */
    struct data_files *chosen; /* of the one that will be used */
    int chosen_rank; /* 0 none, 1 the first, 2 called "default", 3 marked default, 4 wanted */
    int rank, configs;
    char names[300]; /* of all, for the message */
    char split[64], folder[512];
    int64_t item;               /* files before the open item of data_files */
    bool in_files;              /* below data_files: or path: */
    size_t indent, item_indent; /* of the configurations; of data_files' items, 0 = none yet */
};

static int add_pattern(struct reading *r, struct piece p)
{
    char path[1024];
    if (p.length == 0)
        return OK;
    if (p.length > 400)
        return fail(ERR_FORMAT,
                    "configs: the pattern '%.60s...' has %zu bytes, at most 400 are read", p.at,
                    p.length);
    snprintf(path, sizeof path, "%s%s%.*s", r->folder, r->folder[0] ? "/" : "", (int)p.length,
             p.at);
    if (path[0] == '/' || strstr(path, ".."))
        return fail(ERR_FORMAT, "configs: the pattern '%.100s' leaves the folder", path);
    return data_files_push(&r->files, r->split, path);
}

/* One pattern, or [a, b]. */
static int add_patterns(struct reading *r, struct piece value)
{
    if (value.length < 2 || value.at[0] != '[')
        return add_pattern(r, scalar(value));
    const char *p = value.at + 1, *end = value.at + value.length - 1;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        TRY(add_pattern(r, scalar((struct piece){p, (size_t)(stop - p)})));
        p = stop + 1;
    }
    return OK;
}

/* The configuration that was read is complete: kept when it ranks higher than what is chosen. */
static void end_config(struct reading *r)
{
    if (r->configs && r->rank > r->chosen_rank) {
        data_files_free(r->chosen);
        *r->chosen = r->files;
        r->files = (struct data_files){0};
        r->chosen_rank = r->rank;
    }
    data_files_free(&r->files);
}

static void begin_config(struct reading *r)
{
    end_config(r);
    r->rank = r->wanted ? 0 : 1;
    r->configs++;
    r->folder[0] = '\0';
    r->in_files = false;
    snprintf(r->split, sizeof r->split, "train");
}

static void raise_rank(struct reading *r, int rank)
{
    if (rank > r->rank)
        r->rank = rank;
}

static void name_config(struct reading *r, struct piece value)
{
    size_t used = strlen(r->names);
    if (used + value.length + 4 < sizeof r->names)
        snprintf(r->names + used, sizeof r->names - used, "%s%.*s", used ? ", " : "",
                 (int)value.length, value.at);
    if (same(r->wanted, value))
        raise_rank(r, 4);
    else if (!r->wanted && is(value, "default"))
        raise_rank(r, 2);
}

/* The split of the open item also holds for a path that stood before it. */
static int name_split(struct reading *r, struct piece value)
{
    snprintf(r->split, sizeof r->split, "%.*s", (int)(value.length < 63 ? value.length : 63),
             value.at);
    for (int64_t i = r->item; i < r->files.count; i++) {
        char *copy = mem_text(r->split, strlen(r->split));
        if (!copy)
            return ERR_MEMORY;
        mem_free(r->files.items[i].split);
        r->files.items[i].split = copy;
    }
    return OK;
}

static int read_key(struct reading *r, struct piece key, struct piece rest)
{
    struct piece value = scalar(rest);
    bool list = is(key, "data_files") || is(key, "path");
    bool was_in_files = r->in_files;
    r->in_files = list || (was_in_files && is(key, "split"));
    if (list) {
        if (is(key, "data_files")) {
            r->item = r->files.count;
            r->item_indent = 0;
        }
        return add_patterns(r, trim(rest));
    }
    if (is(key, "split"))
        return name_split(r, value);
    if (is(key, "config_name"))
        name_config(r, value);
    else if (is(key, "data_dir"))
        snprintf(r->folder, sizeof r->folder, "%.*s",
                 (int)(value.length < 500 ? value.length : 500), value.at);
    else if (is(key, "default") && is(value, "true") && !r->wanted)
        raise_rank(r, 3);
    return OK;
}

static int read_line(struct reading *r, struct piece line, size_t indent)
{
    bool dash = line.length >= 2 && line.at[0] == '-' && line.at[1] == ' ';
    if (dash && r->configs == 0)
        r->indent = indent;
    if (dash && indent == r->indent)
        begin_config(r);
    else if (dash && r->item_indent == 0)
        r->item_indent = indent;
    if (dash && indent == r->item_indent)
        r->item = r->files.count;
    if (dash)
        line = trim((struct piece){line.at + 2, line.length - 2});
    const char *colon = line.length ? memchr(line.at, ':', line.length) : NULL;
    bool quoted = line.length && strchr("\"'", line.at[0]);
    if (colon && !quoted && (colon + 1 == line.at + line.length || colon[1] == ' '))
        return read_key(r, (struct piece){line.at, (size_t)(colon - line.at)},
                        (struct piece){colon + 1, line.length - (size_t)(colon - line.at) - 1});
    return dash && r->in_files ? add_pattern(r, scalar(line)) : OK;
}

/* The next line of the text. */
static struct piece take_line(const char **p, const char *end)
{
    const char *stop = memchr(*p, '\n', (size_t)(end - *p));
    struct piece line = {*p, (size_t)((stop ? stop : end) - *p)};
    *p = stop ? stop + 1 : end;
    return line;
}

int data_files_from_readme(const char *text, size_t length, const char *config,
                           struct data_files *out)
{
    struct data_files chosen = {0};
    struct reading r = {.wanted = config, .chosen = &chosen};
    const char *p = text, *end = text + length;
    bool inside = false;
    int status = OK;
    if (p < end && is(trim(take_line(&p, end)), "---"))
        while (p < end && !status) {
            struct piece line = take_line(&p, end), body = trim(line);
            size_t indent = (size_t)(body.at - line.at);
            if (is(body, "---"))
                break;
            if (body.length == 0 || body.at[0] == '#')
                continue;
            if (indent == 0 && body.at[0] != '-')
                inside = is(body, "configs:");
            else if (inside)
                status = read_line(&r, body, indent);
        }
    end_config(&r);
    if (!status && config && r.chosen_rank < 4)
        status = fail(ERR_ARG, "there is no configuration '%.60s'; hint: there is %s", config,
                      r.names[0] ? r.names : "none");
    else if (!status && r.configs > 1 && r.chosen_rank == 1)
        status = fail(ERR_ARG,
                      "there are several configurations; hint: load_dataset(path, name) with one "
                      "of %s",
                      r.names);
    if (status)
        data_files_free(&chosen);
    else
        *out = chosen;
    return status;
}
