/* What a program's file says of how it runs: its loader, its word size, its language's runtime, its extra rights. */
#ifndef WEIR_AGENT_PROGRAM_FILE_H
#define WEIR_AGENT_PROGRAM_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct program_file {
    bool elf; /* false: no ELF file; the rest but the rights is then not known */
    unsigned char class;
    uint16_t machine;
    bool interpreted;      /* PT_INTERP: a loader maps its libraries, and what LD_PRELOAD names */
    char interpreter[256]; /* that loader; or "" */
    bool go;               /* made by Go's compiler: it makes its system calls itself, whatever libraries it has */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    bool capabilities; /* file capabilities */
};

/* False: the file cannot be read. `directory` as in openat(2). */
bool program_file_read(int directory, const char *path, struct program_file *ret_file);

/* Nothing is interpreted but by a loader: libraries cannot be loaded into it.  `path` names the file: a loader itself
 * has no PT_INTERP, and yet it preloads for the program that it runs. */
bool program_file_is_static(const struct program_file *, const char *path);
bool program_file_is_musl(const struct program_file *);
/* Another word size or processor than `library`'s; false if either is no ELF file. */
bool program_file_is_foreign(const struct program_file *, const struct program_file *library);
/* "set-uid", "set-gid", "file capabilities": what raises the rights of a user who runs it; NULL if nothing does. */
const char *program_file_raises(const struct program_file *, uid_t uid, gid_t gid);

#endif
