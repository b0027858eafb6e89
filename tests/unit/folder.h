/* A temporary folder with files of the test's making. */
#ifndef WEIR_TESTS_UNIT_FOLDER_H
#define WEIR_TESTS_UNIT_FOLDER_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MAX = 40, FOLDER_PATH_MAX = 256 };

static inline void folder_make(char ret_folder[static FOLDER_MAX]) {
    strcpy(ret_folder, "/tmp/weir-unit.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(ret_folder));
}

static inline void folder_remove(const char *folder) {
    char command[FOLDER_MAX + 16];
    snprintf(command, sizeof command, "/bin/rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* Its path; the folders above it are made. */
static inline void folder_path(const char *folder, const char *name, char ret_path[static FOLDER_PATH_MAX]) {
    snprintf(ret_path, FOLDER_PATH_MAX, "%s/%s", folder, name);
    for (char *slash = ret_path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        ck_assert(mkdir(ret_path, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

static inline void folder_put(const char *folder, const char *name, const void *bytes, size_t length) {
    char path[FOLDER_PATH_MAX];
    folder_path(folder, name, path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static inline void folder_link(const char *folder, const char *name, const char *target) {
    char path[FOLDER_PATH_MAX];
    folder_path(folder, name, path);
    ck_assert_int_eq(symlink(target, path), 0);
}

#endif
