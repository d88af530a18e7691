/* tensor.c -- the Lua class Tensor: making, indexing, arithmetic, gradients.
 *
 * Reads like torch. Positions count from 1, negatives from the end. Numbers mix with tensors; an
 * f32 and an f64 tensor do not mix by themselves. */
#include "lua/tensor.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/ops.h"
#include "kernels/base/mem.h"
#include "lua/runtime.h"

#include <inttypes.h>
#include <string.h>

struct tensor **lua_tensor_new(lua_State *L)
{
    return bind_new(L, &tensor_class, sizeof(struct tensor *));
}

struct tensor *lua_tensor_arg(lua_State *L, int arg)
{
    struct tensor **t = bind_arg(L, arg, &tensor_class);
    if (!*t)
        bind_error(L, "the tensor was freed");
    return *t;
}

static int gc(lua_State *L)
{
    struct tensor **t = bind_arg(L, 1, &tensor_class);
    tensor_clear(t);
    return 0;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

/* The operand at 'arg': a tensor, or a number as a scalar tensor of 'like's context. The result is
 * a new reference, held by a userdata pushed on the stack. */
static struct tensor *operand(lua_State *L, int arg, struct tensor *like)
{
    struct tensor **slot;
    char found[80];
    if (bind_test(L, arg, &tensor_class)) {
        struct tensor *t = lua_tensor_arg(L, arg);
        if (t->view.dtype == DT_BLOCK)
            bind_error(L, "a %s weight cannot be computed on; hint: decode it with t:float()",
                       t->format->name);
        if (like && t->ctx != like->ctx)
            bind_error(L, "an f32 and an f64 tensor do not mix; hint: convert one with :double() "
                          "or :float()");
        return t;
    }
    if (lua_type(L, arg) != LUA_TNUMBER)
        bind_error(L, "arithmetic of a tensor with %s; hint: numbers and tensors mix",
                   bind_describe(L, arg, found, sizeof found));
    slot = lua_tensor_new(L);
    bind_check(L, tensor_scalar(like->ctx, like->ctx->compute, lua_tonumber(L, arg), slot));
    return *slot;
}

static int binary(lua_State *L, enum binary_kind kind)
{
    lua_settop(L, 2);
    struct tensor **first = bind_test(L, 1, &tensor_class),
                  **second = bind_test(L, 2, &tensor_class);
    struct tensor *like = first ? *first : second ? *second : NULL;
    if (!like)
        return bind_error(L, "a tensor is wanted");
    struct tensor *a = operand(L, 1, like), *b = operand(L, 2, like);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_binary(a, b, kind, 0, out));
    return 1;
}

#define BINARY(name, kind)        \
    static int name(lua_State *L) \
    {                             \
        return binary(L, kind);   \
    }
BINARY(add, BINARY_ADD)
BINARY(sub, BINARY_SUB)
BINARY(mul, BINARY_MUL)
BINARY(divide, BINARY_DIV)
BINARY(power, BINARY_POW)
BINARY(maximum, BINARY_MAX)
BINARY(minimum, BINARY_MIN)
BINARY(gt, BINARY_GT)
BINARY(lt, BINARY_LT)
BINARY(ge, BINARY_GE)
BINARY(le, BINARY_LE)
BINARY(eq, BINARY_EQ)
BINARY(ne, BINARY_NE)

static int unary(lua_State *L, enum unary_kind kind, double alpha)
{
    struct tensor *x = operand(L, 1, NULL);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_unary(x, kind, alpha, 0, out));
    return 1;
}

#define UNARY(name, kind)         \
    static int name(lua_State *L) \
    {                             \
        return unary(L, kind, 1); \
    }
