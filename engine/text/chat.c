/* chat.c -- messages to the template's variables, turns to spans, spans to a mask. */
#include "engine/text/chat.h"
#include "engine/text/template/pytext.h"
#include "kernels/base/mem.h"

#include <stdio.h>
#include <string.h>

#define TAG "CONTINUE_FINAL_MESSAGE_TAG "

struct chat {
    struct tokenizer *tokenizer;
    struct template *template;
    char *text; /* the template's */
    size_t length;
};

int chat_open(struct tokenizer *tokenizer, const char *text, size_t length, struct chat **out)
{
    if (!text && tokenizer)
        text = tokenizer_chat_template(tokenizer);
    if (!text)
        return fail(ERR_ARG, "the tokenizer has no chat template; hint: set one with "
                             "tokenizer.chat_template = \"...\" or pass chat_template = \"...\"");
    if (text == (tokenizer ? tokenizer_chat_template(tokenizer) : NULL))
        length = strlen(text);
    struct chat *c = mem_calloc(1, sizeof *c);
    if (!c)
        return ERR_MEMORY;
    c->tokenizer = tokenizer;
    c->text = mem_text(text, length);
    c->length = length;
    int status = c->text ? template_parse(text, length, &c->template) : ERR_MEMORY;
    if (status) {
        chat_free(c);
        return fail_in(status, "chat template");
    }
    *out = c;
    return OK;
}

const char *chat_text(const struct chat *c, size_t *length)
{
    *length = c->length;
    return c->text;
}

bool chat_mentions(const struct chat *c, const char *name)
{
    return template_mentions(c->template, name);
}

void chat_free(struct chat *c)
{
    if (!c)
        return;
    template_free(c->template);
    mem_free(c->text);
    mem_free(c);
}

bool chat_has_generation(const struct chat *c)
{
    return template_has_generation(c->template);
}

/* --- messages */

static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

static struct value *reasoning_of(const struct value *message)
{
    for (int i = 0; i < 3; i++) {
        struct value *v = value_map_get(message, reasoning_names[i]);
        if (v && v->kind != VALUE_NONE)
            return v;
    }
    return NULL;
}

/* 'field' of the message with the tag behind its text; lists of parts get it in their last text. */
static struct value *tagged(const struct value *content)
{
    struct buffer b = {0};
    struct value *out = NULL;
    buffer_add(&b, content->as.text.bytes, content->as.text.length);
    buffer_text(&b, TAG);
    if (!b.status)
        out = value_text(b.bytes, (size_t)b.length);
    buffer_free(&b);
    return out;
}

/* A copy of a map with one key set to 'v', which is taken. */
static int with_key(const struct value *map, const char *key, struct value *v, struct value **out)
{
    struct value *copy = value_map();
    int status = copy ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < map->as.map.count && !status; i++) {
        const struct value_entry *e = &map->as.map.entries[i];
        status = value_map_set_bytes(copy, e->key->as.text.bytes, e->key->as.text.length,
                                     value_keep(e->value));
    }
    if (!status)
        status = value_map_set(copy, key, v);
    else
        value_drop(v);
    if (status)
        value_drop(copy);
    else
        *out = copy;
    return status;
}

/* A list of parts whose last text part has the tag. */
static int tagged_parts(const struct value *parts, struct value **out)
{
    int64_t last = parts->as.list.count - 1;
    while (last >= 0 && !value_map_get(parts->as.list.items[last], "text"))
        last--;
    const struct value *text = last < 0 ? NULL : value_map_get(parts->as.list.items[last], "text");
    if (!text || text->kind != VALUE_TEXT)
        return fail(ERR_ARG, "continue_final_message: the last message has no text to continue");
    struct value *copy = value_list();
    int status = copy ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < parts->as.list.count && !status; i++) {
        struct value *item = NULL;
        if (i == last)
            status = with_key(parts->as.list.items[i], "text", tagged(text), &item);
        else
            item = value_keep(parts->as.list.items[i]);
        if (!status)
            status = value_list_add(copy, item);
    }
    if (status)
        value_drop(copy);
    else
        *out = copy;
    return status;
}

static bool is_reasoning(const char *field)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(field, reasoning_names[i]) == 0)
            return true;
    return false;
}

