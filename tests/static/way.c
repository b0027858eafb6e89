/* Notes which functions of libweir.so each call of the application visits: linked into a library that is compiled with
 * -O0 -finstrument-functions.  A call is a line in the file that WAY_OUT names: "DEPTH:OFFSET" of each function
 * entered, in order.  For one thread. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define QUIET __attribute__((no_instrument_function))
void __cyg_profile_func_enter(void *function, void *site) QUIET;
void __cyg_profile_func_exit(void *function, void *site) QUIET;

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

enum { ROOM = 1 << 20, ENTRY_MAX = 32 };
static char text[ROOM];
static size_t size;
static unsigned depth;
static int out = -1;

static QUIET void put(uint64_t number, char end) {
    static const char digits[] = "0123456789abcdef";
    char reversed[16];
    unsigned n = 0;
    do
        reversed[n++] = digits[number & 15];
    while (number >>= 4);
    while (n)
        text[size++] = reversed[--n];
    text[size++] = end;
}

/* A system call as the library makes it, but without the library: that would be noted, too. */
static QUIET long call3(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static QUIET void write_line(void) {
    const char *path = out < 0 ? getenv("WAY_OUT") : NULL;
    if (path)
        out = (int)call3(SYS_open, (long)path, O_WRONLY | O_APPEND, 0);
    text[size++] = '\n';
    if (out >= 0)
        call3(SYS_write, out, (long)text, (long)size);
    size = 0;
}

void __cyg_profile_func_enter(void *function, void *site) {
    (void)site;
    if (size + ENTRY_MAX < ROOM) {
        put(depth, ':');
        put((uint64_t)((const char *)function - __ehdr_start), ' ');
    }
    depth++;
}

void __cyg_profile_func_exit(void *function, void *site) {
    (void)function, (void)site;
    if (--depth == 0)
        write_line();
}
