/* generate.c -- model:generate(...) and the text it gives.
 *
 * Forms: (tokenizer, text, options), (tokenizer, {texts}, options), (tokenizer, messages, options),
 * ({ids}, options) as in the original. At the prompt the text is shown while it is made; the result then prints only its
 * statistics. Ctrl-C ends the generation and keeps what there is. */
#include "engine/model/generate.h"
#include "engine/core/clock.h"
#include "engine/text/tokenizer.h"
#include "kernels/base/mem.h"
#include "lua/chat.h"
#include "lua/model.h"
#include "lua/runtime.h"
#include "lua/tokenizer.h"

#include <stdio.h>
#include <string.h>

/* --- the result ------------------------------------------------------------------------------ */

/* Text and reason are fields of the user value (a table). */
struct text_object {
    int64_t tokens, prompt_tokens;
    double seconds; /* of the new tokens, prompt reading apart */
    bool streamed;
};

static void push_text(lua_State *L, int arg)
{
    bind_arg(L, arg, &text_class);
    lua_getiuservalue(L, arg, 1);
    lua_getfield(L, -1, "text");
    lua_remove(L, -2);
}

static int text_tostring(lua_State *L)
{
    push_text(L, 1);
    return 1;
}

/* Tokens a second behind the first one, whose time is that of reading the prompt; 0 = unknown. */
static double rate_of(const struct text_object *o)
{
    return o->tokens > 1 && o->seconds > 0 ? (double)(o->tokens - 1) / o->seconds : 0;
}

static int text_show(lua_State *L)
{
    struct text_object *o = bind_arg(L, 1, &text_class);
    char line[120];
    int n =
        snprintf(line, sizeof line, "      %d token%s", (int)o->tokens, o->tokens == 1 ? "" : "s");
    if (rate_of(o) > 0)
        snprintf(line + n, sizeof line - (size_t)n, " %s %.0f tok/s",
                 bind_terminal.utf8 ? "·" : "|", rate_of(o));
    if (o->streamed) {
        lua_pushstring(L, line);
        return 1;
    }
    push_text(L, 1);
    lua_pushfstring(L, "\n%s", line);
    lua_concat(L, 2);
    return 1;
}

static int text_concat(lua_State *L)
{
    for (int i = 1; i <= 2; i++)
        if (bind_test(L, i, &text_class)) {
            push_text(L, i);
            lua_replace(L, i);
        }
    lua_settop(L, 2);
    lua_concat(L, 2);
    return 1;
}

