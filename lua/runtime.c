/* runtime.c -- contexts on first use, so that the prompt is there before any device is. */
#include "lua/runtime.h"
#include "kernels/base/mem.h"

#include <string.h>

static struct context *main_context, *wide_context;
static struct device *wide_device;

struct context *runtime_context(lua_State *L)
{
    if (!main_context) {
        struct device *d = bind_device(L);
        bool exact = d->ops->supports(DT_F64) && strcmp(d->kind, "null");
        bind_check(L, context_new(d, exact ? DT_F64 : DT_F32, &main_context));
    }
    return main_context;
}

struct context *runtime_wide(lua_State *L)
{
    struct context *ctx = runtime_context(L);
    if (ctx->compute == DT_F64)
        return ctx;
    if (!wide_device)
        bind_check(L, device_open("ref", NULL, &wide_device));
    if (!wide_context)
        bind_check(L, context_new(wide_device, DT_F64, &wide_context));
    return wide_context;
}

int64_t runtime_bytes_in_use(void)
{
    int64_t idle = main_context ? main_context->cached_bytes : 0;
    return mem_stats().live_bytes - idle - (wide_context ? wide_context->cached_bytes : 0);
}

void runtime_close(void)
{
    context_release(main_context);
    context_release(wide_context);
    device_close(wide_device);
    device_close(bind_host.device);
    main_context = wide_context = NULL;
    wide_device = bind_host.device = NULL;
}
