/* ref.h -- what the naive kernels share: reading and writing one element of a view in double.
 *
 * The ref device is the specification. Its loops follow the formulas of kernels.h; none of them is
 * fast, all of them compute in double and round once, when the result is stored. */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include "kernels/kernels.h"

#define OP(name, flags) void ref_##name(struct device *d, const struct name##_args *a);
#include "kernels/kernels.def"
#undef OP

size_t ref_gemm_workspace(struct device *d, const struct gemm_args *a);
size_t ref_embed_workspace(struct device *d, const struct embed_args *a);
size_t ref_rms_norm_workspace(struct device *d, const struct rms_norm_args *a);
size_t ref_rms_norm_grad_workspace(struct device *d, const struct rms_norm_grad_args *a);
size_t ref_attention_workspace(struct device *d, const struct attention_args *a);
size_t ref_attention_grad_workspace(struct device *d, const struct attention_grad_args *a);

/* Element 'i' (counted in elements from the start of the memory, not in view order). */
double ref_load(const void *data, enum dtype t, int64_t i);
void ref_store(void *data, enum dtype t, int64_t i, double value);

/* Memory place of element number 'flat' of a view in row-major order. */
int64_t ref_place(struct view v, int64_t flat);

/* Row 'row' of a stored weight as 'cols' doubles; 'temp' has room for as many floats. */
void ref_weight_row(const struct wview *w, int64_t row, float *temp, double *out);

double ref_unary_value(enum unary_kind kind, double alpha, double beta, double x);
double ref_unary_slope(enum unary_kind kind, double alpha, double x);

static inline bool ref_given(struct view v)
{
    return v.data != NULL;
}

static inline double get(struct view v, int64_t flat)
{
    return ref_load(v.data, v.dtype, ref_place(v, flat));
}

static inline void put(struct view v, int64_t flat, double value)
{
    ref_store(v.data, v.dtype, ref_place(v, flat), value);
}

static inline double get1(struct view v, int64_t i)
{
    return ref_load(v.data, v.dtype, i * v.stride[0]);
}

static inline double get2(struct view v, int64_t i, int64_t j)
{
    return ref_load(v.data, v.dtype, i * v.stride[0] + j * v.stride[1]);
}

static inline double get3(struct view v, int64_t i, int64_t j, int64_t k)
{
    return ref_load(v.data, v.dtype, i * v.stride[0] + j * v.stride[1] + k * v.stride[2]);
}

static inline void put1(struct view v, int64_t i, double value)
{
    ref_store(v.data, v.dtype, i * v.stride[0], value);
}

static inline void put2(struct view v, int64_t i, int64_t j, double value)
{
    ref_store(v.data, v.dtype, i * v.stride[0] + j * v.stride[1], value);
}

static inline void put3(struct view v, int64_t i, int64_t j, int64_t k, double value)
{
    ref_store(v.data, v.dtype, i * v.stride[0] + j * v.stride[1] + k * v.stride[2], value);
}

/* An I32 vector. */
static inline int64_t int1(struct view v, int64_t i)
{
    return ((const int32_t *)v.data)[i * v.stride[0]];
}

/* An F64 one-element view. */
static inline double *number(struct view v)
{
    return v.data;
}

#endif