/* Puts the tag behind the field of the last message; reasoning has copies under other names. */
static int add_tag(struct value *message, const char *field)
{
    const struct value *content = value_map_get(message, field);
    struct value *v = NULL;
    if (!content || content->kind == VALUE_NONE)
        return fail(ERR_ARG, "continue_final_message: the last message has no '%s' to continue",
                    field);
    if (content->kind == VALUE_LIST)
        TRY(tagged_parts(content, &v));
    else if (content->kind == VALUE_TEXT)
        v = tagged(content);
    else
        return fail(ERR_ARG, "continue_final_message: the '%s' of the last message is no text",
                    field);
    if (!v)
        return ERR_MEMORY;
    int status = OK;
    for (int i = 0; i < 3 && !status && is_reasoning(field); i++) {
        const struct value *copy = value_map_get(message, reasoning_names[i]);
        if (copy && strcmp(reasoning_names[i], field) != 0 && value_equal(copy, content))
            status = value_map_set(message, reasoning_names[i], value_keep(v));
    }
    if (status) {
        value_drop(v);
        return status;
    }
    return value_map_set(message, field, v);
}

/* One message as the template gets it. */
static int prepare(const struct value *message, int64_t number, struct value **out)
{
    char found[80];
    if (message->kind != VALUE_MAP)
        return fail(ERR_ARG,
                    "messages[%lld]: expected a table with role and content, found %s; hint: "
                    "{{role = \"user\", content = \"...\"}}",
                    (long long)number, value_describe(message, found, sizeof found));
    struct value *reasoning = reasoning_of(message), *copy = value_map();
    int status = copy ? OK : ERR_MEMORY;
    if (!status && reasoning)
        status = value_map_set(copy, "thinking", value_keep(reasoning));
    for (int64_t i = 0; i < message->as.map.count && !status; i++) {
        const struct value_entry *e = &message->as.map.entries[i];
        if (e->value->kind != VALUE_NONE)
            status = value_map_set_bytes(copy, e->key->as.text.bytes, e->key->as.text.length,
                                         value_keep(e->value));
    }
    if (!status && reasoning)
        status = value_map_set(copy, "reasoning_content", value_keep(reasoning));
    if (status)
        value_drop(copy);
    else
        *out = copy;
    return status;
}

/* The first 'count' messages. */
static int prepare_all(const struct value *messages, int64_t count, const char *field,
                       struct value **out)
{
    struct value *list = value_list();
    int status = list ? OK : ERR_MEMORY;
    for (int64_t i = 0; i < count && !status; i++) {
        struct value *message = NULL;
        status = prepare(messages->as.list.items[i], i + 1, &message);
        if (!status && field && i == count - 1) {
            status = add_tag(message, field);
            if (status)
                value_drop(message);
        }
        if (!status)
            status = value_list_add(list, message);
    }
    if (status)
        value_drop(list);
    else
        *out = list;
    return status;
}

/* --- variables */

static int special_tokens(const struct tokenizer *t, struct value *variables)
{
    static const char *const names[] = {
        [TOKENIZER_BOS] = "bos_token",
        [TOKENIZER_EOS] = "eos_token",
        [TOKENIZER_PAD] = "pad_token",
        [TOKENIZER_UNK] = "unk_token",
    };
    for (int i = 0; t && i < 4; i++) {
        int32_t id = tokenizer_special_id(t, (enum tokenizer_special)i);
        size_t length = 0;
        const char *text = id >= 0 ? tokenizer_token_bytes(t, id, &length) : NULL;
        if (text)
            TRY(value_map_set(variables, names[i], value_text(text, length)));
    }
    return OK;
}

static int add_variables(const struct chat *c, const struct chat_options *o, bool prompt,
                         struct value *variables)
{
    const struct value *extra = o->variables;
    TRY(special_tokens(c->tokenizer, variables));
    for (int64_t i = 0; extra && i < extra->as.map.count; i++) {
        const struct value_entry *e = &extra->as.map.entries[i];
        TRY(value_map_set_bytes(variables, e->key->as.text.bytes, e->key->as.text.length,
                                value_keep(e->value)));
    }
    TRY(value_map_set(variables, "tools",
                      o->tools ? value_keep((struct value *)o->tools) : value_none()));
    TRY(value_map_set(variables, "documents",
                      o->documents ? value_keep((struct value *)o->documents) : value_none()));
    return value_map_set(variables, "add_generation_prompt", value_bool(prompt));
}

/* Renders the first 'count' messages. */
static int render(const struct chat *c, const struct value *messages, int64_t count,
                  const struct chat_options *o, bool prompt, struct template_result *out)
{
    struct value *variables = value_map(), *list = NULL;
    int status = variables ? OK : ERR_MEMORY;
    if (!status)
        status = prepare_all(messages, count, o->continue_field, &list);
    if (!status)
        status = value_map_set(variables, "messages", list);
    if (!status)
        status = add_variables(c, o, prompt, variables);
    if (!status) {
        status = template_render(c->template, variables, &o->limits, out);
        if (status && !out->raised)
            status = fail_in(status, "chat template");
    }
    value_drop(variables);
    return status;
}

