/* builtin_tests.c -- what stands behind "is". */
#include "engine/text/template/eval.h"
#include "engine/text/template/pytext.h"

#include <math.h>
#include <string.h>

static int defined(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    *out = tv_bool(a->self.kind != TV_UNDEFINED);
    return OK;
}

static int undefined(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    *out = tv_bool(a->self.kind == TV_UNDEFINED);
    return OK;
}

#define KIND_TEST(name, condition)                                       \
    static int name(struct eval *e, struct arguments *a, struct tv *out) \
    {                                                                    \
        (void)e;                                                         \
        const struct tv v = a->self;                                     \
        *out = tv_bool(condition);                                       \
        return OK;                                                       \
    }

KIND_TEST(none, v.kind == TV_NONE)
KIND_TEST(boolean, v.kind == TV_BOOL)
KIND_TEST(is_true, v.kind == TV_BOOL && v.as.boolean)
KIND_TEST(is_false, v.kind == TV_BOOL && !v.as.boolean)
KIND_TEST(integer, v.kind == TV_INT)
KIND_TEST(is_float, v.kind == TV_FLOAT)
KIND_TEST(number, tv_is_number(v))
KIND_TEST(string, v.kind == TV_TEXT)
KIND_TEST(mapping, v.kind == TV_MAP)
KIND_TEST(iterable, v.kind == TV_TEXT || v.kind == TV_LIST || v.kind == TV_TUPLE ||
                        v.kind == TV_MAP || v.kind == TV_RANGE || v.kind == TV_VIEW ||
                        v.kind == TV_ITERATOR || v.kind == TV_UNDEFINED || v.kind == TV_LOOP)
KIND_TEST(sequence, v.kind == TV_TEXT || v.kind == TV_LIST || v.kind == TV_TUPLE ||
                        v.kind == TV_MAP || v.kind == TV_RANGE || v.kind == TV_UNDEFINED)
KIND_TEST(callable,
          v.kind == TV_MACRO || v.kind == TV_FUNCTION || v.kind == TV_METHOD || v.kind == TV_LOOP)
KIND_TEST(is_safe, v.kind == TV_TEXT && v.safe)

static int letter_case(struct eval *e, struct arguments *a, enum pytext_case to, struct tv *out)
{
    struct buffer mapped = {0}, other = {0};
    struct tv text = tv_none();
    TRY(builtin_self_text(e, a, &text));
    pytext_to_case(text.as.text, text.length, to, &mapped);
    pytext_to_case(text.as.text, text.length, to == PYTEXT_UPPER ? PYTEXT_LOWER : PYTEXT_UPPER,
                   &other);
    bool same = (size_t)mapped.length == text.length &&
                (!text.length || memcmp(mapped.bytes, text.as.text, text.length) == 0);
    bool any = other.length != mapped.length ||
               (mapped.length && memcmp(mapped.bytes, other.bytes, (size_t)mapped.length) != 0);
    int status = mapped.status ? mapped.status : other.status;
    *out = tv_bool(same && any);
    buffer_free(&mapped);
    buffer_free(&other);
    return status;
}

static int upper(struct eval *e, struct arguments *a, struct tv *out)
{
    return letter_case(e, a, PYTEXT_UPPER, out);
}

static int lower(struct eval *e, struct arguments *a, struct tv *out)
{
    return letter_case(e, a, PYTEXT_LOWER, out);
}

static int remainder_is(struct eval *e, struct arguments *a, int64_t by, int64_t wanted,
                        struct tv *out)
{
    struct tv rest = tv_none();
    bool same;
    TRY(eval_math(e, OP_MOD, a->self, tv_int(by), &rest));
    TRY(tv_equal(&e->budget, rest, tv_int(wanted), &same));
    *out = tv_bool(same);
    return OK;
}

static int odd(struct eval *e, struct arguments *a, struct tv *out)
{
    return remainder_is(e, a, 2, 1, out);
}

static int even(struct eval *e, struct arguments *a, struct tv *out)
{
    return remainder_is(e, a, 2, 0, out);
}

