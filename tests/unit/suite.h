/* The end of every test program: a suite of these cases, run as the environment says (CK_FORK, CK_RUN_CASE, …). */
#ifndef WEIR_TESTS_UNIT_SUITE_H
#define WEIR_TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdarg.h>
#include <stdlib.h>

/* NULL after the last case.  The exit status of the program. */
static inline int suite_run(const char *name, ...) {
    Suite *suite = suite_create(name);
    va_list cases;
    va_start(cases, name);
    for (TCase *one; (one = va_arg(cases, TCase *));)
        suite_add_tcase(suite, one);
    va_end(cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
