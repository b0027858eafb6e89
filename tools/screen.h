/* The whole terminal for a picture that is redrawn, and its keys; put back as it was in every case.
 */
#ifndef WEIR_TOOLS_SCREEN_H
#define WEIR_TOOLS_SCREEN_H

#include <stdbool.h>
#include <signal.h>
#include <stddef.h>
#include <termios.h>

enum { SCREEN_KEY_MAX = 16 /* bytes: an escape sequence, or a character */ };

struct screen {
    int signal_fd;
    bool keys; /* stdin is a terminal, too */
    char key[SCREEN_KEY_MAX];
    size_t key_length;
    struct termios before;
    sigset_t mask_before;
};

/* Takes the terminal on stdout.  0 or -errno. */
int screen_open(struct screen *);
void screen_close(struct screen *);

/* Is the terminal on stdout one that a picture can be drawn on ($TERM is set, and not "dumb")? */
bool screen_is_possible(void);

/* Shows the text from the upper left corner on, cut at the lower and the right end; what stood there before is gone.
 * -errno if the terminal is. */
int screen_draw(struct screen *, const char *text, size_t length);
int screen_rows(void);

enum screen_event { SCREEN_TIME, SCREEN_REDRAW, SCREEN_KEY, SCREEN_QUIT };
/* Waits up to `timeout_ms` for a key, a signal or a new size.  Ctrl-Z stops us with the terminal in order, and
 * SCREEN_REDRAW follows when we go on.  Ctrl-C, the end of the terminal: SCREEN_QUIT.  SCREEN_KEY: one key, whose bytes
 * are in `key`; what was typed behind it is left for the next call, or for the next reader of the terminal. */
enum screen_event screen_wait(struct screen *, int timeout_ms);

#endif
