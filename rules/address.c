#include "rules/address.h"

#include <string.h>
#include <strings.h>

static const unsigned char mapped_prefix[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:a.b.c.d */

/* Every request wants its caller's address as text: what a byte of it looks like is kept ready. */
struct decimal {
    char text[4];
    unsigned char size;
};
#define TEN(tens, n)                                                                                                   \
    {tens "0.", n}, {tens "1.", n}, {tens "2.", n}, {tens "3.", n}, {tens "4.", n}, {tens "5.", n}, {tens "6.", n},    \
        {tens "7.", n}, {tens "8.", n}, {                                                                              \
        tens "9.", n                                                                                                   \
    }
static const struct decimal decimals[256] = {
    TEN("", 2),   TEN("1", 3),  TEN("2", 3),  TEN("3", 3),  TEN("4", 3),  TEN("5", 3),  TEN("6", 3),  TEN("7", 3),
    TEN("8", 3),  TEN("9", 3),  TEN("10", 4), TEN("11", 4), TEN("12", 4), TEN("13", 4), TEN("14", 4), TEN("15", 4),
    TEN("16", 4), TEN("17", 4), TEN("18", 4), TEN("19", 4), TEN("20", 4), TEN("21", 4), TEN("22", 4), TEN("23", 4),
    TEN("24", 4), {"250.", 4},  {"251.", 4},  {"252.", 4},  {"253.", 4},  {"254.", 4},  {"255.", 4},
};

static size_t group_text(unsigned group, char *text) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (int shift = 12; shift >= 0; shift -= 4)
        if (n || group >> shift || !shift)
            text[n++] = hex[group >> shift & 15];
    return n;
}

/* The longest run of at least two zero groups, the first of several (RFC 5952 4.2). */
static int longest_zero_run(const unsigned *groups, int *ret_length) {
    int best = -1, best_length = 1;
    for (int i = 0; i < 8; i++) {
        int end = i;
        while (end < 8 && !groups[end])
            end++;
        if (end - i > best_length) {
            best = i;
            best_length = end - i;
        }
        if (end > i)
            i = end;
    }
    *ret_length = best_length;
    return best;
}

static size_t ipv6_text(const unsigned char *address, char *text) {
    unsigned groups[8];
    for (int i = 0; i < 8; i++)
        groups[i] = (unsigned)address[2 * i] << 8 | address[2 * i + 1];
    int run_length, run = longest_zero_run(groups, &run_length);
    size_t n = 0;
    for (int i = 0; i < 8;) {
        if (i == run) {
            text[n++] = ':';
            text[n++] = ':';
            i += run_length;
            continue;
        }
        if (i && i != run + (run >= 0 ? run_length : 0))
            text[n++] = ':';
        n += group_text(groups[i++], text + n);
    }
    text[n] = 0;
    return n;
}

size_t address_text(const unsigned char *address, size_t length, char ret_text[static ADDRESS_TEXT_MAX]) {
    char *at = ret_text;
    if (length == 16 && memcmp(address, mapped_prefix, 12) != 0)
        return ipv6_text(address, ret_text);
    ret_text[0] = 0;
    if (length != 4 && length != 16)
        return 0;
    for (size_t i = length - 4; i < length;
         i++) { /* room for four bytes at a time is there: 4 · 4 ≤ ADDRESS_TEXT_MAX */
        const struct decimal *decimal = &decimals[address[i]];
        memcpy(at, decimal->text, 4);
        at += decimal->size;
    }
    *--at = 0;
    return (size_t)(at - ret_text);
}

static bool in_range(const unsigned char *address, const unsigned char *network, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    return !memcmp(address, network, whole) &&
           (!rest || ((address[whole] ^ network[whole]) & (0xff00 >> rest) & 0xff) == 0);
}

static bool parse_number(const char **at, unsigned max, unsigned *ret) {
    unsigned value = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 4; (*at)++, digits++)
        value = value * 10 + (unsigned)(**at - '0');
    *ret = value;
    return digits && value <= max;
}

