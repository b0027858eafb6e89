/* Requests about whose end two readers have been known to disagree: what was published on request smuggling, and its
 * neighbours.  Each is followed by a request that must not reach an application unjudged (SMUGGLED).  The list is used
 * on the parser and on whole streams. */
#ifndef WEIR_TESTS_SMUGGLING_H
#define WEIR_TESTS_SMUGGLING_H

#include <stddef.h>

#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
#define HEAD(fields) "POST / HTTP/1.1\r\nHost: x\r\n" fields "\r\n"
#define CASE(name, text)                                                                                               \
    { name, text SMUGGLED, sizeof(text SMUGGLED) - 1 }

struct smuggling_case {
    const char *name, *bytes;
    size_t size;
};

/* Malformed in the head: seen before the request is judged. */
static const struct smuggling_case smuggling_heads[] = {
    CASE("CL.TE", HEAD("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\nG"),
    CASE("TE.CL", HEAD("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") "5c\r\n"),
    CASE("CL.0 with TE", HEAD("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("two lengths", HEAD("Content-Length: 5\r\nContent-Length: 6\r\n") "12345"),
    CASE("two lengths, zero first", HEAD("Content-Length: 0\r\nContent-Length: 44\r\n")),
    CASE("list of lengths", HEAD("Content-Length: 5, 5\r\n") "12345"),
    CASE("list of differing lengths", HEAD("Content-Length: 5, 6\r\n") "12345"),
    CASE("plus", HEAD("Content-Length: +5\r\n") "12345"),
    CASE("minus", HEAD("Content-Length: -5\r\n") "12345"),
    CASE("hexadecimal length", HEAD("Content-Length: 0x5\r\n") "12345"),
    CASE("length with an exponent", HEAD("Content-Length: 5e0\r\n") "12345"),
    CASE("length with a comma", HEAD("Content-Length: 5,\r\n") "12345"),
    CASE("length with a space inside", HEAD("Content-Length: 1 0\r\n") "12345"),
    CASE("empty length", HEAD("Content-Length:\r\n")),
    CASE("length of spaces", HEAD("Content-Length:    \r\n")),
    CASE("underscore in length", HEAD("Content-Length: 1_0\r\n") "12345"),
    CASE("huge length", HEAD("Content-Length: 18446744073709551621\r\n") "12345"),
    CASE("long length", HEAD("Content-Length: 99999999999999999999999999999999\r\n") "12345"),
    CASE("quoted length", HEAD("Content-Length: \"5\"\r\n") "12345"),
    CASE("full-width digits", HEAD("Content-Length: \xef\xbc\x95\r\n") "12345"),
    CASE("bare LFs and a length", "POST / HTTP/1.1\nHost: x\nContent-Length: 5\n\n12345"),
    CASE("tab before the coding's value, and a bare LF",
         "POST / HTTP/1.1\r\nTransfer-Encoding:\tchunked\n\r\n0\r\n\r\n"),
    CASE("trailing word", "GET / HTTP/1.1 x\r\nHost: x\r\n\r\n"),
    CASE("HEAD in lower case", "head / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("no-break space in a line of HTTP/0.9", "GET /\xa0HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("length, name with underscore", HEAD("Content_Length: 5\r\n") "12345"),
    CASE("coding, name with underscore", HEAD("Transfer_Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("two codings", HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") "0\r\n\r\n"),
    CASE("identity first", HEAD("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("chunked twice", HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("chunked, chunked", HEAD("Transfer-Encoding: chunked, chunked\r\n") "0\r\n\r\n"),
    CASE("gzip, chunked", HEAD("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n"),
    CASE("chunked, gzip", HEAD("Transfer-Encoding: chunked, gzip\r\n") "0\r\n\r\n"),
    CASE("xchunked", HEAD("Transfer-Encoding: xchunked\r\n") "0\r\n\r\n"),
    CASE("chunkedx", HEAD("Transfer-Encoding: chunkedx\r\n") "0\r\n\r\n"),
    CASE("chunk", HEAD("Transfer-Encoding: chunk\r\n") "0\r\n\r\n"),
    CASE("identity", HEAD("Transfer-Encoding: identity\r\n") "0\r\n\r\n"),
    CASE("cow", HEAD("Transfer-Encoding: cow\r\n") "0\r\n\r\n"),
    CASE("empty coding", HEAD("Transfer-Encoding:\r\n") "0\r\n\r\n"),
    CASE("quoted coding", HEAD("Transfer-Encoding: \"chunked\"\r\n") "0\r\n\r\n"),
    CASE("apostrophes", HEAD("Transfer-Encoding: 'chunked'\r\n") "0\r\n\r\n"),
    CASE("coding with a parameter", HEAD("Transfer-Encoding: chunked;q=0.5\r\n") "0\r\n\r\n"),
    CASE("coding after a vertical tab", HEAD("Transfer-Encoding: \x0b"
                                             "chunked\r\n") "0\r\n\r\n"),
    CASE("coding after a form feed", HEAD("Transfer-Encoding: \x0c"
                                          "chunked\r\n") "0\r\n\r\n"),
    CASE("coding after a backspace", HEAD("Transfer-Encoding: \x08"
                                          "chunked\r\n") "0\r\n\r\n"),
    CASE("coding after NUL", HEAD("Transfer-Encoding: \0"
                                  "chunked\r\n") "0\r\n\r\n"),
    CASE("coding before NUL", HEAD("Transfer-Encoding: chunked\0\r\n") "0\r\n\r\n"),
    CASE("coding after a bare CR", HEAD("Transfer-Encoding: \rchunked\r\n") "0\r\n\r\n"),
    CASE("coding before a bare CR", HEAD("Transfer-Encoding: chunked\rX: y\r\n") "0\r\n\r\n"),
    CASE("coding in the next line", HEAD("Transfer-Encoding:\r\n chunked\r\n") "0\r\n\r\n"),
    CASE("coding after a high byte", HEAD("Transfer-Encoding: \xff"
                                          "chunked\r\n") "0\r\n\r\n"),
    CASE("coding before a high byte", HEAD("Transfer-Encoding: chunked\xff\r\n") "0\r\n\r\n"),
    CASE("coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE("space before the colon", HEAD("Transfer-Encoding : chunked\r\n") "0\r\n\r\n"),
    CASE("tab before the colon", HEAD("Transfer-Encoding\t: chunked\r\n") "0\r\n\r\n"),
    CASE("space before the length's colon", HEAD("Content-Length : 5\r\n") "12345"),
    CASE("NUL in a name", HEAD("Transfer-Encoding\0: chunked\r\n") "0\r\n\r\n"),
    CASE("vertical tab in a name", HEAD("Transfer-Encoding\x0b: chunked\r\n") "0\r\n\r\n"),
    CASE("high byte in a name", HEAD("Transfer\xad-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("space in a name", HEAD("Transfer Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("space before a name", HEAD(" Transfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("tab before a name", HEAD("\tContent-Length: 5\r\n") "12345"),
    CASE("folded line", HEAD("X: y\r\n z\r\n")),
    CASE("folded coding", HEAD("X: y\r\n\tTransfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("folded first line", "POST / HTTP/1.1\r\n Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE("no name", HEAD(": chunked\r\n") "0\r\n\r\n"),
    CASE("no colon", HEAD("Transfer-Encoding chunked\r\n") "0\r\n\r\n"),
    CASE("no colon, last", HEAD("Content-Length\r\n")),
    CASE("bare LF after a line", "POST / HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\n12345"),
    CASE("bare LF before the coding", HEAD("X: y\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n"),
    CASE("bare LF after the coding", HEAD("Transfer-Encoding: chunked\n") "0\r\n\r\n"),
    CASE("bare CR in a value", HEAD("X: y\rContent-Length: 5\r\n") "12345"),
    CASE("bare CR at a line's end", HEAD("X: y\r\r\n")),
    CASE("bare CR instead of the empty line", "GET / HTTP/1.1\r\nHost: x\r\n\rX: y\r\n\r\n"),
    CASE("NUL in a value", HEAD("X: y\0Content-Length: 5\r\n")),
    CASE("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("HTTP/0.9 in name", "GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    CASE("HTTP/1.10", "GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    CASE("HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    CASE("HTTP/01.1", "GET / HTTP/01.1\r\nHost: x\r\n\r\n"),
    CASE("HTTP/1,1", "GET / HTTP/1,1\r\nHost: x\r\n\r\n"),
    CASE("http/1.1", "GET / http/1.1\r\nHost: x\r\n\r\n"),
    CASE("space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("bare CR before the first line", "\r"
                                          "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("CR CR LF before the first line", "\r\r\n"
                                           "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("vertical tab after the method", "GET\v/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("form feed after the method", "GET\f/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("bare CR in the first line", "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n"),
};

/* A body's chunks: the request itself is judged, what follows must not be taken for one. */
#define CHUNKS(text) HEAD("Transfer-Encoding: chunked\r\n") text
static const struct smuggling_case smuggling_chunks[] = {
    CASE("size with 0x", CHUNKS("0x5\r\n12345\r\n0\r\n\r\n")),
    CASE("size with plus", CHUNKS("+5\r\n12345\r\n0\r\n\r\n")),
    CASE("negative size", CHUNKS("-5\r\n12345\r\n0\r\n\r\n")),
    CASE("space before the size", CHUNKS(" 5\r\n12345\r\n0\r\n\r\n")),
    CASE("underscore in the size", CHUNKS("1_0\r\n12345\r\n0\r\n\r\n")),
    CASE("no size", CHUNKS("\r\n12345\r\n0\r\n\r\n")),
    CASE("only an extension", CHUNKS(";x\r\n12345\r\n0\r\n\r\n")),
    CASE("size too large", CHUNKS("10000000000000005\r\n12345\r\n0\r\n\r\n")),
    CASE("size of sixteen F", CHUNKS("FFFFFFFFFFFFFFFF\r\n12345\r\n0\r\n\r\n")),
    CASE("bare LF after the size", CHUNKS("5\n12345\r\n0\r\n\r\n")),
    CASE("bare CR after the size", CHUNKS("5\r12345\r\n0\r\n\r\n")),
    CASE("bare LF in an extension", CHUNKS("5;x\n12345\r\n0\r\n\r\n")),
    CASE("bare CR in an extension", CHUNKS("5;x\ry\r\n12345\r\n0\r\n\r\n")),
    CASE("NUL in an extension", CHUNKS("5;\0\r\n12345\r\n0\r\n\r\n")),
    CASE("comma after the size", CHUNKS("5,x\r\n12345\r\n0\r\n\r\n")),
    CASE("data longer than its size", CHUNKS("5\r\n123456\r\n0\r\n\r\n")),
    CASE("two bytes more", CHUNKS("5\r\n12345xx0\r\n\r\n")),
    CASE("bare LF after the data", CHUNKS("5\r\n12345\n0\r\n\r\n")),
    CASE("bare CR after the data", CHUNKS("5\r\n12345\r0\r\n\r\n")),
    CASE("nothing after the data", CHUNKS("5\r\n123450\r\n\r\n")),
    CASE("bare LF at the last chunk", CHUNKS("0\n\r\n")),
    CASE("bare LF at the end", CHUNKS("0\r\n\n")),
    CASE("folded trailer", CHUNKS("0\r\n x: y\r\n\r\n")),
    CASE("bare LF in a trailer", CHUNKS("0\r\nX: y\n\r\n")),
    CASE("NUL in a trailer", CHUNKS("0\r\nX: \0\r\n\r\n")),
    CASE("trailer without a name", CHUNKS("0\r\n: y\r\n\r\n")),
    CASE("end of CR CR LF", CHUNKS("0\r\n\r\r\n")),
};

/* Odd, but of one meaning: judged like all others, and where they end is known. */
static const struct smuggling_case smuggling_odd[] = {
    CASE("length with trailing space", HEAD("Content-Length: 5 \r\n") "12345"),
    CASE("length after a tab", HEAD("Content-Length:\t5\r\n") "12345"),
    CASE("coding after a tab", HEAD("Transfer-Encoding:\tchunked\r\n") "0\r\n\r\n"),
    CASE("coding before a tab", HEAD("Transfer-Encoding: chunked\t\r\n") "0\r\n\r\n"),
    CASE("coding before a space", HEAD("Transfer-Encoding: chunked \r\n") "0\r\n\r\n"),
    CASE("only bare LFs", "GET / HTTP/1.1\nHost: x\n\n"),
    CASE("bare LF after the first line", "POST / HTTP/1.1\nHost: x\r\n\r\n"),
    CASE("empty line of a bare LF", "GET / HTTP/1.1\r\nHost: x\r\n\n"),
    CASE("end of LF CR LF", "GET / HTTP/1.1\r\nHost: x\n\r\n"),
    CASE("escape character", HEAD("X: \x1b[0m\r\n")),
    CASE("HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    CASE("two spaces after the method", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("two spaces after the target", "GET /  HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("tab after the method", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("tab after the target", "GET /\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("space after the version", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    CASE("bare LF before the first line", "\n"
                                          "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("space before the method", " GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("tab before the method", "\tGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("empty line, then a space", "\r\n GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("long length with zeros", HEAD("Content-Length: 000000000000000000000000000005\r\n") "12345"),
    CASE("blanks round a length", HEAD("Content-Length: \t 5 \t\r\n") "12345"),
    CASE("odd names", HEAD("X@y: 1\r\n(z): 2\r\n[\"]: 3\r\n")),
    CASE("control characters in values", HEAD("X: \x01\x0b\x0c\x7f\r\n")),
    CASE("HTTP/1.9 with chunks", "POST / HTTP/1.9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"),
    CASE("lines of blanks before the first line", " \r\n\t\n\r\n" HEAD("Content-Length: 5\r\n") "12345"),
    CASE("an odd header and a body", HEAD("X@y: 1\r\nContent-Length: 5\r\n") "12345"),
    CASE("space after the size", CHUNKS("5 \r\n12345\r\n0\r\n\r\n")),
    CASE("tab after the size", CHUNKS("5\t\r\n12345\r\n0\r\n\r\n")),
};

/* In order: whatever they ask for, the request behind them is one, or is none, for everybody.  Those who say that they
 * will speak something else go on with HTTP where the application does not agree to it. */
#define GET(fields) "GET /first HTTP/1.1\r\nHost: x\r\n" fields "\r\n"
static const struct smuggling_case smuggling_valid[] = {
    CASE("nothing special", GET("")),
    CASE("empty lines before", "\r\n\r\n\r\n" GET("")),
    CASE("length", HEAD("Content-Length: 5\r\n") "12345"),
    CASE("the same length of zero", HEAD("Content-Length: 0\r\n")),
    CASE("leading zeros", HEAD("Content-Length: 0005\r\n") "12345"),
    CASE("chunks", CHUNKS("5\r\n12345\r\n0\r\n\r\n")),
    CASE("chunk extensions", CHUNKS("5;a=b;c=\"d\"\r\n12345\r\n0;e\r\n\r\n")),
    CASE("sizes with zeros", CHUNKS("0000000005\r\n12345\r\n00000\r\n\r\n")),
    CASE("trailers", CHUNKS("0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n")),
    CASE("a request in a body", HEAD("Content-Length: 37\r\n") "GET /smuggled HTTP/1.1\r\nHost: x  \r\n\r\n"),
    CASE("a request in a chunk", CHUNKS("25\r\nGET /smuggled HTTP/1.1\r\nHost: x  \r\n\r\n\r\n0\r\n\r\n")),
    CASE("GET with a body", GET("Content-Length: 5\r\n") "12345"),
    CASE("GET with chunks", GET("Transfer-Encoding: chunked\r\n") "5\r\n12345\r\n0\r\n\r\n"),
    CASE("HEAD", "HEAD /first HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("absolute target", "GET http://x/first HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("absolute target of another host", "GET http://y/first HTTP/1.1\r\nHost: x\r\n\r\n"),
    CASE("CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
    CASE("WebSocket", GET("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
    CASE("WebSocket of a wrong version",
         GET("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n"
             "Sec-WebSocket-Key: x\r\n")),
    CASE("h2c", GET("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n")),
    CASE("Upgrade that is not in Connection", GET("Upgrade: h2c\r\n")),
    CASE("Upgrade with a body", HEAD("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n") "12345"),
    CASE("Expect", HEAD("Expect: 100-continue\r\nContent-Length: 5\r\n") "12345"),
    CASE("unknown Expect", HEAD("Expect: something\r\nContent-Length: 5\r\n") "12345"),
    CASE("close", GET("Connection: close\r\n")),
    CASE("close with a body", HEAD("Connection: close\r\nContent-Length: 5\r\n") "12345"),
    CASE("close in a list", GET("Connection: x, close\r\n")),
    CASE("close, then keep-alive", GET("Connection: close\r\nConnection: keep-alive\r\n")),
    CASE("HTTP/1.0", "GET /first HTTP/1.0\r\nHost: x\r\n\r\n"),
    CASE("HTTP/1.0, keep-alive", "GET /first HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"),
    CASE("two hosts", GET("Host: y\r\n")),
    CASE("no host", "GET /first HTTP/1.1\r\n\r\n"),
    CASE("long header", GET("X: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n")),
};

#undef CASE
#undef GET
#undef CHUNKS
#endif
