/* context.c -- the caching allocator and scratch memory of a context.
 *
 * Size classes grow by quarters of a power of two, so a block wastes at most a fifth. */
#include "engine/tensor/context.h"
#include "kernels/base/mem.h"
#include "kernels/base/size.h"

/* A block of this many classes from the wanted one on will do: at most half as large again. */
#define REUSE_CLASSES 3
#define SLACK_LEAST ((int64_t)1 << 20)

struct block {
    struct block *next;
    void *data;
    uint64_t freed; /* when: counts frees */
};

int context_new(struct device *device, enum dtype compute, struct context **out)
{
    if (!device->ops->supports(compute))
        return fail(ERR_ARG, "device %s does not compute in %s; hint: use f32, or --device ref",
                    device->name, dtype_name(compute));
    struct context *ctx = mem_calloc(1, sizeof *ctx);
    if (!ctx)
        return ERR_MEMORY;
    ctx->device = device;
    ctx->compute = compute;
    ctx->grad = true;
    ctx->refs = 1;
    *out = ctx;
    return OK;
}

struct context *context_keep(struct context *ctx)
{
    ctx->refs++;
    return ctx;
}

void context_release(struct context *ctx)
{
    if (!ctx || --ctx->refs)
        return;
    context_trim(ctx);
    mem_free(ctx);
}

/* The class of a size and the bytes its blocks have: 256, 320, 384, 448, 512, 640, ... */
static int size_class(size_t bytes, size_t *rounded)
{
    size_t base = 256;
    int octave = 0;
    while (base <= SIZE_MAX / 4 && base * 2 <= bytes) {
        base *= 2;
        octave++;
    }
    size_t quarter = base / 4;
    size_t steps = bytes <= base ? 0 : (bytes - base + quarter - 1) / quarter;
    *rounded = base + steps * quarter;
    return (int)i64_min(4 * octave + (int)steps, CONTEXT_CLASSES - 1);
}

/* The bytes of a class: the inverse of size_class. */
static size_t class_bytes(int class)
{
    size_t base = (size_t)256 << (class / 4);
    return base + (size_t)(class % 4) * (base / 4);
}

static void trim_blocks(struct context *ctx)
{
    for (int class = 0; class < CONTEXT_CLASSES; class ++)
        while (ctx->free_blocks[class]) {
            struct block *b = ctx->free_blocks[class];
            ctx->free_blocks[class] = b->next;
            device_release(ctx->device, b->data, class_bytes(class));
            mem_free(b);
        }
    ctx->cached_bytes = 0;
}

void context_trim(struct context *ctx)
{
    trim_blocks(ctx);
    device_release(ctx->device, ctx->scratch.data, ctx->scratch.bytes);
    ctx->scratch = (struct scratch){0};
}

static bool take_cached(struct context *ctx, int class, size_t bytes, void **data)
{
    struct block *b = ctx->free_blocks[class];
    if (!b)
        return false;
    ctx->free_blocks[class] = b->next;
    ctx->cached_bytes -= (int64_t)bytes;
    *data = b->data;
    mem_free(b);
    return true;
}

/* The cached block that has been idle longest; *class is its class. NULL = none. */
static struct block **oldest_block(struct context *ctx, int *class)
{
    struct block **oldest = NULL;
    for (int c = 0; c < CONTEXT_CLASSES; c++)
        for (struct block **at = &ctx->free_blocks[c]; *at; at = &(*at)->next)
            if (!oldest || (*at)->freed < (*oldest)->freed) {
                oldest = at;
                *class = c;
            }
    return oldest;
}

/* What the device may be asked to hold for us. */
static int64_t held_limit(const struct context *ctx)
{
    return ctx->peak_used + i64_max(ctx->peak_used / 16, SLACK_LEAST);
}

