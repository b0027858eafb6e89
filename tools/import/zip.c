#include "tools/import/zip.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_SIZE = 30,   /* bytes of the records, without what varies */
    CENTRAL_SIZE = 46, /* … of a file in the central directory */
    END_SIZE = 22,     /* … of the directory's end */
    STORED = 0,
    DEFLATED = 8,
    ENCRYPTED = 1, /* flag */
};
#define LOCAL_MARK 0x04034b50u
#define CENTRAL_MARK 0x02014b50u
#define END_MARK 0x06054b50u

struct file { /* as the central directory has it */
    unsigned flags, method;
    size_t packed, size, local;
    const char *name;
    size_t name_length;
};

static uint32_t word(const char *at, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint32_t)(unsigned char)at[i] << (8 * i);
    return value;
}

bool zip_is(const char *data, size_t length) {
    return length >= END_SIZE && (word(data, 4) == LOCAL_MARK || word(data, 4) == END_MARK);
}

/* The record at the archive's end, behind which only a comment may stand; SIZE_MAX: there is none. */
static size_t find_end(const char *data, size_t length) {
    for (size_t back = END_SIZE; back <= length && back <= END_SIZE + 0xffff; back++)
        if (word(data + length - back, 4) == END_MARK)
            return length - back;
    return SIZE_MAX;
}

/* The next file of the directory; false: it does not stand there as a whole. */
static bool read_file(const char *data, size_t length, size_t *at, struct file *ret_file) {
    const char *from = data + *at;
    if (*at > length || length - *at < CENTRAL_SIZE || word(from, 4) != CENTRAL_MARK)
        return false;
    size_t name = word(from + 28, 2), more = (size_t)word(from + 30, 2) + word(from + 32, 2);
    *ret_file = (struct file){.flags = word(from + 8, 2),
                              .method = word(from + 10, 2),
                              .packed = word(from + 20, 4),
                              .size = word(from + 24, 4),
                              .local = word(from + 42, 4),
                              .name = from + CENTRAL_SIZE,
                              .name_length = name};
    if (length - *at - CENTRAL_SIZE < name + more)
        return false;
    *at += CENTRAL_SIZE + name + more;
    return true;
}

/* Where its bytes begin; SIZE_MAX: not within the archive. */
static size_t bytes_of(const char *data, size_t length, const struct file *file) {
    if (file->local > length || length - file->local < LOCAL_SIZE || word(data + file->local, 4) != LOCAL_MARK)
        return SIZE_MAX;
    size_t begin = file->local + LOCAL_SIZE + word(data + file->local + 26, 2) + word(data + file->local + 28, 2);
    return begin <= length && length - begin >= file->packed ? begin : SIZE_MAX;
}

static bool unpack(const char *from, const struct file *file, char *to) {
    if (file->method == STORED) {
        if (file->packed != file->size)
            return false;
        memcpy(to, from, file->size);
        return true;
    }
    z_stream stream = {.next_in = (Bytef *)from, /* NOLINT: it is only read */
                       .avail_in = (uInt)file->packed,
                       .next_out = (Bytef *)to,
                       .avail_out = (uInt)file->size};
    if (file->method != DEFLATED || inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return false;
    int result = inflate(&stream, Z_FINISH);
    bool whole = (result == Z_STREAM_END || (file->size == 0 && result == Z_BUF_ERROR)) &&
                 stream.total_out == file->size;
    inflateEnd(&stream);
    return whole;
}

static const char *give(const char *data, size_t length, const struct file *file,
                        void (*each)(void *, const char *, const char *, size_t), void *context) {
    size_t begin = bytes_of(data, length, file);
    if (file->flags & ENCRYPTED)
        return "a file in the archive is encrypted";
    if (begin == SIZE_MAX)
        return "the archive is damaged";
    char *name = strndup(file->name, file->name_length), *text = malloc(file->size + 1);
    const char *fault = NULL;
    if (!name || !text) {
        fault = "not enough memory";
    } else if (!unpack(data + begin, file, text)) {
        fault = "a file in the archive is damaged, or packed in an unknown way";
    } else {
        text[file->size] = '\0';
        each(context, name, text, file->size);
    }
    free(name);
    free(text);
    return fault;
}

/* Of one that is too large. */
static const char *give_name(const struct file *file, void (*each)(void *, const char *, const char *, size_t),
                             void *context) {
    char *name = strndup(file->name, file->name_length);
    if (!name)
        return "not enough memory";
    each(context, name, NULL, file->size);
    free(name);
    return NULL;
}

const char *zip_each(const char *data, size_t length, size_t most,
                     void (*each)(void *context, const char *name, const char *text, size_t length), void *context) {
    size_t end = find_end(data, length), bytes = 0;
    if (end == SIZE_MAX)
        return "the archive is damaged: its directory is missing";
    size_t count = word(data + end + 10, 2), at = word(data + end + 16, 4);
    for (size_t i = 0; i < count; i++) {
        struct file file;
        if (i == ZIP_FILES_MAX)
            return "too many files in the archive";
        if (!read_file(data, end, &at, &file))
            return "the archive is damaged";
        bool folder = file.name_length && file.name[file.name_length - 1] == '/';
        if (folder)
            continue;
        bytes += file.size > most ? 0 : file.size;
        const char *fault = file.size > most        ? give_name(&file, each, context)
                            : bytes > ZIP_BYTES_MAX ? "the files in the archive are too large"
                                                    : give(data, length, &file, each, context);
        if (fault)
            return fault;
    }
    return NULL;
}
