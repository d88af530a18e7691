/* data_files.h -- which files make a data set, and which split each belongs to.
 *
 * A list of (split, path), filled by hand or from a folder by the hub's rules: the first of these
 * that finds something decides.
 *   1. 'configs' in the front matter of README.md (a subset of YAML: names, patterns, lists)
 *   2. data/<split>-00000-of-00001*.*
 *   3. a keyword in the name of a folder: train, training; validation, valid, val, dev; test,
 *      testing, eval, evaluation; set apart by one of "-._ 0-9" or the ends of the name
 *   4. the same in the name of a file
 *   5. everything is train
 * Left out: README.md, config.json, dataset_info(s).json, dataset_dict.json, dummy_data.zip, names
 * that start with '.', folders that start with "__". The most frequent format wins (json before csv
 * before text), files of others are left out. */
#ifndef ENGINE_DATA_DATA_FILES_H
#define ENGINE_DATA_DATA_FILES_H

#include "engine/data/readers.h"

struct data_file {
    char *split, *path; /* owned */
};
struct data_files { /* zeroed = empty */
    int64_t count, room;
    struct data_file *items;
};

void data_files_free(struct data_files *d); /* leaves it empty */

/* Adds one path as it is. */
int data_files_push(struct data_files *d, const char *split, const char *path) MUST_CHECK;

/* Adds one path, or all files a pattern matches (sorted), below 'base' (NULL = as it stands).
 * ERR_IO when nothing matches, ERR_ARG for a split that is no name. */
int data_files_add(struct data_files *d, const char *split, const char *base,
                   const char *pattern) MUST_CHECK;

/* Adds the data files of a folder. 'config' names one of README.md's, NULL = its default. ERR_ARG
 * for a config that is not there, ERR_IO when no data file is found. */
int data_files_find(struct data_files *d, const char *folder, const char *config) MUST_CHECK;

/* Splits in the order train, validation, test, then by name; files of a split keep their order. */
void data_files_sort(struct data_files *d);

/* The patterns of README.md's front matter: (split, pattern below the folder) of one config. None
 * when there are no configs. For data_files_find and tests. */
int data_files_from_readme(const char *text, size_t length, const char *config,
                           struct data_files *out) MUST_CHECK;

#endif
