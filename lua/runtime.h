/* runtime.h -- the tensor contexts of the process, made on first use.
 *
 * Models and f32 tensors live in the context of --device; f64 tensors live in a context of the
 * 'ref' device, which computes in double. main closes both after the Lua state is gone. */
#ifndef LUA_RUNTIME_H
#define LUA_RUNTIME_H

#include "engine/tensor/tensor.h"
#include "lua/bind.h"

struct context *runtime_context(lua_State *L); /* raises on failure */
struct context *runtime_wide(lua_State *L);    /* f64; raises on failure */

/* Host memory in use, blocks that only wait in the contexts' caches left out. */
int64_t runtime_bytes_in_use(void);

/* After lua_close: frees contexts and the devices opened here and in bind_host. */
void runtime_close(void);

#endif
