/* Numbers as Java has them: conversions saturate, integers wrap.  The decisions of Sentinel depend on it at the edges.
 */
#ifndef WEIR_RULES_COMPAT_JAVA_H
#define WEIR_RULES_COMPAT_JAVA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline int64_t java_long(double x) { /* (long)x */
    if (x != x)
        return 0;
    if (x >= 9223372036854775808.0)
        return INT64_MAX;
    return x <= -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

static inline int32_t java_int(double x) { /* (int)x */
    int64_t n = java_long(x);
    return n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
}

static inline int64_t java_round(double x) { /* Math.round: floor(x + 1/2) without the rounding of the addition */
    int64_t n = java_long(x);
    if (n == INT64_MAX || n == INT64_MIN)
        return n;
    double rest = x - (double)n; /* exact: n is x cut, or x has no fraction at all */
    if (rest != rest)
        return 0;
    if (rest >= 0.5)
        return n + 1;
    return rest < -0.5 ? n - 1 : n;
}

static inline double java_next_up(double x) { /* Math.nextUp */
    if (x != x || x > 1.7976931348623157e308)
        return x;
    int64_t bits;
    if (x == 0)
        x = 0; /* -0.0 counts as 0.0 */
    memcpy(&bits, &x, sizeof bits);
    bits += x >= 0 ? 1 : -1;
    if (x == 0)
        bits = 1;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int64_t java_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t java_subtract(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static inline int64_t java_multiply(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static inline int32_t java_add_int(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Double.compare(a, b) == 0 is equality of the bits (NaN aside, which no rule can hold). */
static inline uint64_t java_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

#endif
