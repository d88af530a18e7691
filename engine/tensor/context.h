/* context.h -- what tensors of one device share: the device, the compute dtype, the gradient
 * switch, scratch memory and a caching allocator.
 *
 * Freed blocks are kept by size and handed out again, so a steady training step asks the device
 * for nothing; the cache is emptied under memory pressure and by context_trim. Not thread-safe:
 * one thread builds graphs. */
#ifndef ENGINE_TENSOR_CONTEXT_H
#define ENGINE_TENSOR_CONTEXT_H

#include "kernels/kernels.h"

struct block; /* a cached free block */

#define CONTEXT_CLASSES 256

struct context {
    struct device *device; /* borrowed */
    enum dtype compute;    /* dtype of activations and gradients: f32, or f64 on ref */
    bool grad;             /* record what backward needs */
    uint64_t sequence;     /* numbers autograd nodes in order of creation */
    struct scratch scratch;
    struct block *free_blocks[CONTEXT_CLASSES];
    int64_t cached_bytes;          /* in free_blocks */
    int64_t used_bytes, peak_used; /* handed out now, and at most */
    uint64_t frees;                /* blocks that came back so far: the cache's clock */
    int64_t live_tensors;
    int64_t refs;
    int64_t logits_bytes; /* of one chunk of the fused loss; 0 = 48 MiB */
    /* for tests */
    bool poison;       /* fill memory with NaN when it is handed out and when it comes back */
    bool keep_dropped; /* tensor_drop does nothing */
};

/* 'compute' must be one the device supports. Errors: ERR_ARG, ERR_MEMORY. */
int context_new(struct device *device, enum dtype compute, struct context **out) MUST_CHECK;
struct context *context_keep(struct context *ctx);
void context_release(struct context *ctx); /* the last one frees; tensors hold a reference */

/* Device memory through the cache; *rounded is what must be given back. */
int context_alloc(struct context *ctx, size_t bytes, void **data, size_t *rounded) MUST_CHECK;
void context_free(struct context *ctx, void *data, size_t rounded);

/* Gives cached blocks and scratch back to the device. */
void context_trim(struct context *ctx);

/* Scratch of at least 'bytes', shared by all operations of the context (they run in order). */
int context_scratch(struct context *ctx, size_t bytes, struct scratch *out) MUST_CHECK;

/* Runs operation 'name' with its scratch: RUN(ctx, gemm, .dst = ..., .x = ...) is a status. */
#define RUN(ctx, name, ...)                                                                       \
    __extension__({                                                                               \
        struct name##_args run_args_ = {__VA_ARGS__};                                             \
        int run_status_ = context_scratch((ctx), k_##name##_workspace((ctx)->device, &run_args_), \
                                          &run_args_.work);                                       \
        run_status_ ? run_status_ : k_##name((ctx)->device, &run_args_);                          \
    })

#endif
