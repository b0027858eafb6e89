#include "rules/rejection_id.h"

#include <string.h>

#include "rules/hash.h"

enum { CHECK_DIGITS = 4, CHECK_BITS = 5 * CHECK_DIGITS, NUMBER_DIGITS_MAX = 13 };
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static uint32_t check_of(uint64_t seed, uint64_t number) {
    return (uint32_t)(hash_bytes(seed, &number, sizeof(number)) >> (64 - CHECK_BITS));
}

size_t rejection_id_write(char ret_text[static REJECTION_ID_MAX], uint64_t seed, uint64_t number) {
    uint32_t check = check_of(seed, number);
    unsigned count = 2;
    while (count < NUMBER_DIGITS_MAX && number >> (5 * count))
        count++;
    char *at = ret_text;
    for (unsigned i = count; i-- > 0;)
        *at++ = digits[number >> (5 * i) & 31];
    *at++ = '-';
    for (unsigned i = CHECK_DIGITS; i-- > 0;)
        *at++ = digits[check >> (5 * i) & 31];
    *at = '\0';
    return (size_t)(at - ret_text);
}

/* -1: none. */
static int value_of(char c) {
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool rejection_id_read(const char *text, uint64_t *ret_number, uint32_t *ret_check) {
    unsigned char values[NUMBER_DIGITS_MAX + CHECK_DIGITS];
    size_t count = 0;
    for (const char *at = text; *at; at++) {
        int value = value_of(*at);
        if (value < 0 && *at == '-' && at != text)
            continue;
        if (value < 0 || count == sizeof(values))
            return false;
        values[count++] = (unsigned char)value;
    }
    if (count < 2 + CHECK_DIGITS || (count == sizeof(values) && values[0] > 15))
        return false;
    *ret_number = *ret_check = 0;
    for (size_t i = 0; i < count - CHECK_DIGITS; i++)
        *ret_number = *ret_number << 5 | values[i];
    for (size_t i = count - CHECK_DIGITS; i < count; i++)
        *ret_check = *ret_check << 5 | values[i];
    return true;
}

bool rejection_id_fits(uint64_t seed, uint64_t number, uint32_t check) {
    return check_of(seed, number) == check;
}
