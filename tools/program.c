#include "tools/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPT_DEPTH = 4, HEADERS_MAX = 64 };

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

struct elf_facts {
    unsigned char class;
    uint16_t machine;
    bool interpreted; /* has PT_INTERP: a loader maps its libraries */
    char interpreter[256];
};

static bool read_at(int fd, void *buffer, size_t size, off_t offset) {
    return pread(fd, buffer, size, offset) == (ssize_t)size;
}

static void note_interpreter(int fd, uint64_t offset, uint64_t length, struct elf_facts *ret_facts) {
    ret_facts->interpreted = true;
    size_t room = sizeof ret_facts->interpreter - 1;
    if (length > room)
        length = room;
    if (!read_at(fd, ret_facts->interpreter, length, (off_t)offset))
        length = 0;
    ret_facts->interpreter[length] = '\0';
}

static void read_headers64(int fd, struct elf_facts *ret_facts) {
    Elf64_Ehdr head;
    Elf64_Phdr program;
    if (!read_at(fd, &head, sizeof head, 0))
        return;
    ret_facts->machine = head.e_machine;
    for (int i = 0; i < head.e_phnum && i < HEADERS_MAX; i++) {
        if (!read_at(fd, &program, sizeof program, (off_t)(head.e_phoff + (uint64_t)i * head.e_phentsize)))
            return;
        if (program.p_type == PT_INTERP)
            note_interpreter(fd, program.p_offset, program.p_filesz, ret_facts);
    }
}

static void read_headers32(int fd, struct elf_facts *ret_facts) {
    Elf32_Ehdr head;
    Elf32_Phdr program;
    if (!read_at(fd, &head, sizeof head, 0))
        return;
    ret_facts->machine = head.e_machine;
    for (int i = 0; i < head.e_phnum && i < HEADERS_MAX; i++) {
        if (!read_at(fd, &program, sizeof program, (off_t)head.e_phoff + (off_t)i * head.e_phentsize))
            return;
        if (program.p_type == PT_INTERP)
            note_interpreter(fd, program.p_offset, program.p_filesz, ret_facts);
    }
}

/* False if the file is no ELF file that can be read. */
static bool read_elf(const char *path, struct elf_facts *ret_facts) {
    unsigned char ident[EI_NIDENT];
    *ret_facts = (struct elf_facts){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool elf = read_at(fd, ident, sizeof ident, 0) && memcmp(ident, ELFMAG, SELFMAG) == 0;
    if (elf) {
        ret_facts->class = ident[EI_CLASS];
        if (ident[EI_CLASS] == ELFCLASS64)
            read_headers64(fd, ret_facts);
        if (ident[EI_CLASS] == ELFCLASS32)
            read_headers32(fd, ret_facts);
    }
    close(fd);
    return elf;
}

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

static bool is_loader(const char *path) { /* `ld-linux.so PROGRAM`: no PT_INTERP, and yet it preloads */
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.so", 5) == 0;
}

/* The loader runs in secure mode, and ignores LD_PRELOAD, where running the file gives more rights than one has. */
static const char *raised_rights(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0)
        return NULL;
    if ((status.st_mode & S_ISUID) && status.st_uid != geteuid())
        return "it is set-uid";
    if ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != getegid())
        return "it is set-gid";
    if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "it has file capabilities";
    return NULL;
}

bool program_unreachable(const char *path, const char *library, char *ret_why, size_t size) {
    char file[PATH_MAX], next[PATH_MAX];
    struct elf_facts facts, ours;
    snprintf(file, sizeof file, "%s", path);
    for (int depth = 0; depth < SCRIPT_DEPTH && read_script(file, next, sizeof next); depth++) {
        memcpy(file, next, sizeof file);
    }
    const char *rights = raised_rights(file);
    if (rights) {
        snprintf(ret_why, size, "%s: %s, and for such programs the loader ignores LD_PRELOAD", file, rights);
        return true;
    }
    if (!read_elf(file, &facts))
        return false; /* no opinion: execve will have one */
    if (!facts.interpreted && !is_loader(file)) {
        snprintf(ret_why, size, "%s is statically linked, so no library can be loaded into it", file);
        return true;
    }
    if (!read_elf(library, &ours))
        return false;
    if (facts.class != ours.class || facts.machine != ours.machine) {
        snprintf(ret_why, size, "%s is a %s-bit program%s, and %s is %s-bit", file,
                 facts.class == ELFCLASS32 ? "32" : "64", facts.class == ours.class ? " for another processor" : "",
                 library, ours.class == ELFCLASS32 ? "32" : "64");
        return true;
    }
    if (strstr(facts.interpreter, "/ld-musl")) {
        snprintf(ret_why, size, "%s uses musl as its C library, and %s is made for glibc", file, library);
        return true;
    }
    return false;
}
