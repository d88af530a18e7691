/* tensor.h -- the Lua class Tensor, for bindings that hand tensors out. */
#ifndef LUA_TENSOR_H
#define LUA_TENSOR_H

#include "engine/tensor/tensor.h"
#include "lua/bind.h"

extern const struct lua_class tensor_class;

/* Pushes an empty Tensor; store into *slot (its reference becomes the object's). */
struct tensor **lua_tensor_new(lua_State *L);

/* The tensor at 'arg', or an error. */
struct tensor *lua_tensor_arg(lua_State *L, int arg);

/* Appends what a person sees of a tensor to 'b': one line of dtype, shape, range, mean, deviation,
 * NaN and infinity counts, histogram, then the corners. */
int tensor_show(struct tensor *t, luaL_Buffer *b);

/* lua/tensor_make.c: the constructor and the functions of the class. */
int tensor_construct(lua_State *L);
int tensor_zeros(lua_State *L);
int tensor_ones(lua_State *L);
int tensor_randn(lua_State *L);
int tensor_rand(lua_State *L);
int tensor_arange(lua_State *L);

/* Sizes given as (2, 3) or ({2, 3}) from argument 'arg' on; returns how many. Raises. */
int tensor_read_sizes(lua_State *L, int arg, int64_t *shape);

/* A tensor of ctx's compute dtype from doubles. */
int tensor_from_doubles(struct context *ctx, int ndim, const int64_t *shape, const double *values,
                        struct tensor **out) MUST_CHECK;

#endif
