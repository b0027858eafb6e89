#include "tools/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/process/program_file.h"

enum { SCRIPT_DEPTH = 4 };

/* ------------------------------------------------------------------------------------------------- finding */

static int try_path(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    return access(path, X_OK) == 0 ? 0 : -errno;
}

int program_find(const char *command, char *ret_path, size_t size) {
    if (strchr(command, '/')) {
        if ((size_t)snprintf(ret_path, size, "%s", command) >= size)
            return -ENAMETOOLONG;
        return try_path(command);
    }
    if (*command == '\0')
        return -ENOENT;
    const char *list = getenv("PATH");
    int refused = -ENOENT;
    for (const char *from = list ? list : "/bin:/usr/bin"; from;) {
        size_t length = strcspn(from, ":");
        char path[PATH_MAX];
        int written = snprintf(path, sizeof path, "%.*s%s%s", (int)length, from, length ? "/" : "", command);
        from = from[length] ? from + length + 1 : NULL;
        if (written < 0 || (size_t)written >= size || (size_t)written >= sizeof path)
            continue;
        int error = try_path(path);
        if (error == -EACCES || error == 0)
            memcpy(ret_path, path, (size_t)written + 1);
        if (error == 0)
            return 0;
        if (error == -EACCES)
            refused = -EACCES; /* as the shell: a later directory may have one that runs */
    }
    return refused;
}

static bool library_in(const char *folder, const char *below, char *ret_path, size_t size) {
    char path[PATH_MAX], real[PATH_MAX];
    int written = snprintf(path, sizeof path, "%s%s/libweir.so", folder, below);
    bool there = written > 0 && (size_t)written < sizeof path && realpath(path, real) && access(real, R_OK) == 0;
    return there && (size_t)snprintf(ret_path, size, "%s", real) < size;
}

/* Beside us, as in a build; in the libdir of the tree that we stand in, which may have been moved; in the libdir. */
int program_library(char *ret_path, size_t size) {
    char self[PATH_MAX] = "", libdir[64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = length > 0 ? strrchr(self, '/') : NULL;
    const char *multiarch = strrchr(WEIR_LIBDIR, '/');
    snprintf(libdir, sizeof libdir, "/../lib%.50s", multiarch ? multiarch : "");
    if (slash)
        *slash = '\0';
    bool near = slash && (library_in(self, "", ret_path, size) || library_in(self, libdir, ret_path, size) ||
                          library_in(self, "/../lib", ret_path, size));
    if (near)
        return 0;
    int written = snprintf(ret_path, size, "%s/libweir.so", WEIR_LIBDIR);
    if (written < 0 || (size_t)written >= size)
        return -ENAMETOOLONG;
    return access(ret_path, R_OK) == 0 ? 0 : -ENOENT;
}

bool program_preloadable(const char *library) {
    return library[0] == '/' && !strpbrk(library, " :\t\n");
}

static bool preload_holds(const char *preload, const char *library) {
    size_t wanted = strlen(library);
    for (const char *at = preload; *at;) {
        size_t length = strcspn(at, " :");
        if (length == wanted && memcmp(at, library, length) == 0)
            return true;
        at += length + (at[length] != '\0');
    }
    return false;
}

char *program_preload(const char *library, const char *preload) {
    char *text = NULL;
    if (!preload || !*preload)
        return strdup(library);
    if (preload_holds(preload, library))
        return strdup(preload);
    return asprintf(&text, "%s:%s", library, preload) < 0 ? NULL : text;
}

/* -------------------------------------------------------------------------------------------- looking inside */

/* The interpreter that the first line of a script names. */
static bool read_script(const char *path, char *ret_interpreter, size_t size) {
    char line[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t length = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    if (length < 3 || memcmp(line, "#!", 2) != 0)
        return false;
    line[length] = '\0';
    const char *from = line + 2 + strspn(line + 2, " \t");
    size_t word = strcspn(from, " \t\n");
    return word > 0 && (size_t)snprintf(ret_interpreter, size, "%.*s", (int)word, from) < size;
}

bool program_unreachable(const char *path, const char *library, char *ret_why, size_t size) {
    char file[PATH_MAX], next[PATH_MAX];
    struct program_file facts, ours;
    snprintf(file, sizeof file, "%s", path);
    for (int depth = 0; depth < SCRIPT_DEPTH && read_script(file, next, sizeof next); depth++)
        memcpy(file, next, sizeof file);
    if (!program_file_read(AT_FDCWD, file, &facts))
        return false; /* no opinion: execve will have one */
    const char *raised = program_file_raises(&facts, geteuid(), getegid());
    if (raised) { /* the loader runs in secure mode */
        bool has = strcmp(raised, "file capabilities") == 0;
        snprintf(ret_why, size, "%s: it %s %s, and for such programs the loader ignores LD_PRELOAD", file,
                 has ? "has" : "is", raised);
        return true;
    }
    if (facts.go) {
        snprintf(ret_why, size, "%s is a Go program, which makes its system calls itself, past every library", file);
        return true;
    }
    if (program_file_is_static(&facts, file)) {
        snprintf(ret_why, size, "%s is statically linked, so no library can be loaded into it", file);
        return true;
    }
    if (!facts.elf || !program_file_read(AT_FDCWD, library, &ours))
        return false;
    if (program_file_is_foreign(&facts, &ours)) {
        snprintf(ret_why, size, "%s is a %s-bit program%s, and %s is %s-bit", file,
                 facts.class == ELFCLASS32 ? "32" : "64", facts.class == ours.class ? " for another processor" : "",
                 library, ours.class == ELFCLASS32 ? "32" : "64");
        return true;
    }
    if (program_file_is_musl(&facts)) {
        snprintf(ret_why, size, "%s uses musl as its C library, and %s is made for glibc", file, library);
        return true;
    }
    return false;
}
