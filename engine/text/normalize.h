/* normalize.h -- Unicode normalisation NFC. */
#ifndef ENGINE_TEXT_NORMALIZE_H
#define ENGINE_TEXT_NORMALIZE_H

#include "kernels/base/status.h"
#include <stddef.h>

/* *out is the NFC form, owned by the caller, or NULL when the text is in that form already. Bytes
 * that are no UTF-8 stay as they are. The library (utf8proc) is opened on first use; ERR_ARG when
 * it is not installed. */
int normalize_nfc(const char *text, size_t length, char **out, size_t *out_length) MUST_CHECK;

#endif