static int text_length(lua_State *L)
{
    push_text(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int get_field(lua_State *L, const char *name)
{
    bind_arg(L, 1, &text_class);
    lua_getiuservalue(L, 1, 1);
    lua_getfield(L, -1, name);
    return 1;
}

static int get_text(lua_State *L)
{
    return get_field(L, "text");
}

static int get_reason(lua_State *L)
{
    return get_field(L, "reason");
}

static int get_ids(lua_State *L)
{
    return get_field(L, "ids");
}

static int get_tokens(lua_State *L)
{
    lua_pushinteger(L, ((struct text_object *)bind_arg(L, 1, &text_class))->tokens);
    return 1;
}

static int get_rate(lua_State *L)
{
    struct text_object *o = bind_arg(L, 1, &text_class);
    lua_pushnumber(L, rate_of(o));
    return 1;
}

static const struct lua_property text_properties[] = {
    {"text", get_text, NULL, "The completion as a plain Lua string."},
    {"ids", get_ids, NULL, "The new token ids."},
    {"tokens", get_tokens, NULL, "How many tokens were made."},
    {"tokens_per_second", get_rate, NULL, "Speed, reading the prompt apart."},
    {"reason", get_reason, NULL, "Why it ended: eos, length, stop or interrupted."},
    {NULL, NULL, NULL, NULL},
};

static const luaL_Reg text_meta[] = {{"__tostring", text_tostring},
                                     {"__show", text_show},
                                     {"__concat", text_concat},
                                     {"__len", text_length},
                                     {NULL, NULL}};

const struct lua_class text_class = {
    .name = "GeneratedText",
    .doc = "What model:generate made: tostring and .. give the text; .tokens, .reason and "
           ".tokens_per_second tell about it.",
    .signature = "GeneratedText, from model:generate(tokenizer, text)",
    .properties = text_properties,
    .meta = text_meta,
};

/* --- one run --------------------------------------------------------------------------------- */

/* Everything that must be released; a userdata, so that errors on the way cannot leak. */
struct run {
    struct generation_config config;
    struct generator *generator;
    struct id_list ids;
    struct token_stream stream;
    struct text_buffer text; /* the completion so far */
    size_t shown;            /* bytes of text written already */
    const char *reason;
};

static int run_gc(lua_State *L)
{
    struct run *r = lua_touserdata(L, 1);
    generator_free(r->generator);
    id_list_free(&r->ids);
    text_buffer_free(&r->text);
    options_free(&generation_options, &r->config);
    memset(r, 0, sizeof *r);
    return 0;
}

static struct run *run_new(lua_State *L)
{
    struct run *r = lua_newuserdatauv(L, sizeof *r, 0);
    memset(r, 0, sizeof *r);
    if (luaL_newmetatable(L, "lorash.generation")) {
        lua_pushcfunction(L, run_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return r;
}

/* First place where one of the stop strings occurs, or -1. */
static int64_t find_stop(const struct run *r, int64_t from)
{
    int64_t best = -1;
    for (int i = 0; i < r->config.stop_strings.count; i++) {
        const char *stop = r->config.stop_strings.items[i];
        size_t n = strlen(stop);
        int64_t start = from - (int64_t)n > 0 ? from - (int64_t)n : 0;
        if (!n || !r->text.bytes)
            continue;
        const char *at = memmem(r->text.bytes + start, (size_t)(r->text.length - start), stop, n);
        if (at && (best < 0 || at - r->text.bytes < best))
            best = at - r->text.bytes;
    }
    return best;
}

/* Bytes that may be shown: what could be the beginning of a stop string is held back. */
static int64_t safe_length(const struct run *r)
{
    int64_t held = 0;
    for (int i = 0; i < r->config.stop_strings.count; i++) {
        const char *stop = r->config.stop_strings.items[i];
        int64_t n = (int64_t)strlen(stop);
        for (int64_t k = n - 1 < r->text.length ? n - 1 : r->text.length; k > held; k--)
            if (!memcmp(r->text.bytes + r->text.length - k, stop, (size_t)k)) {
                held = k;
                break;
            }
    }
    return r->text.length - held;
}

static void show_text(struct run *r, int64_t length)
{
    if ((size_t)length <= r->shown)
        return;
    bind_write(r->text.bytes + r->shown, (size_t)length - r->shown);
    r->shown = (size_t)length;
}

static int take_token(struct run *r, struct tokenizer *t, int32_t token, bool stream)
{
    int64_t before = r->text.length;
    TRY(tokenizer_stream(t, &r->stream, token, r->config.skip_special_tokens, &r->text));
    int64_t stop = find_stop(r, before);
    if (stop >= 0) {
        r->text.length = stop;
        r->reason = "stop";
    }
    if (stream)
        show_text(r, stop >= 0 ? stop : safe_length(r));
    return OK;
}

/* Pulls the generator to its end. */
static int pull(struct run *r, struct tokenizer *t, bool stream, double *start)
{
    struct generate_event e;
    while (!r->reason) {
        int status = bind_interrupted ? ERR_CANCELLED : generator_next(r->generator, &e);
        if (status == ERR_CANCELLED) {
            r->reason = "interrupted";
            return OK;
        }
        TRY(status);
        if (e.kind == GENERATE_TOKEN && *start == 0)
            *start = clock_seconds();
        if (e.kind == GENERATE_DONE)
            r->reason = e.reason;
        else if (e.kind == GENERATE_TOKEN && t)
            TRY(take_token(r, t, e.token, stream));
    }
    return OK;
}

/* What ends a text: the option, else the tokenizer's end-of-text token and the model's. */
static int end_tokens(const struct run *r, const struct model *m, struct tokenizer *t, int32_t *eos)
{
    int n = 0;
    if (r->config.eos_token_id >= 0) {
        eos[n++] = (int32_t)r->config.eos_token_id;
        return n;
    }
    if (t && tokenizer_special_id(t, TOKENIZER_EOS) >= 0)
        eos[n++] = tokenizer_special_id(t, TOKENIZER_EOS);
    for (int i = 0; i < m->config.eos_count; i++)
        if (!n || eos[0] != m->config.eos_ids[i])
            eos[n++] = m->config.eos_ids[i];
    return n;
}

static void push_result(lua_State *L, struct run *r, int64_t prompt, double seconds, bool streamed)
{
    int64_t n;
    const int32_t *ids = generator_ids(r->generator, &n);
    struct text_object *o = bind_new(L, &text_class, sizeof *o);
    *o = (struct text_object){n - prompt, prompt, seconds, streamed};
    lua_createtable(L, 0, 3);
    lua_pushlstring(L, r->text.bytes ? r->text.bytes : "", (size_t)r->text.length);
    lua_setfield(L, -2, "text");
    lua_pushstring(L, r->reason);
    lua_setfield(L, -2, "reason");
    lua_createtable(L, (int)(n - prompt), 0);
    for (int64_t i = prompt; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, i - prompt + 1);
    }
    lua_setfield(L, -2, "ids");
    lua_setiuservalue(L, -2, 1);
}

/* Runs one generation from r->ids; pushes its GeneratedText. */
static void generate(lua_State *L, struct model *m, struct tokenizer *t, struct run *r)
{
    int32_t eos[CONFIG_EOS + 1];
    double start = 0;
    bool stream = t && r->config.stream && bind_host.interactive;
    int ends = end_tokens(r, m, t, eos);
    bind_check(L, generator_new(m, &r->config, bind_host.seed, r->ids.ids, r->ids.count, eos, ends,
                                &r->generator));
    int status = pull(r, t, stream, &start);
    if (!status && t && strcmp(r->reason, "stop"))
        status = tokenizer_stream_finish(&r->stream, &r->text);
    if (stream) {
        show_text(r, r->text.length);
        bind_write("\n", 1);
    }
    if (!status && !strcmp(r->reason, "interrupted"))
        bind_take_interrupt(L);
    bind_check(L, status);
    push_result(L, r, r->ids.count, start > 0 ? clock_seconds() - start : 0, stream);
}

static void read_ids(lua_State *L, int arg, struct run *r)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, arg);
    for (lua_Integer i = 1; i <= n; i++) {
        int whole;
        char found[80];
        lua_rawgeti(L, arg, i);
        lua_Integer id = lua_tointegerx(L, -1, &whole);
        if (!whole || id < 0 || id > INT32_MAX)
            bind_error(L, "generate: token id %lld is %s, wanted an integer from 0", i,
                       bind_describe(L, -1, found, sizeof found));
        lua_pop(L, 1);
        bind_check(L, id_list_add(&r->ids, (int32_t)id));
    }
}

static struct run *new_run_with_options(lua_State *L, int options)
{
    struct run *r = run_new(L);
    bind_check(L, options_init(&generation_options, &r->config));
    bind_options(L, options, &generation_options, &r->config);
    return r;
}

/* Frees a run now instead of at the next collection: caches are large. */
static void finish_run(lua_State *L, int at)
{
    lua_pushvalue(L, at);
    lua_pushcfunction(L, run_gc);
    lua_insert(L, -2);
    lua_call(L, 1, 0);
}

static void generate_text(lua_State *L, struct model *m, struct tokenizer *t, int text, int options)
{
    size_t n;
    struct run *r = new_run_with_options(L, options);
    const char *prompt = lua_tolstring(L, text, &n);
    bind_check(L, tokenizer_encode(t, prompt, n, TOKENIZER_ADD_SPECIAL | TOKENIZER_PARSE_SPECIAL,
                                   &r->ids));
    generate(L, m, t, r);
    finish_run(L, lua_gettop(L) - 1);
}

/* The model's answer to a conversation, through the chat template. */
static void generate_chat(lua_State *L, struct model *m, int tokenizer, int messages, int options)
{
    struct run *r = new_run_with_options(L, options);
    int at = lua_gettop(L);
    lua_chat_encode(L, tokenizer, messages, &r->ids);
    generate(L, m, lua_tokenizer_arg(L, tokenizer), r);
    finish_run(L, at);
}

/* A list of texts or conversations gives a list of results. */
static int generate_list(lua_State *L, struct model *m, struct tokenizer *t, int list, int options)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    char found[80];
    lua_createtable(L, (int)n, 0);
    int results = lua_gettop(L);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
        if (lua_chat_is(L, lua_gettop(L)))
            generate_chat(L, m, 2, lua_gettop(L), options);
        else if (lua_type(L, -1) == LUA_TSTRING)
            generate_text(L, m, t, lua_gettop(L), options);
        else
            return bind_error(L, "generate: text %lld is %s", i,
                              bind_describe(L, -1, found, sizeof found));
        lua_rawseti(L, results, i);
        lua_settop(L, results);
    }
    return 1;
}

int model_generate(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    char found[80];
    lua_settop(L, 4);
    if (lua_istable(L, 2)) { /* token ids, options */
        struct run *r = new_run_with_options(L, 3);
        int at = lua_gettop(L);
        if (lua_getfield(L, 2, "input_ids") == LUA_TTABLE) /* what a tokenizer gives */
            lua_replace(L, 2);
        lua_settop(L, at);
        read_ids(L, 2, r);
        generate(L, m, NULL, r);
        finish_run(L, at);
        return 1;
    }
    struct tokenizer *t = lua_tokenizer_arg(L, 2);
    if (lua_chat_is(L, 3)) {
        generate_chat(L, m, 2, 3, 4);
        return 1;
    }
    if (lua_istable(L, 3))
        return generate_list(L, m, t, 3, 4);
    if (lua_type(L, 3) != LUA_TSTRING)
        return bind_error(L,
                          "generate wants a text, found %s; hint: model:generate(tokenizer, "
                          "\"...\", {max_new_tokens = 40})",
                          bind_describe(L, 3, found, sizeof found));
    generate_text(L, m, t, 3, 4);
    return 1;
}
