/* template.h -- chat templates: the part of Jinja that they use, as transformers renders it.
 *
 * trim_blocks and lstrip_blocks are on; loop controls, {% generation %}, tojson in Python's forms,
 * raise_exception and strftime_now are there; printing follows Python. A template can neither read
 * files nor reach the program, cannot change what it is given, and is stopped by limits on steps,
 * memory, depth and output. A parsed template is only read: threads may share it. */
#ifndef ENGINE_TEXT_TEMPLATE_TEMPLATE_H
#define ENGINE_TEXT_TEMPLATE_TEMPLATE_H

#include "engine/core/value.h"
#include "kernels/base/status.h"

struct template;

/* At most 1 MiB of UTF-8; the text is copied. ERR_FORMAT with line and column. */
int template_parse(const char *text, size_t length, struct template **out) MUST_CHECK;
void template_free(struct template *t); /* NULL is fine */

/* Does it mark what the assistant says, with {% generation %}? */
bool template_has_generation(const struct template *t);

/* Does a name, attribute or text 'word' occur in it? */
bool template_mentions(const struct template *t, const char *word);

struct template_options {
    int64_t fuel;  /* steps; 0 = 10,000,000 */
    size_t output; /* bytes; 0 = 4 MiB */
    size_t memory; /* bytes in all; 0 = 64 MiB */
    int64_t now;   /* what strftime_now tells: seconds since 1970 in local time; 0 = the clock */
};

struct template_span {
    int64_t start, end; /* bytes of the text */
};

struct template_result { /* start zeroed, release with template_result_free */
    char *text;          /* NUL-terminated */
    size_t length;
    struct template_span *spans; /* of {% generation %} blocks, in the order of their ends */
    int64_t span_count;
    bool raised; /* the failure's message is the template's own, from raise_exception */
};

/* Renders over 'variables', a map. Errors name line and column and what was found, but the text of
 * raise_exception stands alone (ERR_ARG, raised). On failure only 'raised' is set. */
int template_render(const struct template *t, const struct value *variables,
                    const struct template_options *options, struct template_result *out) MUST_CHECK;
void template_result_free(struct template_result *r);

#endif
