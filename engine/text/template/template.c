/* template.c -- parsing and rendering from outside. */
#include "engine/text/template/template.h"
#include "engine/text/template/eval.h"
#include "engine/text/template/parse.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

#include <string.h>

enum { PARSED_BYTES = 32 << 20, FUEL = 10 * 1000 * 1000, OUTPUT = 4 << 20, MEMORY = 64 << 20 };

int template_parse(const char *text, size_t length, struct template **out)
{
    struct template *t = mem_calloc(1, sizeof *t);
    if (!t)
        return ERR_MEMORY;
    t->heap.limit = PARSED_BYTES;
    int status = parse_template(text, length, t);
    if (status)
        template_free(t);
    else
        *out = t;
    return status;
}

void template_free(struct template *t)
{
    if (!t)
        return;
    heap_free(&t->heap);
    mem_free(t);
}

bool template_has_generation(const struct template *t)
{
    return t->has_generation;
}

bool template_mentions(const struct template *t, const char *word)
{
    return memmem(t->source.text, t->source.length, word, strlen(word)) != NULL;
}

/* The outermost names: variables, else functions, else undefined. */
static int globals(struct eval *e, const struct value *variables)
{
    const struct template *t = e->t;
    e->globals = heap_array(&e->budget.heap, t->name_count, sizeof *e->globals);
    if (!e->globals)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < t->name_count; i++) {
        const char *name = t->names[i];
        size_t length = t->name_lengths[i];
        const struct value *v = value_map_get_bytes(variables, name, length);
        const struct builtin *f = builtin_function(name, length);
        if (v) {
            int status = tv_from_value(&e->budget, v, &e->globals[i]);
            if (status)
                return fail_in(status, "%.*s", (int)length, name);
        } else if (f) {
            e->globals[i] = (struct tv){.kind = TV_FUNCTION, .as.function = f};
        } else {
            e->globals[i] = tv_undefined(name, length);
        }
    }
    return OK;
}

int template_render(const struct template *t, const struct value *variables,
                    const struct template_options *options, struct template_result *out)
{
    static const struct template_options defaults;
    struct eval e = {.t = t, .options = options ? options : &defaults, .outside = -1};
    e.budget.fuel = e.options->fuel ? e.options->fuel : FUEL;
    /* texts under construction and the output may take 3/8: each doubles as it grows */
    e.budget.heap.limit = (e.options->memory ? e.options->memory : MEMORY) / 8 * 5;
    e.budget.text = e.options->output ? e.options->output : OUTPUT;
    int status = globals(&e, variables);
    if (!status)
        status = eval_body(&e, &t->body, &e.root);
    if (!status)
        status = buffer_close(&e.out);
    heap_free(&e.budget.heap);
    out->raised = e.raised;
    if (status) {
        buffer_free(&e.out);
        mem_free(e.spans);
        return status;
    }
    out->text = e.out.bytes;
    out->length = (size_t)e.out.length;
    for (int64_t i = 0; i < e.span_count; i++) { /* a captured text may have been cut */
        e.spans[i].start = i64_min(e.spans[i].start, e.out.length);
        e.spans[i].end = i64_min(e.spans[i].end, e.out.length);
    }
    out->spans = e.spans;
    out->span_count = e.span_count;
    return OK;
}

void template_result_free(struct template_result *r)
{
    mem_free(r->text);
    mem_free(r->spans);
    memset(r, 0, sizeof *r);
}
