/* folder_save.h -- files that appear in a folder together, or not at all.
 *
 * Files are written into a folder of their own (beside the target, or inside it when it exists);
 * commit renames that folder, or exchanges file by file and puts every old one back when a call
 * fails. Other files of the target stay. Only a power cut or kill between two renames of an
 * existing folder can leave some files new and some old; the next save puts the old ones back
 * before it begins. */
#ifndef ENGINE_CORE_FOLDER_SAVE_H
#define ENGINE_CORE_FOLDER_SAVE_H

#include "kernels/base/status.h"

struct folder_save;

/* Errors: ERR_ARG when 'folder' is a file, ERR_IO, ERR_MEMORY. What a save that was killed left
 * behind is put back or removed. */
int folder_save_begin(const char *folder, struct folder_save **out) MUST_CHECK;

/* Where the file of that plain name is to be written; valid until the next call. */
int folder_save_path(struct folder_save *s, const char *name, const char **out) MUST_CHECK;

/* Files of the target that must not outlive the save unless they are written anew: what stands in
 * the way of readers. 'pattern': * ? [a-z], for the name. */
int folder_save_retire(struct folder_save *s, const char *pattern) MUST_CHECK;

/* Frees s in any case; on failure the target is as it was. */
int folder_save_commit(struct folder_save *s) MUST_CHECK;
void folder_save_abandon(struct folder_save *s); /* NULL is fine */

#endif
