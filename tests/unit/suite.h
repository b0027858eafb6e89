/* The end of every test program: a suite of these cases, run as the environment says (CK_FORK, CK_RUN_CASE, …). */
#ifndef WEIR_TESTS_UNIT_SUITE_H
#define WEIR_TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int suite_run_cases(const char *name, TCase *const *cases) {
    Suite *suite = suite_create(name);
    while (*cases)
        suite_add_tcase(suite, *cases++);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* NULL after the last case.  The exit status of the program. */
#define suite_run(name, ...) suite_run_cases(name, (TCase *[]){__VA_ARGS__})

#endif