/* Cuts the text where the tag stands. */
static int cut_at_tag(struct template_result *r)
{
    size_t tag = sizeof TAG - 2, start = 0; /* without its blank */
    int64_t at = pytext_find_last(r->text, r->length, TAG, tag);
    if (at < 0)
        return fail(ERR_ARG, "continue_final_message: the last message does not appear in the "
                             "text; hint: the template leaves it out or changes it");
    size_t stop = (size_t)at;
    if (r->text[stop + tag] != ' ') /* the template strips blanks */
        pytext_strip(r->text, &start, &stop, NULL, 0, false, true);
    r->text[stop] = '\0';
    r->length = stop;
    return OK;
}

static int check(const struct value *messages, const struct chat_options *o)
{
    char found[80];
    if (messages->kind != VALUE_LIST)
        return fail(ERR_ARG, "messages: expected a list of messages, found %s",
                    value_describe(messages, found, sizeof found));
    if (o->tools && o->tools->kind != VALUE_LIST)
        return fail(ERR_ARG, "tools: expected a list, found %s",
                    value_describe(o->tools, found, sizeof found));
    if (o->documents && o->documents->kind != VALUE_LIST)
        return fail(ERR_ARG, "documents: expected a list, found %s",
                    value_describe(o->documents, found, sizeof found));
    if (o->variables && o->variables->kind != VALUE_MAP)
        return fail(ERR_ARG, "template variables: expected a map, found %s",
                    value_describe(o->variables, found, sizeof found));
    if (o->continue_field && o->add_generation_prompt)
        return fail(ERR_ARG, "continue_final_message and add_generation_prompt exclude one "
                             "another: the first goes on with the last message, the second "
                             "begins a new one");
    if (o->continue_field && !messages->as.list.count)
        return fail(ERR_ARG, "continue_final_message: there are no messages");
    return OK;
}

int chat_render(const struct chat *c, const struct value *messages,
                const struct chat_options *options, struct template_result *out)
{
    static const struct chat_options none;
    const struct chat_options *o = options ? options : &none;
    out->raised = false;
    TRY(check(messages, o));
    TRY(render(c, messages, messages->as.list.count, o, o->add_generation_prompt, out));
    if (!o->continue_field)
        return OK;
    int status = cut_at_tag(out);
    if (status)
        template_result_free(out);
    return status;
}

/* --- turns of a template that does not mark them */

struct part {
    const char *text;
    size_t length;
};

static bool begins(struct part text, struct part start)
{
    return start.length <= text.length && memcmp(text.text, start.text, start.length) == 0;
}

static bool ends(struct part text, struct part tail)
{
    return tail.length <= text.length &&
           memcmp(text.text + text.length - tail.length, tail.text, tail.length) == 0;
}

/* The end-of-text token, which some templates put behind the last message, whosever it is. */
static struct part eos_of(const struct chat *c, const struct chat_options *o)
{
    struct part eos = {"", 0};
    const struct value *given = value_map_get(o->variables, "eos_token");
    int32_t id = c->tokenizer ? tokenizer_special_id(c->tokenizer, TOKENIZER_EOS) : -1;
    if (given && given->kind == VALUE_TEXT)
        eos = (struct part){given->as.text.bytes, given->as.text.length};
    else if (id >= 0)
        eos.text = tokenizer_token_bytes(c->tokenizer, id, &eos.length);
    return eos;
}

static int unstable(int64_t number)
{
    return fail(ERR_ARG,
                "the chat template writes message %lld in another way once the conversation goes "
                "on, so what the assistant says cannot be told apart; hint: a template with "
                "{%% generation %%} marks it",
                (long long)number);
}

/* The span of a turn from three texts: 'before' it, when it is 'asked' for, and 'after' it. An
 * end-of-text token that is there only because the conversation ends is taken off. */
static int place(struct part whole, struct part before, struct part asked, struct part after,
                 struct part eos, int64_t number, struct template_span *out)
{
    size_t start = 0;
    if (!begins(whole, after) && ends(after, eos))
        after.length -= eos.length;
    if (!begins(after, before) && ends(before, eos))
        before.length -= eos.length;
    if (!begins(after, before) || !begins(whole, after))
        return unstable(number);
    while (start < asked.length && start < after.length && asked.text[start] == after.text[start])
        start++;
    while (start && start < after.length && ((unsigned char)after.text[start] & 0xC0) == 0x80)
        start--;
    if (start < before.length)
        return unstable(number);
    out->start = (int64_t)start;
    out->end = (int64_t)after.length;
    return OK;
}

static struct part part_of(const struct template_result *r)
{
    return (struct part){r->text, r->length};
}

/* The turn of message 'i' in the whole text: behind what stood there when the turn was asked for,
 * up to what stands there when it is over. */