static bool parse_ipv4_range(const char *text, unsigned char ret_network[4], unsigned *ret_bits) {
    for (int i = 0; i < 4; i++) {
        unsigned byte;
        if ((i && *text++ != '.') || !parse_number(&text, 255, &byte))
            return false;
        ret_network[i] = (unsigned char)byte;
    }
    *ret_bits = 32;
    return !*text || (*text++ == '/' && parse_number(&text, 32, ret_bits) && !*text);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_ipv6_range(const char *text, unsigned char ret_network[16], unsigned *ret_bits) {
    unsigned char bytes[16] = {0};
    int n = 0, gap = -1;
    bool group_due = false; /* a single colon was just read */
    while (*text && *text != '/') {
        if (!group_due && gap < 0 && text[0] == ':' && text[1] == ':') {
            gap = n;
            text += 2;
            continue;
        }
        if (n && n != gap && !group_due) {
            if (*text++ != ':')
                return false;
            group_due = true;
            continue;
        }
        unsigned group = 0, digits = 0;
        for (; hex_digit(*text) >= 0 && digits < 4; text++, digits++)
            group = group << 4 | (unsigned)hex_digit(*text);
        if (!digits || n == 16)
            return false;
        bytes[n++] = (unsigned char)(group >> 8);
        bytes[n++] = (unsigned char)group;
        group_due = false;
    }
    if (group_due)
        return false;
    if (gap < 0 ? n != 16 : n > 14)
        return false;
    memset(ret_network, 0, 16);
    int before = gap < 0 ? 16 : gap;
    memcpy(ret_network, bytes, (size_t)before);
    memcpy(ret_network + 16 - (n - before), bytes + before, (size_t)(n - before));
    *ret_bits = 128;
    return !*text || (*text++ == '/' && parse_number(&text, 128, ret_bits) && !*text);
}

bool address_range_parse(const char *text, struct address_range *ret_range) {
    unsigned char address[16];
    unsigned bits;
    bool mapped = strncasecmp(text, "::ffff:", 7) == 0 && !strchr(text, '/');
    *ret_range = (struct address_range){.length = 4};
    if (!parse_ipv4_range(mapped && strchr(text, '.') ? text + 7 : text, ret_range->network, &bits)) {
        if (!parse_ipv6_range(text, address, &bits))
            return false;
        mapped = bits >= 96 && memcmp(address, mapped_prefix, 12) == 0;
        ret_range->length = mapped ? 4 : 16;
        memcpy(ret_range->network, address + (mapped ? 12 : 0), ret_range->length);
        bits -= mapped ? 96 : 0;
    }
    ret_range->bits = (unsigned char)bits;
    return true;
}

bool address_range_valid(const struct address_range *range) {
    return (range->length == 4 || range->length == 16) && range->bits <= 8 * range->length;
}

bool address_in_range(const struct address_range *range, const unsigned char *address, size_t length) {
    if (length == 16 && range->length == 4 && !memcmp(address, mapped_prefix, 12)) {
        address += 12;
        length = 4;
    }
    return range->length == length && in_range(address, range->network, range->bits);
}

const struct address_range address_private[ADDRESS_PRIVATE_RANGES] = {
    {4, 8, {127}},       {4, 8, {10}},    {4, 12, {172, 16}},     {4, 16, {192, 168}},
    {4, 16, {169, 254}}, {16, 7, {0xfc}}, {16, 10, {0xfe, 0x80}}, {16, 128, {[15] = 1}},
};

bool address_is_private(const unsigned char *address, size_t length) {
    for (size_t i = 0; i < ADDRESS_PRIVATE_RANGES; i++)
        if (address_in_range(&address_private[i], address, length))
            return true;
    return false;
}

struct address_range address_prefix(const struct address_range *address, unsigned bits) {
    struct address_range range = {.length = address->length, .bits = address->bits};
    if (bits < range.bits)
        range.bits = (unsigned char)bits;
    memcpy(range.network, address->network, (range.bits + 7u) / 8);
    if (range.bits % 8)
        range.network[range.bits / 8] &= (unsigned char)(0xff00 >> range.bits % 8);
    return range;
}

size_t address_range_text(const struct address_range *range, char ret_text[static ADDRESS_RANGE_TEXT_MAX]) {
    size_t length = address_text(range->network, range->length, ret_text);
    if (!length || range->bits == 8 * range->length)
        return length;
    ret_text[length++] = '/';
    if (range->bits >= 100)
        ret_text[length++] = '1';
    if (range->bits >= 10)
        ret_text[length++] = (char)('0' + range->bits / 10 % 10);
    ret_text[length++] = (char)('0' + range->bits % 10);
    ret_text[length] = 0;
    return length;
}

/* -------------------------------------------------------------------------------------------------------- from … to */

static unsigned __int128 number_of(const struct address_range *address) {
    unsigned __int128 number = 0;
    for (size_t i = 0; i < address->length; i++)
        number = number << 8 | address->network[i];
    return number;
}

static struct address_range block_at(unsigned __int128 number, unsigned char length, unsigned bits) {
    struct address_range block = {.length = length, .bits = (unsigned char)bits};
    for (size_t i = length; i-- > 0; number >>= 8)
        block.network[i] = (unsigned char)number;
    return block;
}

/* The largest blocks that begin where the last one ended. */
static void give_blocks(unsigned __int128 from, unsigned __int128 to, unsigned char length,
                        void (*each)(void *context, const struct address_range *), void *context) {
    for (;;) {
        unsigned free = 0;
        while (free < 8u * length && !(from >> free & 1) && (from | (((unsigned __int128)2 << free) - 1)) <= to)
            free++;
        struct address_range block = block_at(from, length, 8u * length - free);
        each(context, &block);
        unsigned __int128 last = from | (free < 128 ? ((unsigned __int128)1 << free) - 1 : ~(unsigned __int128)0);
        if (last >= to)
            return;
        from = last + 1;
    }
}

bool address_span(const char *text, void (*each)(void *context, const struct address_range *), void *context) {
    struct address_range from, to;
    const char *dash = strchr(text, '-');
    char first[ADDRESS_TEXT_MAX];
    if (!dash) {
        if (!address_range_parse(text, &from))
            return false;
        from = address_prefix(&from, from.bits);
        each(context, &from);
        return true;
    }
    const char *second = dash + 1;
    while (dash > text && dash[-1] == ' ')
        dash--;
    while (*second == ' ')
        second++;
    size_t size = (size_t)(dash - text);
    if (size >= sizeof(first))
        return false;
    memcpy(first, text, size);
    first[size] = 0;
    if (!address_range_parse(first, &from) || !address_range_parse(second, &to) || from.length != to.length ||
        from.bits != 8 * from.length || to.bits != 8 * to.length || number_of(&from) > number_of(&to))
        return false;
    give_blocks(number_of(&from), number_of(&to), from.length, each, context);
    return true;
}
