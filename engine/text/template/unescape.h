/* unescape.h -- backslash escapes of a text in a template, as Python reads them. */
#ifndef ENGINE_TEXT_TEMPLATE_UNESCAPE_H
#define ENGINE_TEXT_TEMPLATE_UNESCAPE_H

#include <stddef.h>

/* Writes the meaning of [text, text + length) to 'out' (room for 'length' bytes) and returns its
 * bytes; -1 for a cut or impossible escape. An escape that Python does not know stays as it is. */
long unescape_text(const char *text, size_t length, char *out);

#endif
