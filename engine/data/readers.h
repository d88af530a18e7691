/* readers.h -- files that become tables, and tables that become files.
 *
 * readers[] is the one list of dataset formats; load_dataset, read_csv and the tests walk it. */
#ifndef ENGINE_DATA_READERS_H
#define ENGINE_DATA_READERS_H

#include "engine/data/table.h"

struct reader_options {
    char *delimiter;            /* one character, or NULL: what the format says */
    bool keep_default_na;       /* NA, null, None and the like are null; else only what is empty */
    bool infer;                 /* find numbers and truth values; else every column stays text */
    char *field;                /* json: the key of the outermost object that holds the rows */
    char *sample_by;            /* text: line (also NULL), paragraph or document */
    volatile const int *cancel; /* not 0: stop with ERR_CANCELLED; may be NULL */
};
#define READER_DEFAULTS                        \
    {                                          \
        .keep_default_na = true, .infer = true \
    }

struct reader {
    const char *name;       /* "csv" */
    const char *extensions; /* "tsv,tab" */
    const char *family;     /* of tsv: "csv", since load_dataset("csv") reads both */
    int (*read)(const char *bytes, size_t length, const struct reader_options *options,
                struct table **out);
};

extern const struct reader readers[]; /* ends with a NULL name */

/* By name, or by the extension of a path. ERR_ARG when there is none. */
int reader_find(const char *name, const struct reader **out) MUST_CHECK;
int reader_for_path(const char *path, const struct reader **out) MUST_CHECK;

/* By an extension without its dot; NULL when there is none. */
const struct reader *reader_by_extension(const char *extension, size_t length);

/* 'r', or the reader of its family that the path's extension names. */
const struct reader *reader_within(const struct reader *r, const char *path);

/* Reads a whole file; messages start with its path. */
int reader_file(const struct reader *r, const char *path, const struct reader_options *options,
                struct table **out) MUST_CHECK;

/* The table as CSV with a header row; nulls are empty fields. 'index' adds row numbers in front. */
int table_to_csv(const struct table *t, char delimiter, bool index, struct buffer *out) MUST_CHECK;

#endif
