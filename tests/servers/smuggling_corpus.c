/* Prints the corpus of tests/smuggling.h for tests of real servers: a line a case, `group <tab> name <tab> bytes of the
 * case proper, hexadecimal <tab> bytes of the request behind it`. */
#include <stdio.h>
#include <string.h>

#include "tests/smuggling.h"

static void print_hex(const char *bytes, size_t size) {
    putchar('\t');
    for (size_t i = 0; i < size; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static void print(const char *group, const struct smuggling_case *cases, size_t count) {
    size_t behind = strlen(SMUGGLED);
    for (size_t i = 0; i < count; i++) {
        printf("%s\t%s", group, cases[i].name);
        print_hex(cases[i].bytes, cases[i].size - behind);
        print_hex(SMUGGLED, behind);
        putchar('\n');
    }
}

#define PRINT(group) print(#group, smuggling_##group, sizeof(smuggling_##group) / sizeof(smuggling_##group[0]))

int main(void) {
    PRINT(heads);
    PRINT(chunks);
    PRINT(odd);
    PRINT(valid);
    return 0;
}
