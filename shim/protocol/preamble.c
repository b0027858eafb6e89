#include "shim/protocol/preamble.h"

#include <string.h>

#include "rules/address.h"

enum { PROXY_LINE_MAX = 4096 /* of version 1; its own text says 107, but readers take more behind UNKNOWN */ };

static bool begins(const char *bytes, size_t size, const char *text, size_t length) {
    return memcmp(bytes, text, size < length ? size : length) == 0;
}

/* --------------------------------------------------------------------------------------------------- PROXY, version 1
 */

static struct slice next_word(struct slice *line) {
    const char *blank = memchr(line->at, ' ', line->size);
    struct slice word = {line->at, blank ? (size_t)(blank - line->at) : line->size};
    size_t past = word.size + (blank != NULL);
    line->at += past;
    line->size -= past;
    return word;
}

static void take_address(struct preamble_proxy *proxy, const unsigned char *address, size_t length) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (length == 16 && memcmp(address, mapped, sizeof(mapped)) == 0) {
        address += 12;
        length = 4;
    }
    memcpy(proxy->address, address, length);
    proxy->length = (uint8_t)length;
}

/* " ADDRESS ADDRESS PORT PORT", of which the first is the client's. */
static void read_line(struct slice line, size_t length, struct preamble_proxy *proxy) {
    char text[ADDRESS_TEXT_MAX + 1];
    struct address_range range;
    next_word(&line);
    struct slice source = next_word(&line);
    if (!source.size || source.size >= sizeof(text) || memchr(source.at, '/', source.size))
        return;
    memcpy(text, source.at, source.size);
    text[source.size] = '\0';
    if (address_range_parse(text, &range) && range.length <= length) /* IPv4 within IPv6 is parsed as IPv4 */
        take_address(proxy, range.network, range.length);
}

/* Does it name the version of HTTP, too?  Then it is a request with a method of that name to all but readers of PROXY,
 * who would have to overlook these words, and is judged as one. */
static bool is_request(const char *line, size_t size) {
    static const char version[] = " HTTP/";
    return memmem(line, size, version, sizeof(version) - 1) != NULL;
}

static enum preamble find_line(const char *bytes, size_t size, struct preamble_proxy *proxy) {
    static const char family[3][14] = {"PROXY TCP4", "PROXY TCP6", "PROXY UNKNOWN"};
    static const uint8_t lengths[3] = {4, 16, 0};
    unsigned which = 0;
    while (which < 3 && !begins(bytes, size, family[which], strlen(family[which])))
        which++;
    if (which == 3)
        return PREAMBLE_NONE;
    size_t start = strlen(family[which]);
    if (size <= start)
        return PREAMBLE_MORE;
    const char *end = memchr(bytes, '\n', size);
    size_t length = end ? (size_t)(end - bytes) : size;
    const char *cr = memchr(bytes, '\r', length);
    if (length > PROXY_LINE_MAX || memchr(bytes, '\0', length) || (cr && cr + 1 < bytes + length))
        return PREAMBLE_BROKEN; /* (a CR that is the last byte may be the first half of the line's end) */
    if (!end)
        return PREAMBLE_MORE;
    if (is_request(bytes, length))
        return PREAMBLE_NONE;
    if (!cr) /* some readers end a line at LF, others go on to the next CRLF */
        return PREAMBLE_BROKEN;
    proxy->size = length + 1;
    if (lengths[which])
        read_line((struct slice){bytes + start, length - 1 - start}, lengths[which], proxy);
    return PREAMBLE_PROXY;
}

/* --------------------------------------------------------------------------------------------------- PROXY, version 2
 */

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
enum { SIGNATURE = sizeof(signature) - 1, FIXED = SIGNATURE + 4 /* version and command, family, length */ };

/* Whatever the command, the length behind the fixed part is that of the header. */
static enum preamble find_binary(const char *bytes, size_t size, struct preamble_proxy *proxy) {
    const unsigned char *fixed = (const unsigned char *)bytes + SIGNATURE;
    if (!begins(bytes, size, signature, SIGNATURE))
        return PREAMBLE_NONE;
    if (size <= SIGNATURE)
        return PREAMBLE_MORE;
    if (fixed[0] >> 4 != 2)
        return PREAMBLE_NONE;
    if (size < FIXED)
        return PREAMBLE_MORE;
    size_t addresses = (size_t)fixed[2] << 8 | fixed[3];
    proxy->size = FIXED + addresses;
    if (proxy->size > PREAMBLE_MAX)
        return PREAMBLE_BROKEN;
    if (size < proxy->size)
        return PREAMBLE_MORE;
    unsigned command = fixed[0] & 15, family = fixed[1] >> 4;
    if (command == 1 && family == 1 && addresses >= 12)
        take_address(proxy, fixed + 4, 4);
    else if (command == 1 && family == 2 && addresses >= 36)
        take_address(proxy, fixed + 4, 16);
    return PREAMBLE_PROXY;
}

/* ---------------------------------------------------------------------------------------------------------- the others
 */

/* A record of a handshake, whose first message is a ClientHello. */
static enum preamble find_tls(const char *bytes, size_t size) {
    static const unsigned char hello[] = {0x16, 3, 4, 0, 0, 1};
    for (size_t i = 0; i < size && i < sizeof(hello); i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (i == 2 ? byte > hello[i] : i != 3 && i != 4 && byte != hello[i])
            return PREAMBLE_NONE;
    }
    return size < sizeof(hello) ? PREAMBLE_MORE : PREAMBLE_TLS;
}

/* What only begins so is HTTP/1 with a method that is called PRI. */
static enum preamble find_preface(const char *bytes, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    enum { HEAD = sizeof("PRI * HTTP/2.0\r\n\r\n") - 1 };
    if (!begins(bytes, size, preface, sizeof(preface) - 1))
        return PREAMBLE_NONE;
    return size < HEAD ? PREAMBLE_MORE : size < sizeof(preface) - 1 ? PREAMBLE_HTTP2_HEAD : PREAMBLE_HTTP2;
}

enum preamble preamble_find(const char *bytes, size_t size, bool proxy, struct preamble_proxy *ret_proxy) {
    ret_proxy->length = 0;
    if (!size)
        return PREAMBLE_MORE;
    enum preamble line;
    switch (bytes[0]) {
    case 0x16: return find_tls(bytes, size);
    case '\r': return proxy ? find_binary(bytes, size, ret_proxy) : PREAMBLE_NONE;
    case 'P':
        line = proxy ? find_line(bytes, size, ret_proxy) : PREAMBLE_NONE;
        return line == PREAMBLE_NONE ? find_preface(bytes, size) : line;
    default: return PREAMBLE_NONE;
    }
}

static size_t refuse_http2(const struct message *request, const struct refusal *refusal, char *ret_bytes, size_t size) {
    static const char frames[] = "\0\0\0\4\0\0\0\0\0"   /* SETTINGS */
                                 "\0\0\x21\7\0\0\0\0\0" /* GOAWAY: 8 bytes and a text of 25 */
                                 "\0\0\0\0"
                                 "\0\0\0\x0d" /* no stream was begun; HTTP_1_1_REQUIRED */
                                 "HTTP/1.1 is required here";
    (void)request, (void)refusal, (void)size;
    memcpy(ret_bytes, frames, sizeof(frames) - 1);
    return sizeof(frames) - 1;
}

const struct protocol preamble_http2 = {.name = "h2", .refuse = refuse_http2};
