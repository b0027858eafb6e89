#include "agent/process/tcp_table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* The kernel prints addresses as 32-bit words of its own byte order. */
static bool parse_words(const char *digits, int words, struct in6_addr *ret_address) {
    for (int i = 0; i < words; i++) {
        char word[9] = "";
        unsigned value;
        int used = 0;
        memcpy(word, digits + 8 * (size_t)i, 8);
        if (sscanf(word, "%8x%n", &value, &used) != 1 || used != 8)
            return false;
        memcpy((char *)ret_address + 4 * (size_t)i, &value, 4);
    }
    return true;
}

bool tcp_table_parse(const char *line, bool v6, struct tcp_entry *ret_entry) {
    struct tcp_entry entry = {.v6 = v6};
    int words = v6 ? 4 : 1;
    unsigned port, state, waiting;
    unsigned long long inode;
    char address[33];
    int matched = sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%x %*x:%*x %*x %u %*u %llu", address,
                         &port, &state, &waiting, &entry.uid, &inode);
    if (matched != 6 || port > UINT16_MAX || state > UINT8_MAX || strlen(address) != 8 * (size_t)words ||
        !parse_words(address, words, &entry.address))
        return false;
    entry.port = (uint16_t)port;
    entry.state = (uint8_t)state;
    entry.waiting = waiting;
    entry.inode = inode;
    *ret_entry = entry;
    return true;
}

static bool is_loopback4(const uint8_t *bytes) {
    return bytes[0] == 127;
}

bool tcp_table_is_loopback(const struct tcp_entry *entry) {
    if (!entry->v6)
        return is_loopback4(entry->address.s6_addr);
    return IN6_IS_ADDR_LOOPBACK(&entry->address) ||
           (IN6_IS_ADDR_V4MAPPED(&entry->address) && is_loopback4(entry->address.s6_addr + 12));
}

bool tcp_table_is_any(const struct tcp_entry *entry) {
    static const struct in6_addr none;
    return memcmp(&entry->address, &none, entry->v6 ? 16 : 4) == 0;
}

void tcp_table_address(const struct tcp_entry *entry, char ret_text[static INET6_ADDRSTRLEN]) {
    if (!inet_ntop(entry->v6 ? AF_INET6 : AF_INET, &entry->address, ret_text, INET6_ADDRSTRLEN))
        ret_text[0] = 0;
}
