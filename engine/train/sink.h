/* sink.h -- where log entries go besides memory: a registry of files.
 *
 * A sink is a file that entries are added to, one after the other. A log that cannot be written
 * never stops training: the problem is kept for whoever shows it, and the next entry starts a sound
 * file again from the whole log. */
#ifndef ENGINE_TRAIN_SINK_H
#define ENGINE_TRAIN_SINK_H

#include "engine/train/arguments.h"
#include "engine/train/log.h"

struct sink_kind {
    const char *name; /* in report_to */
    const char *doc;
    /* Where entries go; owned by the caller. 'n' counts the files of this process. */
    int (*path)(const struct training_arguments *args, int n, char **out);
    void (*begin)(struct buffer *out); /* the file's first bytes; NULL = none */
    void (*entry)(struct buffer *out, const struct trainer_log *e);
};
extern const struct sink_kind *const sink_kinds[]; /* ends with NULL */

#define SINKS 8
struct sinks {
    char *path[SINKS]; /* NULL = not open */
    char problem[256];
    bool told;
};

/* Adds the last of 'count' entries to every sink that args->report_to names. A sink that is not
 * open yet gets all of them into a new file. */
void sinks_write(struct sinks *s, const struct training_arguments *args,
                 const struct trainer_log *logs, int64_t count);

/* The last problem that was not asked for yet, or NULL. */
const char *sinks_problem(struct sinks *s);
void sinks_close(struct sinks *s);

#endif