UNARY(negative, UNARY_NEG)
UNARY(absolute, UNARY_ABS)
UNARY(exponential, UNARY_EXP)
UNARY(logarithm, UNARY_LOG)
UNARY(square_root, UNARY_SQRT)
UNARY(hyperbolic, UNARY_TANH)
UNARY(sigmoid, UNARY_SIGMOID)
UNARY(silu, UNARY_SILU)
UNARY(relu, UNARY_RELU)
UNARY(gelu, UNARY_GELU_TANH)
UNARY(sine, UNARY_SIN)
UNARY(cosine, UNARY_COS)

static int matmul(lua_State *L)
{
    struct tensor *a = operand(L, 1, NULL), *b = operand(L, 2, a);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_matmul(a, b, out));
    return 1;
}

/* --- reductions and shapes -------------------------------------------------------------------- */

/* Dimension argument: none = all (-1), else 1-based with negatives from the end. */
static int dimension(lua_State *L, int arg, struct tensor *t)
{
    return lua_isnoneornil(L, arg) ? -1 : (int)bind_index(L, arg, t->view.ndim, "dimension");
}

static int reduce(lua_State *L, int (*op)(struct tensor *, int, bool, struct tensor **))
{
    struct tensor *x = operand(L, 1, NULL);
    int dim = dimension(L, 2, x);
    bool keep = lua_toboolean(L, 3);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op(x, dim, keep, out));
    return 1;
}

static int sum(lua_State *L)
{
    return reduce(L, op_sum);
}

static int mean(lua_State *L)
{
    return reduce(L, op_mean);
}

static int maximum_of(lua_State *L)
{
    return lua_gettop(L) > 1 && bind_test(L, 2, &tensor_class) ? maximum(L) : reduce(L, op_max);
}

static int minimum_of(lua_State *L)
{
    return lua_gettop(L) > 1 && bind_test(L, 2, &tensor_class) ? minimum(L) : reduce(L, op_min);
}

static int shape(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    lua_createtable(L, t->view.ndim, 0);
    for (int i = 0; i < t->view.ndim; i++) {
        lua_pushinteger(L, t->view.shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int reshape(lua_State *L)
{
    struct tensor *t = operand(L, 1, NULL);
    int64_t sizes[VIEW_DIMS], known = 1;
    int n = tensor_read_sizes(L, 2, sizes), open = -1;
    for (int i = 0; i < n; i++) {
        if (sizes[i] == -1 && open >= 0)
            return bind_error(L, "reshape: only one size can be -1");
        if (sizes[i] == -1)
            open = i;
        else
            known *= sizes[i];
    }
    if (open >= 0)
        sizes[open] = known ? tensor_count(t) / known : 0;
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_reshape(t, n, sizes, out));
    return 1;
}

static int transpose(lua_State *L)
{
    struct tensor *t = operand(L, 1, NULL);
    int a = 0, b = 1;
    if (!lua_isnoneornil(L, 2)) {
        a = (int)bind_index(L, 2, t->view.ndim, "dimension");
        b = (int)bind_index(L, 3, t->view.ndim, "dimension");
    } else if (t->view.ndim != 2) {
        return bind_error(L, "t: a matrix is wanted, found %d dimensions; hint: t:transpose(1, 2)",
                          t->view.ndim);
    }
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_transpose(t, a, b, out));
    return 1;
}

/* One step of t[{...}]: a number selects, {from, to} slices, an empty table keeps all. */
static int index_one(lua_State *L, struct tensor *t, int dim, struct tensor **out, bool *gone)
{
    int64_t size = t->view.shape[dim], from = 0, to = size - 1;
    int at = lua_gettop(L);
    *gone = !lua_istable(L, at);
    if (*gone)
        return op_select(t, dim, bind_index(L, at, size, "position"), out);
    int n = (int)lua_rawlen(L, at);
    if (n) {
        lua_rawgeti(L, at, 1);
        from = to = bind_index(L, -1, size, "position");
        lua_pop(L, 1);
    }
    if (n > 1) {
        lua_rawgeti(L, at, 2);
        to = bind_index(L, -1, size, "position");
        lua_pop(L, 1);
    }
    if (to < from)
        return fail(ERR_ARG, "slice from %" PRId64 " to %" PRId64 " is empty", from + 1, to + 1);
    return op_slice(t, dim, from, to - from + 1, out);
}

static int tensor_index(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    bool gone;
    if (lua_type(L, 2) == LUA_TNUMBER) {
        if (!t->view.ndim)
            return bind_error(L,
                              "a scalar tensor has no positions; hint: t:item() gives its number");
        struct tensor **out = lua_tensor_new(L);
        lua_pushvalue(L, 2);
        bind_check(L, index_one(L, t, 0, out, &gone));
        lua_pop(L, 1);
        return 1;
    }
    if (!lua_istable(L, 2))
        return 0;
    int n = (int)lua_rawlen(L, 2), dim = 0;
    if (n > t->view.ndim)
        return bind_error(L, "%d positions for a tensor of %d dimensions", n, t->view.ndim);
    struct tensor **out = lua_tensor_new(L);
    *out = tensor_keep(t);
    for (int i = 1; i <= n; i++) {
        struct tensor *next;
        lua_rawgeti(L, 2, i);
        bind_check(L, index_one(L, *out, dim, &next, &gone));
        lua_pop(L, 1);
        tensor_release(*out);
        *out = next;
        dim += !gone;
    }
    return 1;
}

/* --- conversion ------------------------------------------------------------------------------ */

static int convert(lua_State *L, struct context *ctx)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    struct tensor **out = lua_tensor_new(L);
    if (t->ctx == ctx) {
        if (t->view.dtype == ctx->compute)
            *out = tensor_keep(t);
        else
            bind_check(L, tensor_convert(t, ctx->compute, out));
        return 1;
    }
    double *values = lua_newuserdatauv(L, (size_t)(tensor_count(t) + 1) * sizeof *values, 0);
    bind_check(L, tensor_read_double(t, values));
    bind_check(L, tensor_from_doubles(ctx, t->view.ndim, t->view.shape, values, out));
    lua_pop(L, 1);
    return 1;
}

