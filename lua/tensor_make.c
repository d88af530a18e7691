/* tensor_make.c -- new tensors: from tables and numbers, zeros, ones, random, ranges. */
#include "kernels/base/mem.h"
#include "lua/runtime.h"
#include "lua/tensor.h"

#include <inttypes.h>

/* Shape of the nested table at the top of the stack, by its first entries. */
static int table_shape(lua_State *L, int64_t *shape)
{
    int ndim = 0, base = lua_gettop(L);
    lua_pushvalue(L, -1);
    while (lua_istable(L, -1)) {
        if (ndim == VIEW_DIMS)
            return bind_error(L, "Tensor: at most %d levels of tables", VIEW_DIMS);
        shape[ndim++] = (int64_t)lua_rawlen(L, -1);
        lua_rawgeti(L, -1, 1);
    }
    lua_settop(L, base);
    return ndim;
}

/* Copies the numbers of the table on top into values; every level must have the first one's size. */
static void table_values(lua_State *L, const int64_t *shape, int ndim, int level, double **next)
{
    char found[80];
    luaL_checkstack(L, 4, NULL);
    if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != shape[level])
        bind_error(L,
                   "Tensor: rows differ: wanted %" PRId64 " entries, found %s; hint: all rows "
                   "need one length",
                   shape[level], bind_describe(L, -1, found, sizeof found));
    for (int64_t i = 1; i <= shape[level]; i++) {
        lua_rawgeti(L, -1, i);
        if (level + 1 < ndim) {
            table_values(L, shape, ndim, level + 1, next);
        } else {
            if (lua_type(L, -1) != LUA_TNUMBER)
                bind_error(L, "Tensor: numbers are wanted, found %s",
                           bind_describe(L, -1, found, sizeof found));
            *(*next)++ = lua_tonumber(L, -1);
        }
        lua_pop(L, 1);
    }
}

/* A tensor of ctx's compute dtype from doubles. */
int tensor_from_doubles(struct context *ctx, int ndim, const int64_t *shape, const double *values,
                        struct tensor **out)
{
    if (ctx->compute == DT_F64)
        return tensor_from(ctx, DT_F64, ndim, shape, values, out);
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    float *narrow = mem_alloc((size_t)n * sizeof *narrow);
    if (!narrow)
        return ERR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        narrow[i] = (float)values[i];
    int status = tensor_from(ctx, DT_F32, ndim, shape, narrow, out);
    mem_free(narrow);
    return status;
}

int tensor_construct(lua_State *L)
{
    int64_t shape[VIEW_DIMS], count = 1;
    lua_settop(L, 1);
    struct context *ctx = runtime_context(L);
    struct tensor **out = lua_tensor_new(L);
    if (lua_type(L, 1) == LUA_TNUMBER) {
        bind_check(L, tensor_scalar(ctx, ctx->compute, lua_tonumber(L, 1), out));
        return 1;
    }
    if (!lua_istable(L, 1)) {
        char found[80];
        return bind_error(L,
                          "Tensor wants a number or a table of numbers, found %s; hint: "
                          "Tensor{{1, 2}, {3, 4}}",
                          bind_describe(L, 1, found, sizeof found));
    }
    lua_pushvalue(L, 1);
    int ndim = table_shape(L, shape);
    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    double *values = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *values, 0), *next = values;
    lua_pushvalue(L, 1);
    table_values(L, shape, ndim, 0, &next);
    bind_check(L, tensor_from_doubles(ctx, ndim, shape, values, out));
    lua_settop(L, 2);
    return 1;
}

/* Sizes given as (2, 3) or ({2, 3}), from argument 'arg' on; returns how many. */
int tensor_read_sizes(lua_State *L, int arg, int64_t *shape)
{
    char found[80];
    int n = 0;
    if (lua_istable(L, arg)) {
        n = (int)lua_rawlen(L, arg);
        lua_settop(L, arg);
        for (int i = 1; i <= n && i <= VIEW_DIMS; i++)
            lua_rawgeti(L, arg, i);
        lua_remove(L, arg);
    } else {
        n = lua_gettop(L) - arg + 1;
    }
    if (n > VIEW_DIMS)
        return bind_error(L, "a tensor has at most %d dimensions, found %d", VIEW_DIMS, n);
    for (int i = 0; i < n; i++) {
        int whole;
        shape[i] = lua_tointegerx(L, arg + i, &whole);
        if (!whole || shape[i] < -1)
            return bind_error(L, "a size must be an integer, found %s",
                              bind_describe(L, arg + i, found, sizeof found));
    }
    return n;
}

static int filled(lua_State *L, double value)
{
    int64_t shape[VIEW_DIMS];
    int n = tensor_read_sizes(L, 1, shape);
    struct context *ctx = runtime_context(L);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, tensor_new(ctx, ctx->compute, n, shape, out));
    bind_check(L, tensor_fill(*out, value));
    return 1;
}

int tensor_zeros(lua_State *L)
{
    return filled(L, 0);
}

int tensor_ones(lua_State *L)
{
    return filled(L, 1);
}

/* Numbers of the session's stream: each call takes a further stretch. */
static int random_tensor(lua_State *L, double (*draw)(struct rng_key, uint64_t))
{
    static uint64_t used;
    int64_t shape[VIEW_DIMS], count = 1;
    int n = tensor_read_sizes(L, 1, shape);
    for (int i = 0; i < n; i++)
        count *= shape[i];
    struct context *ctx = runtime_context(L);
    struct tensor **out = lua_tensor_new(L);
    struct rng_key key = rng_key(bind_host.seed, RNG_USER);
    if (count < 0 || count > (int64_t)1 << 32)
        return bind_error(L, "%" PRId64 " elements are too many", count);
    double *values = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *values, 0);
    for (int64_t i = 0; i < count; i++)
        values[i] = draw(key, used + (uint64_t)i);
    used += (uint64_t)count;
    bind_check(L, tensor_from_doubles(ctx, n, shape, values, out));
    lua_pop(L, 1);
    return 1;
}

int tensor_randn(lua_State *L)
{
    return random_tensor(L, rng_normal);
}

int tensor_rand(lua_State *L)
{
    return random_tensor(L, rng_uniform);
}

int tensor_arange(lua_State *L)
{
    double from = luaL_checknumber(L, 1), to = luaL_checknumber(L, 2),
           step = luaL_optnumber(L, 3, 1);
    if (step == 0 || (to - from) / step < 0 || (to - from) / step > 1e9)
        return bind_error(L, "arange: from %g to %g by %g is no range", from, to, step);
    int64_t n = (int64_t)((to - from) / step + 1e-9) + 1;
    struct context *ctx = runtime_context(L);
    struct tensor **out = lua_tensor_new(L);
    double *values = lua_newuserdatauv(L, (size_t)n * sizeof *values, 0);
    for (int64_t i = 0; i < n; i++)
        values[i] = from + step * (double)i;
    bind_check(L, tensor_from_doubles(ctx, 1, &n, values, out));
    lua_pop(L, 1);
    return 1;
}
