#include "rules/naming/connection.h"

#include <string.h>

#include "rules/address.h"

static void name_add(struct connection_name *name, const char *bytes, size_t size) {
    if (size > sizeof(name->text) - name->length)
        size = sizeof(name->text) - name->length;
    memcpy(name->text + name->length, bytes, size);
    name->length += size;
}

static void name_add_port(struct connection_name *name, unsigned port) {
    char digits[10];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + port % 10);
    while (port /= 10);
    name_add(name, digits + n, sizeof(digits) - n);
}

void connection_name_listener(const char *protocol, unsigned port, const char *unix_path,
                              struct connection_name *ret_name) {
    ret_name->length = 0;
    name_add(ret_name, protocol, strlen(protocol));
    if (port == 0) {
        name_add(ret_name, ":unix:", 6);
        name_add(ret_name, unix_path, strlen(unix_path));
    } else {
        name_add(ret_name, "::", 2);
        name_add_port(ret_name, port);
    }
}

void connection_name_destination(const unsigned char *address, size_t address_length, unsigned port,
                                 struct connection_name *ret_name) {
    char text[ADDRESS_TEXT_MAX];
    size_t length = address_text(address, address_length, text);
    bool brackets = memchr(text, ':', length) != NULL;
    ret_name->length = 0;
    name_add(ret_name, brackets ? "tcp:[" : "tcp:", brackets ? 5 : 4);
    name_add(ret_name, text, length);
    name_add(ret_name, brackets ? "]:" : ":", brackets ? 2 : 1);
    name_add_port(ret_name, port);
}