static int to_float(lua_State *L)
{
    return convert(L, runtime_context(L));
}

static int to_double(lua_State *L)
{
    return convert(L, runtime_wide(L));
}

static int item(lua_State *L)
{
    double value;
    bind_check(L, tensor_item(lua_tensor_arg(L, 1), &value));
    lua_pushnumber(L, value);
    return 1;
}

/* Pushes values [from..] of dimension 'dim' on as nested tables. */
static void push_list(lua_State *L, struct tensor *t, int dim, const double **next)
{
    luaL_checkstack(L, 4, NULL);
    if (dim == t->view.ndim) {
        double v = *(*next)++;
        if (dtype_is_float(t->view.dtype))
            lua_pushnumber(L, v);
        else
            lua_pushinteger(L, (lua_Integer)v);
        return;
    }
    lua_createtable(L, (int)t->view.shape[dim], 0);
    for (int64_t i = 0; i < t->view.shape[dim]; i++) {
        push_list(L, t, dim + 1, next);
        lua_rawseti(L, -2, i + 1);
    }
}

static int tolist(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    double *values = lua_newuserdatauv(L, (size_t)(tensor_count(t) + 1) * sizeof *values, 0);
    const double *next = values;
    bind_check(L, tensor_read_double(t, values));
    push_list(L, t, 0, &next);
    return 1;
}

static int detach(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, tensor_view(t, t->view, out));
    return 1;
}

static int clone(lua_State *L)
{
    struct tensor *t = operand(L, 1, NULL);
    struct tensor **out = lua_tensor_new(L);
    bind_check(L, op_contiguous(t, out));
    return 1;
}

/* --- gradients ------------------------------------------------------------------------------- */

static int backward(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    bind_check(L, tensor_backward(t, lua_isnoneornil(L, 2) ? NULL : operand(L, 2, t)));
    return 0;
}

