/* verbs.h -- what DataFrame and Dataset methods have in common. */
#ifndef LUA_VERBS_H
#define LUA_VERBS_H

#include "engine/data/rows.h"
#include "engine/data/table.h"
#include "lua/bind.h"

/* Rows for which the expression (text) or function at 'arg' holds; pushes what keeps them. */
const struct rows *verbs_where(lua_State *L, int arg, const struct table *t, const char *verb);

/* for i, row in ...: pushes the iterator of the table's rows. */
int verbs_iterate(lua_State *L, const struct table *t);

/* __call of both: for i, row in df do, one step of it. */
int verbs_step(lua_State *L, const struct table *t);

/* to_string{width, max_rows, style} with options at stack index 2; pushes the text. */
int verbs_to_string(lua_State *L, const struct table *t, const struct table *whole);
extern const struct option_table to_string_options;

/* "104.5 KiB" */
const char *verbs_bytes_text(int64_t bytes, char out[32]);

#endif
