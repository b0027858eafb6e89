/* HTTP/1.0 and 1.1.  One parser for both directions: strict with requests, where a second opinion about the end of a
 * message would smuggle a request past the rules, but not more than that demands (tolerant.c); lenient in harmless
 * places with responses, which the application itself wrote. */
#ifndef WEIR_SHIM_HTTP1_H
#define WEIR_SHIM_HTTP1_H

#include "shim/protocol/list.h"
#include "shim/protocol/protocol.h"

enum http_method { HTTP_METHOD_OTHER, HTTP_METHOD_HEAD, HTTP_METHOD_CONNECT /* message.method_id */ };

/* Without the blanks and tabs around it. */
struct slice http1_trim(struct slice);

/* What a client sends first.  MORE withholds nothing: the bytes are with the application already, and what they turn
 * out to be is decided on with what comes next; so it is answered to the beginning of anything that could be a first
 * line of HTTP.  `seen`: so many of these bytes an earlier call has answered MORE to; they are not looked at again, but
 * for the end of the method. */
enum sniffed http1_sniff(const char *bytes, size_t size, size_t seen);

/* A method of IANA's registry, as it is written there. */
bool http1_is_method(const char *bytes, size_t size);
/* The spelling of the registry, if it is such a method in another case; else itself. */
struct slice http1_usual_method(struct slice method);

/* Parses the request head at the start of `bytes`, leading CRLFs (which some clients send after a body) included in it.
 * `seen` is how many of these bytes an earlier call has answered MORE to (0 at first): what is known not to hold the
 * end is not searched again, so that a slow sender costs time in proportion to what it sends.
 * DONE: *ret_head is filled, its slices point into `bytes`; `odd`: it is not quite HTTP/1, but all servers that take it
 * understand the same by it (tolerant.c has the list).  MORE: valid so far.  BROKEN: not HTTP/1, or two servers could
 * differ about it: Content-Length and Transfer-Encoding together, lengths that differ, have a sign or a list or are
 * empty (identical ones, each in a line of its own, are one: RFC 9112 6.3), any coding but exactly "chunked", a coding
 * in HTTP/1.0, folded lines, CR without LF, NUL, white space within or around a header's name, LF without CR in a
 * request with a body, versions other than HTTP/1.x.  A request line of HTTP/0.9 is a whole head: some servers answer
 * it. */
enum parsed http1_request(const char *bytes, size_t size, size_t seen, struct message *ret_head);
/* The same for the head of a response. */
enum parsed http1_response(const char *bytes, size_t size, size_t seen, struct message *ret_head);

/* All headers but what has no name; white space around values is removed. */
bool http1_field(const struct message *, size_t *at, struct slice *ret_name, struct slice *ret_value);

bool http1_is_blank(char); /* to some server */

/* "h2c" in a field called Upgrade. */
bool http1_offer(const struct message *, size_t *at, struct slice *ret_name);

/* How a response's body is framed depends on its request, too: HEAD has none, a CONNECT that succeeds ends HTTP. */
enum body_framing http1_response_framing(const struct message *response, uint8_t of_method_id);
void http1_response_body_start(struct body *, const struct message *response, uint8_t of_method_id);
enum parsed http1_body_skip(struct body *, const char *bytes, size_t size, size_t *ret_taken);
size_t http1_body_blind(const struct body *); /* 0 for the overhead of chunks */
bool http1_body_skip_blind(struct body *, size_t size);

/* The path's segment number `index` (0-based), as sent; `at` is NULL if there is none. */
struct slice http1_path_segment(struct slice target, unsigned index);
struct readings;
void http1_cookies(struct readings *, const struct message *, const char *name);
void http1_value(const struct message *, const struct rule_param *, const char *field, struct values *ret_values);
void http1_names(const struct message *, struct naming_message *ret_naming);
size_t http1_refuse(const struct message *request, const struct refusal *, char *ret_bytes, size_t size);
bool http1_settle(const struct message *request, bool close, char *answer, size_t *size, size_t capacity);

/* What follows the response is no HTTP any more: 101, or a CONNECT that succeeded. */
bool http1_switches(uint16_t status, uint8_t of_method_id);

#endif