static int zero_grad(lua_State *L)
{
    tensor_clear(&lua_tensor_arg(L, 1)->grad);
    return 0;
}

static int get_grad(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    if (!t->grad) {
        lua_pushnil(L);
        return 1;
    }
    struct tensor **out = lua_tensor_new(L);
    *out = tensor_keep(t->grad);
    return 1;
}

static int get_requires_grad(lua_State *L)
{
    lua_pushboolean(L, tensor_needs_grad(lua_tensor_arg(L, 1)));
    return 1;
}

static int set_requires_grad(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    if (lua_type(L, 2) != LUA_TBOOLEAN)
        return bind_error(L, "requires_grad is true or false");
    if (t->node)
        return bind_error(L, "requires_grad can be set on tensors you made, not on results; hint: "
                             "t:detach() first");
    if (!dtype_is_float(t->view.dtype))
        return bind_error(L, "a %s tensor has no gradient; hint: decode it with t:float()",
                          t->format ? t->format->name : dtype_name(t->view.dtype));
    t->requires_grad = lua_toboolean(L, 2);
    return 0;
}

static int get_dtype(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    lua_pushstring(L, t->format ? t->format->name : dtype_name(t->view.dtype));
    return 1;
}

static int get_device(lua_State *L)
{
    lua_pushstring(L, lua_tensor_arg(L, 1)->ctx->device->kind);
    return 1;
}

static int get_ndim(lua_State *L)
{
    lua_pushinteger(L, lua_tensor_arg(L, 1)->view.ndim);
    return 1;
}

static int numel(lua_State *L)
{
    lua_pushinteger(L, tensor_count(lua_tensor_arg(L, 1)));
    return 1;
}

static int length(lua_State *L)
{
    struct tensor *t = lua_tensor_arg(L, 1);
    if (!t->view.ndim)
        return bind_error(L, "a scalar tensor has no length; hint: t:item() gives its number");
    lua_pushinteger(L, t->view.shape[0]);
    return 1;
}

static int show(lua_State *L)
{
    luaL_Buffer b;
    struct tensor *t = lua_tensor_arg(L, 1);
    luaL_buffinit(L, &b);
    bind_check(L, tensor_show(t, &b));
    luaL_pushresult(&b);
    return 1;
}

/* --- the class ------------------------------------------------------------------------------- */

