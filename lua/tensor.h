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

#endif
