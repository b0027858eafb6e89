#include "tools/screen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    ESCAPE = 27,
    ESCAPE_MS = 50, /* the bytes of one key come together, over a slow line nearly so */
};

/* The other page, no cursor, nothing wraps; and back. */
static const char enter[] = "\33[?1049h\33[?25l\33[?7l", leave[] = "\33[?7h\33[?25h\33[?1049l";

static int write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wait = {STDOUT_FILENO, POLLOUT, 0};
            poll(&wait, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return -errno;
        } else if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    return 0;
}

static void keys_take(const struct screen *self) {
    struct termios raw = self->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* keys at once, unseen; Ctrl-C and Ctrl-Z remain signals */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (self->keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void terminal_take(const struct screen *self) {
    keys_take(self);
    write_all(enter, sizeof enter - 1);
}

static void terminal_give_back(struct screen *self) {
    write_all(leave, sizeof leave - 1);
    if (self->keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &self->before);
}

int screen_open(struct screen *self) {
    sigset_t set;
    sigemptyset(&set);
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaddset(&set, handled[i]);
    self->keys = tcgetattr(STDIN_FILENO, &self->before) == 0;
    sigprocmask(SIG_BLOCK, &set, &self->mask_before);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signal_fd < 0)
        return -errno;
    terminal_take(self);
    return 0;
}

void screen_close(struct screen *self) {
    terminal_give_back(self);
    close(self->signal_fd);
    sigprocmask(SIG_SETMASK, &self->mask_before, NULL);
}

int screen_rows(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

bool screen_is_possible(void) {
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* A line is erased before it is written: behind one that fills the terminal the cursor stands on its last character.
 * In one piece, so that nothing flickers; the last line without a line's end, or the terminal scrolls. */
static void write_picture(FILE *stream, const char *text, size_t length) {
    int rows = screen_rows();
    fputs("\33[H", stream);
    for (int row = 1; row <= rows; row++) {
        const char *end = memchr(text, '\n', length);
        size_t line = end ? (size_t)(end - text) : length;
        bool last = row == rows || line + 1 >= length;
        fprintf(stream, "%s%.*s%s", last ? "\33[J" : "\33[K", (int)line, text, last ? "" : "\r\n");
        if (last)
            return;
        text += line + 1;
        length -= line + 1;
    }
}

int screen_draw(struct screen *self, const char *text, size_t length) {
    char *picture = NULL;
    size_t size;
    FILE *stream = open_memstream(&picture, &size);
    (void)self;
    if (!stream)
        return -ENOMEM;
    write_picture(stream, text, length);
    int error = fclose(stream) == 0 ? write_all(picture, size) : -ENOMEM;
    free(picture);
    return error;
}

static enum screen_event take_signal(struct screen *self, int number) {
    if (number == SIGTSTP) {
        terminal_give_back(self);
        raise(SIGSTOP);
        terminal_take(self);
        return SCREEN_REDRAW;
    }
    if (number == SIGCONT) /* after a SIGSTOP the shell has set up the terminal for itself */
        keys_take(self);
    return number == SIGWINCH || number == SIGCONT ? SCREEN_REDRAW : SCREEN_QUIT;
}

/* The next byte of a key that sends several.  Beyond what there is room for they are read, and dropped. */
static bool more_of_key(struct screen *self, char *ret_byte) {
    struct pollfd wait = {STDIN_FILENO, POLLIN, 0};
    if (poll(&wait, 1, ESCAPE_MS) <= 0 || read(STDIN_FILENO, ret_byte, 1) != 1)
        return false;
    if (self->key_length < sizeof self->key)
        self->key[self->key_length++] = *ret_byte;
    return true;
}

/* What an arrow or the like sends: ESC [ parameters letter, or ESC and one letter or two. */
static void take_escape(struct screen *self) {
    char byte;
    if (!more_of_key(self, &byte))
        return; /* the Escape key itself */
    if (byte == 'O')
        more_of_key(self, &byte);
    else if (byte == '[')
        while (more_of_key(self, &byte) && byte >= ' ' && byte < '@')
            ;
}

static void take_character(struct screen *self, unsigned char first) {
    char byte;
    for (int more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0; more > 0; more--)
        if (!more_of_key(self, &byte))
            return;
}

/* One key at a time: what was typed ahead of our end belongs to the next reader of the terminal. */
static enum screen_event take_key(struct screen *self) {
    ssize_t length = read(STDIN_FILENO, self->key, 1);
    if (length == 0 || (length < 0 && errno != EINTR && errno != EAGAIN))
        return SCREEN_QUIT;
    if (length < 0)
        return SCREEN_REDRAW;
    self->key_length = 1;
    if (self->key[0] == ESCAPE)
        take_escape(self);
    else
        take_character(self, (unsigned char)self->key[0]);
    return SCREEN_KEY;
}

enum screen_event screen_wait(struct screen *self, int timeout_ms) {
    struct pollfd wait[2] = {{self->signal_fd, POLLIN, 0}, {self->keys ? STDIN_FILENO : -1, POLLIN, 0}};
    struct signalfd_siginfo info;
    int ready = poll(wait, 2, timeout_ms);
    if (ready <= 0)
        return SCREEN_TIME;
    if (wait[0].revents && read(self->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        return take_signal(self, (int)info.ssi_signo);
    }
    return wait[1].revents ? take_key(self) : SCREEN_REDRAW;
}
