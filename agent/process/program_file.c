#include "agent/process/program_file.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { HEADERS_MAX = 64, NOTES_MAX = 4096, GO_INFO_REACH = 1 << 16, GO_INFO_ALIGN = 16, GO_BUILD_ID = 4 };

struct segment { /* a program header of either word size */
    uint32_t type, flags;
    uint64_t offset, size; /* in the file */
};

static bool read_at(int fd, void *buffer, size_t size, uint64_t offset) {
    return pread(fd, buffer, size, (off_t)offset) == (ssize_t)size;
}

/* Word sizes differ in types alone. */
#define READ_SEGMENT(BITS)                                                                                             \
    static bool read_segment##BITS(int fd, int i, struct program_file *file, struct segment *ret_segment) {            \
        Elf##BITS##_Ehdr head;                                                                                         \
        Elf##BITS##_Phdr program;                                                                                      \
        if (!read_at(fd, &head, sizeof head, 0) || i >= head.e_phnum)                                                  \
            return false;                                                                                              \
        file->machine = head.e_machine;                                                                                \
        if (!read_at(fd, &program, sizeof program, head.e_phoff + (uint64_t)i * head.e_phentsize))                     \
            return false;                                                                                              \
        *ret_segment = (struct segment){program.p_type, program.p_flags, program.p_offset, program.p_filesz};          \
        return true;                                                                                                   \
    }
READ_SEGMENT(64)
READ_SEGMENT(32)

static void note_interpreter(int fd, const struct segment *segment, struct program_file *file) {
    size_t room = sizeof file->interpreter - 1, length = segment->size < room ? (size_t)segment->size : room;
    file->interpreted = true;
    if (!read_at(fd, file->interpreter, length, segment->offset))
        length = 0;
    file->interpreter[length] = '\0';
}

/* Go's linker leaves its build id in a note of the owner "Go". */
static bool has_go_note(int fd, const struct segment *segment) {
    unsigned char notes[NOTES_MAX];
    struct {
        uint32_t name_size, size, type;
    } head;
    ssize_t have = pread(fd, notes, segment->size < NOTES_MAX ? segment->size : NOTES_MAX, (off_t)segment->offset);
    for (size_t at = 0; have > 0 && at + sizeof head + 4 <= (size_t)have;) {
        memcpy(&head, notes + at, sizeof head);
        if (head.type == GO_BUILD_ID && head.name_size == 4 && memcmp(notes + at + sizeof head, "Go\0", 4) == 0)
            return true;
        uint64_t next = at + sizeof head + ((uint64_t)head.name_size + 3) / 4 * 4 + ((uint64_t)head.size + 3) / 4 * 4;
        if (next > (size_t)have)
            return false;
        at = (size_t)next;
    }
    return false;
}

/* A build id can be left out; what `go version` reads cannot: near the start of a segment of data. */
static bool has_go_info(int fd, const struct segment *segment) {
    static const char magic[] = "\xff Go buildinf:";
    unsigned char part[4096];
    for (uint64_t from = 0; from < GO_INFO_REACH && from < segment->size; from += sizeof part) {
        ssize_t have = pread(fd, part, sizeof part, (off_t)(segment->offset + from));
        for (ssize_t at = 0; at + (ssize_t)sizeof magic - 1 <= have; at += GO_INFO_ALIGN)
            if (memcmp(part + at, magic, sizeof magic - 1) == 0)
                return true;
    }
    return false;
}

static void read_segments(int fd, struct program_file *file) {
    struct segment segment;
    bool wide = file->class == ELFCLASS64;
    for (int i = 0; i < HEADERS_MAX; i++) {
        if (!(wide ? read_segment64(fd, i, file, &segment) : read_segment32(fd, i, file, &segment)))
            return;
        if (segment.type == PT_INTERP)
            note_interpreter(fd, &segment, file);
        if (segment.type == PT_NOTE)
            file->go = file->go || has_go_note(fd, &segment);
        if (segment.type == PT_LOAD && !(segment.flags & PF_X))
            file->go = file->go || has_go_info(fd, &segment);
    }
}

bool program_file_read(int directory, const char *path, struct program_file *ret_file) {
    unsigned char ident[EI_NIDENT];
    struct stat status;
    *ret_file = (struct program_file){0};
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        ret_file->mode = status.st_mode;
        ret_file->uid = status.st_uid;
        ret_file->gid = status.st_gid;
        ret_file->capabilities = fgetxattr(fd, "security.capability", NULL, 0) > 0;
        ret_file->elf = read_at(fd, ident, sizeof ident, 0) && memcmp(ident, ELFMAG, SELFMAG) == 0;
    }
    if (ret_file->elf) {
        ret_file->class = ident[EI_CLASS];
        read_segments(fd, ret_file);
    }
    close(fd);
    return true;
}

bool program_file_is_static(const struct program_file *file, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool is_loader = strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.so", 5) == 0; /* `ld-linux.so PROGRAM` */
    return file->elf && !file->interpreted && !is_loader;
}

bool program_file_is_musl(const struct program_file *file) {
    return strstr(file->interpreter, "/ld-musl") != NULL;
}

bool program_file_is_foreign(const struct program_file *file, const struct program_file *library) {
    return file->elf && library->elf && (file->class != library->class || file->machine != library->machine);
}

const char *program_file_raises(const struct program_file *file, uid_t uid, gid_t gid) {
    if ((file->mode & S_ISUID) && file->uid != uid)
        return "set-uid";
    if ((file->mode & S_ISGID) && (file->mode & S_IXGRP) && file->gid != gid)
        return "set-gid";
    return file->capabilities && uid != 0 ? "file capabilities" : NULL;
}
