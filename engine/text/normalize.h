/* normalize.h -- Unicode normalisation forms and lower case, through utf8proc. */
#ifndef ENGINE_TEXT_NORMALIZE_H
#define ENGINE_TEXT_NORMALIZE_H

#include "kernels/base/status.h"
#include <stddef.h>
#include <stdint.h>

enum normal_form { NORMAL_NFC, NORMAL_NFD, NORMAL_NFKC, NORMAL_NFKD };

/* The form of valid UTF-8: *out is owned by the caller. The library is opened on first use;
 * ERR_ARG when it is not installed. */
int normalize_form(enum normal_form form, const char *text, size_t length, char **out,
                   size_t *out_length) MUST_CHECK;

/* Bytes at p that no form changes, alone or with what follows: characters below U+0300 (NFC),
 * ASCII (the others), each followed by another such one or by the end. */
size_t normalize_unchanged(enum normal_form form, const char *text, size_t length);

/* Lower case of one code point as UTF-8 in out[8]; its bytes in *length. */
int normalize_lower(uint32_t cp, char out[8], size_t *length) MUST_CHECK;

#endif
