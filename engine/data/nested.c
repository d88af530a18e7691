/* nested.c -- lists and objects in cells, as one line of JSON text. */
#include "engine/data/nested.h"
#include "engine/core/json_write.h"

static void add_scalar(const struct json *j, struct buffer *out)
{
    switch (j->kind) {
    case JSON_STRING:
        json_quote(out, j->text, j->length);
        break;
    case JSON_NUMBER:
        buffer_add(out, j->text, j->length);
        break;
    case JSON_BOOL:
        buffer_text(out, j->boolean ? "true" : "false");
        break;
    default:
        buffer_text(out, "null");
    }
}

int nested_add(struct json *j, struct buffer *out)
{
    int depth = 0;
    bool first = true; /* of the open array or object */
    for (;;) {
        bool end = j->kind == JSON_ARRAY_END || j->kind == JSON_OBJECT_END;
        bool start = j->kind == JSON_ARRAY || j->kind == JSON_OBJECT;
        if (!first && !end)
            buffer_text(out, ", ");
        first = start;
        if (start) {
            buffer_text(out, j->kind == JSON_ARRAY ? "[" : "{");
            depth++;
        } else if (end) {
            buffer_text(out, j->kind == JSON_ARRAY_END ? "]" : "}");
            depth--;
        } else if (j->kind == JSON_KEY) {
            json_quote(out, j->text, j->length);
            buffer_text(out, ": ");
            first = true; /* its value follows without a comma */
        } else {
            add_scalar(j, out);
        }
        if (depth == 0)
            return out->status;
        TRY(json_next(j));
    }
}

int nested_text(const char *text, size_t length, struct buffer *out)
{
    struct json j;
    struct json_options options = {.nan = true};
    int status;
    json_begin(&j, text, length, &options);
    TRY_OUT(json_next(&j));
    if (j.kind != JSON_ARRAY && j.kind != JSON_OBJECT)
        status = json_fail(&j, "expected an array or an object");
    else
        TRY_OUT(nested_add(&j, out));
    if (!status)
        status = json_end(&j);
out:
    json_free(&j);
    return status;
}
