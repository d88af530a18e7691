/* chat.h -- a conversation as the model was taught to read it: text, token ids, what to learn.
 *
 * Messages are a list of maps with role and content, as transformers' apply_chat_template takes
 * them: keys that are none are dropped, reasoning_content has its older names too, the special
 * tokens are variables of the template. The text holds its own bos, so it is encoded without added
 * ones. A chat borrows its tokenizer; one thread at a time, as the tokenizer. */
#ifndef ENGINE_TEXT_CHAT_H
#define ENGINE_TEXT_CHAT_H

#include "engine/core/value.h"
#include "engine/text/template/template.h"
#include "engine/text/tokenizer.h"

struct chat;

/* 'text': a chat template; NULL = the tokenizer's own, ERR_ARG with a hint when it has none.
 * 'tokenizer' NULL: a chat that renders only, without special tokens. */
int chat_open(struct tokenizer *tokenizer, const char *text, size_t length,
              struct chat **out) MUST_CHECK;
void chat_free(struct chat *c); /* NULL is fine */

/* Does the template mark the assistant's words itself? */
bool chat_has_generation(const struct chat *c);

/* The template's text, borrowed; and whether a name occurs anywhere in it. */
const char *chat_text(const struct chat *c, size_t *length);
bool chat_mentions(const struct chat *c, const char *name);

struct chat_options {                      /* zeroed = all off */
    const struct value *tools, *documents; /* lists; NULL = none */
    const struct value *variables;         /* a map of further variables; NULL = none */
    bool add_generation_prompt;
    const char *continue_field; /* "content": the text ends inside that field of the last message */
    struct template_options limits;
};

/* The text of a conversation, with the spans of {% generation %}. ERR_ARG: no list of maps, a
 * template that refuses (out->raised) or fails. */
int chat_render(const struct chat *c, const struct value *messages,
                const struct chat_options *options, struct template_result *out) MUST_CHECK;

/* As chat_render, with one span for each assistant turn whatever the template: from behind the
 * header to behind the end of the turn. Without {% generation %} the starts of the conversation are
 * rendered one by one; ERR_ARG when one is not how the next begins. */
int chat_render_turns(const struct chat *c, const struct value *messages,
                      const struct chat_options *options, struct template_result *out) MUST_CHECK;

struct chat_mask {  /* start zeroed, release with chat_mask_free */
    uint8_t *learn; /* 1 = the assistant's */
    int64_t count, capacity;
};
void chat_mask_free(struct chat_mask *m);

/* Appends the ids of a conversation to 'ids' (which must not have spans) and, unless 'mask' is
 * NULL, one byte for each to 'mask': what the assistant says, with the token that ends its turn. */
int chat_encode(struct chat *c, const struct value *messages, const struct chat_options *options,
                struct id_list *ids, struct chat_mask *mask) MUST_CHECK;

#endif