static int divisibleby(struct eval *e, struct arguments *a, struct tv *out)
{
    int64_t by;
    TRY(builtin_int(a, 0, 0, &by));
    return remainder_is(e, a, by, 0, out);
}

static int equal(struct eval *e, struct arguments *a, struct tv *out)
{
    bool same;
    TRY(tv_equal(&e->budget, a->self, a->values[0], &same));
    *out = tv_bool(same);
    return OK;
}

static int unequal(struct eval *e, struct arguments *a, struct tv *out)
{
    TRY(equal(e, a, out));
    out->as.boolean = !out->as.boolean;
    return OK;
}

static int sameas(struct eval *e, struct arguments *a, struct tv *out)
{
    bool same = a->self.kind == a->values[0].kind;
    if (same)
        TRY(tv_equal(&e->budget, a->self, a->values[0], &same));
    *out = tv_bool(same);
    return OK;
}

static int contained(struct eval *e, struct arguments *a, struct tv *out)
{
    bool in;
    TRY(eval_contains(e, a->self, a->values[0], &in));
    *out = tv_bool(in);
    return OK;
}

static int compare(struct eval *e, struct arguments *a, int *order, bool *ordered)
{
    return tv_compare(&e->budget, a->self, a->values[0], order, ordered);
}

#define ORDER_TEST(name, condition)                                      \
    static int name(struct eval *e, struct arguments *a, struct tv *out) \
    {                                                                    \
        int order;                                                       \
        bool ordered;                                                    \
        TRY(compare(e, a, &order, &ordered));                            \
        *out = tv_bool(ordered && (condition));                          \
        return OK;                                                       \
    }

ORDER_TEST(less, order < 0)
ORDER_TEST(less_equal, order <= 0)
ORDER_TEST(greater, order > 0)
ORDER_TEST(greater_equal, order >= 0)

static int is_filter(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    *out = tv_bool(a->self.kind == TV_TEXT && builtin_filter(a->self.as.text, a->self.length));
    return OK;
}

static int is_test(struct eval *e, struct arguments *a, struct tv *out)
{
    (void)e;
    *out = tv_bool(a->self.kind == TV_TEXT && builtin_test(a->self.as.text, a->self.length));
    return OK;
}

#define OTHER {"other"}, 1, false

const struct builtin builtin_tests[] = {
    {"defined", defined, {NULL}, 0, false},
    {"undefined", undefined, {NULL}, 0, false},
    {"none", none, {NULL}, 0, false},
    {"boolean", boolean, {NULL}, 0, false},
    {"true", is_true, {NULL}, 0, false},
    {"false", is_false, {NULL}, 0, false},
    {"integer", integer, {NULL}, 0, false},
    {"float", is_float, {NULL}, 0, false},
    {"number", number, {NULL}, 0, false},
    {"string", string, {NULL}, 0, false},
    {"mapping", mapping, {NULL}, 0, false},
    {"iterable", iterable, {NULL}, 0, false},
    {"sequence", sequence, {NULL}, 0, false},
    {"callable", callable, {NULL}, 0, false},
    {"escaped", is_safe, {NULL}, 0, false},
    {"upper", upper, {NULL}, 0, false},
    {"lower", lower, {NULL}, 0, false},
    {"odd", odd, {NULL}, 0, false},
    {"even", even, {NULL}, 0, false},
    {"divisibleby", divisibleby, {"num"}, 1, false},
    {"filter", is_filter, {NULL}, 0, false},
    {"test", is_test, {NULL}, 0, false},
    {"sameas", sameas, OTHER},
    {"in", contained, OTHER},
    {"==", equal, OTHER},
    {"eq", equal, OTHER},
    {"equalto", equal, OTHER},
    {"!=", unequal, OTHER},
    {"ne", unequal, OTHER},
    {">", greater, OTHER},
    {"gt", greater, OTHER},
    {"greaterthan", greater, OTHER},
    {">=", greater_equal, OTHER},
    {"ge", greater_equal, OTHER},
    {"<", less, OTHER},
    {"lt", less, OTHER},
    {"lessthan", less, OTHER},
    {"<=", less_equal, OTHER},
    {"le", less_equal, OTHER},
    {NULL, NULL, {NULL}, 0, false},
};
