/* table.c -- the table of the ref device. */
#include "kernels/ref/ref.h"

const struct device_ops ref_ops = {
#define OP(name, flags) .name = ref_##name,
#include "kernels/kernels.def"
#undef OP
    .gemm_workspace = ref_gemm_workspace,
    .embed_workspace = ref_embed_workspace,
    .rms_norm_workspace = ref_rms_norm_workspace,
    .rms_norm_grad_workspace = ref_rms_norm_grad_workspace,
    .attention_workspace = ref_attention_workspace,
    .attention_grad_workspace = ref_attention_grad_workspace,
    .supports = dtype_is_float,
};
