/* unicode.h -- the character classes of Unicode 16.0; UTF-8 itself is in core/utf8.h.
 *
 * One class table of our own, since the tokenizer we must agree with and the libraries of the
 * system follow different versions of Unicode. Pure functions: no state, no allocation. */
#ifndef ENGINE_TEXT_UNICODE_H
#define ENGINE_TEXT_UNICODE_H

#include "engine/core/utf8.h"

enum unicode_flag {
    UNICODE_LETTER = 1,     /* general category L */
    UNICODE_NUMBER = 2,     /* N */
    UNICODE_SPACE = 4,      /* White_Space: 25 code points */
    UNICODE_WORD = 8,       /* what \w means in the reference: letters, marks, digits, connectors */
    UNICODE_MARK = 16,      /* M */
    UNICODE_ASSIGNED = 128, /* not unassigned, surrogate or private */
};

/* All flags of a code point; the values above may be or'ed. Code points above U+10FFFF have none. */
unsigned unicode_flags(uint32_t cp);

/* First code point after 'cp' whose flags or width differ from those of 'cp'; 0x110000 at the end. */
uint32_t unicode_next_change(uint32_t cp);

/* Punctuation as the reference's Punctuation splitter has it: ASCII's and that of an old Unicode. */
bool unicode_is_punctuation(uint32_t cp);

/* Columns on a terminal: 2 for wide (CJK, emoji), 0 for combining marks and format characters,
 * -1 for control characters (below U+0020, U+007F to U+009F) and what is no code point, else 1. */
int unicode_width(uint32_t cp);

#endif
