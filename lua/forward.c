/* forward.c -- model:logits(ids): one pass over one sequence, for looking and comparing. */
#include "engine/model/model.h"
#include "lua/hold.h"
#include "lua/model.h"
#include "lua/tensor.h"

#include <string.h>

/* The list of token ids at 'arg' into a userdata. */
static int32_t *take_ids(lua_State *L, int arg, int64_t *count)
{
    char found[80];
    if (lua_type(L, arg) != LUA_TTABLE)
        bind_error(L,
                   "logits wants a list of token ids, found %s; hint: "
                   "model:logits(tokenizer:encode(text))",
                   bind_describe(L, arg, found, sizeof found));
    lua_Integer n = (lua_Integer)lua_rawlen(L, arg);
    if (n < 1)
        bind_error(L, "logits wants a list of token ids, found an empty one");
    int32_t *ids = hold_array(L, n, sizeof *ids);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, arg, i + 1);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0 || lua_tointeger(L, -1) > INT32_MAX)
            bind_error(L, "logits: item %lld is no token id: %s", i + 1,
                       bind_describe(L, -1, found, sizeof found));
        ids[i] = (int32_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    *count = n;
    return ids;
}

static int forward(struct model *m, const struct batch_rows *rows, struct tensor **hidden,
                   struct tensor **logits)
{
    struct batch b;
    TRY(batch_from(m->ctx, rows, m->config.vocab_size, &b));
    bool grad = m->ctx->grad;
    m->ctx->grad = false;
    int status = model_forward(m, &b, hidden);
    if (!status)
        status = model_logits(m, *hidden, NULL, logits);
    m->ctx->grad = grad;
    batch_free(&b);
    return status;
}

int model_logits_call(lua_State *L)
{
    struct model *m = lua_model_arg(L, 1);
    int64_t count;
    lua_settop(L, 2);
    int32_t *ids = take_ids(L, 2, &count);
    int32_t *positions = hold_array(L, count, sizeof *positions), starts[2] = {0, (int32_t)count};
    for (int64_t i = 0; i < count; i++)
        positions[i] = (int32_t)i;
    struct batch_rows rows = {
        .tokens = count, .sequences = 1, .ids = ids, .positions = positions, .starts = starts};
    struct tensor **hidden = lua_tensor_new(L), **logits = lua_tensor_new(L);
    bind_check(L, forward(m, &rows, hidden, logits));
    return 1;
}