static int turn(const struct chat *c, const struct value *messages, int64_t i,
                const struct chat_options *o, const struct template_result *whole,
                struct template_span *out)
{
    struct template_result before = {0}, asked = {0}, after = {0};
    int status = render(c, messages, i + 1, o, false, &after);
    if (!status)
        status = render(c, messages, i, o, true, &asked);
    if (!status)
        status = render(c, messages, i, o, false, &before);
    if (!status)
        status = place(part_of(whole), part_of(&before), part_of(&asked), part_of(&after),
                       eos_of(c, o), i + 1, out);
    template_result_free(&before);
    template_result_free(&asked);
    template_result_free(&after);
    return status;
}

static int turns(const struct chat *c, const struct value *messages, const struct chat_options *o,
                 struct template_result *out)
{
    int64_t capacity = 0;
    for (int64_t i = 0; i < messages->as.list.count; i++) {
        struct template_span span;
        if (!value_is_text(value_map_get(messages->as.list.items[i], "role"), "assistant"))
            continue;
        TRY(turn(c, messages, i, o, out, &span));
        TRY(mem_grow((void **)&out->spans, &capacity, out->span_count + 1, sizeof span));
        out->spans[out->span_count++] = span;
    }
    return OK;
}

int chat_render_turns(const struct chat *c, const struct value *messages,
                      const struct chat_options *options, struct template_result *out)
{
    struct chat_options o = {0};
    if (options)
        o = *options;
    if (o.continue_field)
        return fail(ERR_ARG, "continue_final_message leaves no whole turn to learn");
    TRY(chat_render(c, messages, &o, out));
    if (template_has_generation(c->template))
        return OK;
    int status = turns(c, messages, &o, out);
    if (status)
        template_result_free(out);
    return status;
}

/* --- ids */

void chat_mask_free(struct chat_mask *m)
{
    mem_free(m->learn);
    memset(m, 0, sizeof *m);
}

static bool blank(const char *text, struct token_span s)
{
    size_t start = (size_t)s.start, stop = (size_t)s.end;
    pytext_strip(text, &start, &stop, NULL, 0, true, false);
    return start == stop;
}

/* A turn that ends in a special token and blanks is learned up to that token, as templates that
 * mark their turns have it. */
static int64_t without_blanks(const struct chat *c, const struct id_list *list, const char *text,
                              int64_t first, int64_t stop)
{
    int64_t last = stop;
    while (last > first && blank(text, list->spans[last - 1]) &&
           !tokenizer_is_special(c->tokenizer, list->ids[last - 1]))
        last--;
    return last > first && tokenizer_is_special(c->tokenizer, list->ids[last - 1]) ? last : stop;
}

static void mark(const struct chat *c, const struct template_result *r, const struct id_list *list,
                 uint8_t *learn)
{
    bool marked = template_has_generation(c->template);
    for (int64_t s = 0; s < r->span_count; s++) {
        int64_t first = 0, stop;
        while (first < list->count && list->spans[first].end <= r->spans[s].start)
            first++;
        for (stop = first; stop < list->count && list->spans[stop].start < r->spans[s].end;)
            stop++;
        if (!marked)
            stop = without_blanks(c, list, r->text, first, stop);
        for (int64_t i = first; i < stop; i++)
            learn[i] = list->spans[i].end > list->spans[i].start;
    }
}

static int encode(struct chat *c, const struct template_result *r, struct id_list *ids,
                  struct chat_mask *mask)
{
    struct id_list list = {0};
    int flags = TOKENIZER_PARSE_SPECIAL | (mask ? TOKENIZER_SPANS : 0);
    int64_t before = ids->count;
    int status = tokenizer_encode(c->tokenizer, r->text, r->length, flags, &list);
    if (!status && mask)
        status = mem_grow((void **)&mask->learn, &mask->capacity, mask->count + list.count, 1);
    for (int64_t i = 0; i < list.count && !status; i++)
        status = id_list_add(ids, list.ids[i]);
    if (status) {
        ids->count = before;
    } else if (mask) {
        if (list.count)
            memset(mask->learn + mask->count, 0, (size_t)list.count);
        mark(c, r, &list, mask->learn ? mask->learn + mask->count : NULL);
        mask->count += list.count;
    }
    id_list_free(&list);
    return status;
}

int chat_encode(struct chat *c, const struct value *messages, const struct chat_options *options,
                struct id_list *ids, struct chat_mask *mask)
{
    struct template_result r = {0};
    if (!c->tokenizer)
        return fail(ERR_INTERNAL, "a chat without a tokenizer cannot encode");
    if (mask)
        TRY(chat_render_turns(c, messages, options, &r));
    else
        TRY(chat_render(c, messages, options, &r));
    int status = encode(c, &r, ids, mask);
    template_result_free(&r);
    return status;
}
