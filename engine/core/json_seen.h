/* json_seen.h -- the keys of the objects a JSON parser is inside of; private to the parser. */
#ifndef ENGINE_CORE_JSON_SEEN_H
#define ENGINE_CORE_JSON_SEEN_H

#include "engine/core/json.h"

/* Notes the current key, which starts at byte 'at' (its '"'). ERR_FORMAT when the object has it. */
int json_seen_add(struct json *j, size_t at) MUST_CHECK;

/* The object at this depth (1 = outermost) is closed: its keys are forgotten. */
void json_seen_close(struct json_seen *s, int depth);
void json_seen_free(struct json_seen *s);

#endif