static const struct lua_method methods[] = {
    {"shape", shape, "t:shape()", "The sizes of all dimensions, as a list.", NULL},
    {"numel", numel, "t:numel()", "How many elements there are.", NULL},
    {"item", item, "t:item()", "The number in a tensor of one element.", NULL},
    {"tolist", tolist, "t:tolist()", "All values as nested Lua tables.", NULL},
    {"matmul", matmul, "a:matmul(b)", "Matrix product of [M,K] and [K,N].", NULL},
    {"t", transpose, "t:t()", "The transposed matrix.", NULL},
    {"transpose", transpose, "t:transpose(dim0, dim1)", "Two dimensions exchanged.", NULL},
    {"reshape", reshape, "t:reshape(2, -1)", "The same values in another shape; -1 is worked out.",
     NULL},
    {"view", reshape, "t:view(2, -1)", "As reshape.", NULL},
    {"sum", sum, "t:sum(dim, keepdim)", "Sum over a dimension, or over all.", NULL},
    {"mean", mean, "t:mean(dim, keepdim)", "Mean over a dimension, or over all.", NULL},
    {"max", maximum_of, "t:max(dim, keepdim)",
     "Largest over a dimension, over all, or element by element with another tensor.", NULL},
    {"min", minimum_of, "t:min(dim, keepdim)",
     "Smallest over a dimension, over all, or element by element with another tensor.", NULL},
    {"abs", absolute, "t:abs()", "Absolute values.", NULL},
    {"exp", exponential, "t:exp()", "e to the power of each element.", NULL},
    {"log", logarithm, "t:log()", "Natural logarithms.", NULL},
    {"sqrt", square_root, "t:sqrt()", "Square roots.", NULL},
    {"tanh", hyperbolic, "t:tanh()", "Hyperbolic tangents.", NULL},
    {"sigmoid", sigmoid, "t:sigmoid()", "1 / (1 + exp(-t)).", NULL},
    {"silu", silu, "t:silu()", "t * sigmoid(t).", NULL},
    {"relu", relu, "t:relu()", "The larger of t and 0.", NULL},
    {"gelu", gelu, "t:gelu()", "GELU in its tanh form.", NULL},
    {"sin", sine, "t:sin()", "Sine of each element.", NULL},
    {"cos", cosine, "t:cos()", "Cosine of each element.", NULL},
    {"pow", power, "t:pow(p)", "Powers; as t ^ p.", NULL},
    {"gt", gt, "t:gt(u)", "1 where t > u, else 0.", NULL},
    {"lt", lt, "t:lt(u)", "1 where t < u, else 0.", NULL},
    {"ge", ge, "t:ge(u)", "1 where t >= u, else 0.", NULL},
    {"le", le, "t:le(u)", "1 where t <= u, else 0.", NULL},
    {"eq", eq, "t:eq(u)", "1 where t equals u, else 0.", NULL},
    {"ne", ne, "t:ne(u)", "1 where t differs from u, else 0.", NULL},
    {"float", to_float, "t:float()", "In f32 on the session's device; stored weights are decoded.",
     NULL},
    {"double", to_double, "t:double()", "In f64, computed in double precision.", NULL},
    {"clone", clone, "t:clone()", "A copy that stays in the gradient graph.", NULL},
    {"contiguous", clone, "t:contiguous()", "As clone.", NULL},
    {"detach", detach, "t:detach()", "The same values without their history.", NULL},
    {"backward", backward, "loss:backward()",
     "Fills t.grad of every tensor with requires_grad that the loss was made from.", NULL},
    {"zero_grad", zero_grad, "t:zero_grad()", "Forgets the gradient collected in t.grad.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const struct lua_property properties[] = {
    {"requires_grad", get_requires_grad, set_requires_grad,
     "Does backward collect a gradient here?"},
    {"grad", get_grad, NULL, "The collected gradient, or nil."},
    {"dtype", get_dtype, NULL, "How elements are stored."},
    {"device", get_device, NULL, "Where the elements are."},
    {"ndim", get_ndim, NULL, "Number of dimensions."},
    {NULL, NULL, NULL, NULL},
};

static const struct lua_method statics[] = {
    {"zeros", tensor_zeros, "Tensor.zeros(2, 3)", "A tensor of zeros.", NULL},
    {"ones", tensor_ones, "Tensor.ones(2, 3)", "A tensor of ones.", NULL},
    {"randn", tensor_randn, "Tensor.randn(2, 3)", "Normal random numbers; set by --seed.", NULL},
    {"rand", tensor_rand, "Tensor.rand(2, 3)", "Uniform random numbers in [0, 1).", NULL},
    {"arange", tensor_arange, "Tensor.arange(from, to, step = 1)",
     "Numbers from..to, both included.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const luaL_Reg meta[] = {
    {"__gc", gc},         {"__add", add},   {"__sub", sub},      {"__mul", mul},
    {"__div", divide},    {"__pow", power}, {"__unm", negative}, {"__len", length},
    {"__tostring", show}, {NULL, NULL},
};

const struct lua_class tensor_class = {
    .name = "Tensor",
    .doc = "Numbers in rows and columns on a device, with gradients. t[2] is a row, t[{1, 3}] an "
           "element, t[{{1, 3}}] rows 1 to 3; + - * / ^ work element by element.",
    .methods = methods,
    .properties = properties,
    .statics = statics,
    .construct = tensor_construct,
    .signature = "Tensor{{1, 2}, {3, 4}}",
    .meta = meta,
    .index = tensor_index,
};