/* Steps of changing size leave blocks of many classes behind. Before the device is asked for more,
 * unused blocks are given back, the longest idle first, until the total stays near the most that
 * was ever in use at once: the peak is then that of the largest step, not the sum over sizes. The
 * slack covers what the classes of one step waste, and the order keeps its blocks: without either,
 * equal steps would give back and ask again for ever. */
static void make_room(struct context *ctx, size_t bytes)
{
    int64_t in_use = ctx->used_bytes + (int64_t)bytes;
    ctx->peak_used = i64_max(ctx->peak_used, in_use);
    int64_t limit = held_limit(ctx);
    int class;
    struct block **at;
    while (in_use + ctx->cached_bytes > limit && (at = oldest_block(ctx, &class))) {
        struct block *b = *at;
        *at = b->next;
        device_release(ctx->device, b->data, class_bytes(class));
        ctx->cached_bytes -= (int64_t)class_bytes(class);
        mem_free(b);
    }
}

/* Memory from the device; when there is none, what lies unused is given back first. */
static int device_memory(struct context *ctx, size_t bytes, void **data)
{
    make_room(ctx, bytes);
    int status = device_alloc(ctx->device, bytes, data);
    if (status == ERR_MEMORY && ctx->cached_bytes) {
        trim_blocks(ctx);
        status = device_alloc(ctx->device, bytes, data);
    }
    return status;
}

/* All bits set is a NaN in every float dtype: whoever reads it shows. */
static int poison(struct context *ctx, void *data, size_t bytes)
{
    return ctx->poison ? device_set(ctx->device, data, 0xFF, bytes) : OK;
}

/* The class to take a cached block from: the wanted one or, when the device should not be asked for
 * more, a larger one. Larger ones are not taken lightly: each would be missed where it belongs. */
static int cached_class(const struct context *ctx, int class, size_t bytes)
{
    bool full = ctx->used_bytes + ctx->cached_bytes + (int64_t)bytes > held_limit(ctx);
    int end = full ? (int)i64_min(class + REUSE_CLASSES, CONTEXT_CLASSES) : class + 1;
    for (int c = class; c < end; c++)
        if (ctx->free_blocks[c])
            return c;
    return -1;
}

int context_alloc(struct context *ctx, size_t bytes, void **data, size_t *rounded)
{
    int class = size_class(bytes, rounded), cached = cached_class(ctx, class, *rounded);
    if (cached > class)
        *rounded = class_bytes(cached);
    if (cached < 0 || !take_cached(ctx, cached, *rounded, data))
        TRY(device_memory(ctx, *rounded, data));
    int status = poison(ctx, *data, *rounded);
    if (status)
        device_release(ctx->device, *data, *rounded);
    else
        ctx->used_bytes += (int64_t)*rounded;
    return status;
}

void context_free(struct context *ctx, void *data, size_t rounded)
{
    if (!data)
        return;
    size_t same;
    int class = size_class(rounded, &same);
    ctx->used_bytes -= (int64_t)rounded;
    struct block *b = mem_alloc(sizeof *b);
    if (!b || poison(ctx, data, rounded)) { /* no room even for the note: give it straight back */
        mem_free(b);
        device_release(ctx->device, data, rounded);
        return;
    }
    *b = (struct block){ctx->free_blocks[class], data, ++ctx->frees};
    ctx->free_blocks[class] = b;
    ctx->cached_bytes += (int64_t)rounded;
}

int context_scratch(struct context *ctx, size_t bytes, struct scratch *out)
{
    if (bytes > ctx->scratch.bytes) {
        TRY(device_sync(ctx->device)); /* queued work may still use the old one */
        device_release(ctx->device, ctx->scratch.data, ctx->scratch.bytes);
        ctx->scratch = (struct scratch){0};
        void *data;
        TRY(device_memory(ctx, bytes, &data));
        ctx->scratch = (struct scratch){data, bytes};
    }
    if (bytes)
        TRY(poison(ctx, ctx->scratch.data, ctx->scratch.bytes));
    *out = ctx->scratch;
    return OK;
}
