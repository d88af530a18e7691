/* kernels.c -- the door to every operation: check, then hand to the device.
 *
 * k_<name> and k_<name>_workspace are the same few lines for each operation, so they are made from
 * the one list. What is particular to an operation lies in check_ops.c and in the devices. */
#include "kernels/kernels.h"
#include "kernels/check.h"

static const char *const names[OP_COUNT] = {
#define OP(name, flags) [OP_##name] = #name,
#include "kernels/kernels.def"
#undef OP
};

const char *op_name(enum op_id id)
{
    return (unsigned)id < OP_COUNT ? names[id] : "?";
}

static int check_work(struct device *d, enum op_id id, struct scratch work, size_t wanted)
{
    if (!wanted)
        return OK;
    if (!work.data || work.bytes < wanted)
        return fail(ERR_ARG, "%s: workspace of %zu bytes, wanted %zu (device '%s')", op_name(id),
                    work.data ? work.bytes : 0, wanted, d->name);
    if ((uintptr_t)work.data % 64)
        return fail(ERR_ARG, "%s: workspace is not aligned to 64 bytes", op_name(id));
    return OK;
}

static int no_kernel(struct device *d, enum op_id id)
{
    return fail(ERR_DEVICE, "%s: device '%s' has no such operation; hint: open the 'ref' device",
                op_name(id), d->name);
}

#define OP(name, flags)                                                             \
    size_t k_##name##_workspace(struct device *d, const struct name##_args *a)      \
    {                                                                               \
        if (!d->ops->name##_workspace || check_##name(d, a))                        \
            return 0; /* k_<name> will say what is wrong */                         \
        return d->ops->name##_workspace(d, a);                                      \
    }                                                                               \
    int k_##name(struct device *d, const struct name##_args *a)                     \
    {                                                                               \
        if (!d->ops->name)                                                          \
            return no_kernel(d, OP_##name);                                         \
        TRY(check_##name(d, a));                                                    \
        if (d->ops->name##_workspace)                                               \
            TRY(check_work(d, OP_##name, a->work, d->ops->name##_workspace(d, a))); \
        if (d->enter)                                                               \
            d->enter(d);                                                            \
        d->ops->name(d, a);                                                         \
        if (d->leave)                                                               \
            d->leave(d);                                                            \
        return OK;                                                                  \
    }
#include "kernels/kernels.def"
#undef OP
