/* parity.c -- every operation, on every device, against the ref device; then the coverage gate. */
#include "tests/kernels/parity_util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct parity_test *const tables[] = {
    cases_elementwise, cases_reduce, cases_gemm,  cases_rows,
    cases_attention,   cases_loss,   cases_optim,
};

static int setup(void **state)
{
    (void)state;
    parity_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    parity_close();
    return 0;
}

static void run(void **state)
{
    const struct parity_test *t = *state;
    t->run();
}

/* A build that this chip cannot run is a skipped test, which the runner counts. */
static void takes_part(void **state)
{
    const char *why, *name = parity_build(*(int *)*state, &why);
    if (why) {
        print_message("# skipped: %s: %s\n", name, why);
        skip();
    }
}

/* Last: an operation in kernels.def that no case has run is an operation nobody checks. */
static void coverage(void **state)
{
    (void)state;
    int missing = 0;
    for (int i = 0; i < OP_COUNT; i++)
        if (parity_ran(i) == 0) {
            print_message("# no parity case ran '%s'\n", op_name(i));
            missing++;
        }
    assert_int_equal(missing, 0);
}

int main(void)
{
    struct CMUnitTest tests[OP_COUNT + PARITY_BUILDS + 8];
    size_t n = 0;
    static int numbers[PARITY_BUILDS];
    for (int i = 0; i < PARITY_BUILDS; i++) {
        numbers[i] = i;
        tests[n++] = (struct CMUnitTest){"build takes part", takes_part, NULL, NULL, &numbers[i]};
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct parity_test *t = tables[i]; t->name; t++)
            tests[n++] = (struct CMUnitTest){t->name, run, NULL, NULL, (void *)(uintptr_t)t};
    tests[n++] = (struct CMUnitTest){"every operation has a case", coverage, NULL, NULL, NULL};
    return _cmocka_run_group_tests("parity", tests, n, setup, teardown);
}
