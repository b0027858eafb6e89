/* Streams of libc's (FILE) on connections.  libc reads and writes the descriptor of a stream by calls of its own, which
 * cannot be interposed: so a stream on a connection is made of our read and write instead (fopencookie).  That
 * concerns fdopen(), and the standard streams of a program whose input is a connection, as inetd hands it over. */
#ifndef WEIR_SHIM_WRAPPERS_STDIO_H
#define WEIR_SHIM_WRAPPERS_STDIO_H

/* The descriptor has become, or always was, 0, 1 or 2: where it is a connection, stdin, stdout or stderr goes by our
 * calls from here on.  Anything else is left as it is.  May allocate, as fdopen() does; errno is kept. */
void stdio_adopt(int fd);
/* The same for all three, from the constructor: a program has not used them yet. */
void stdio_start(void);

#endif
