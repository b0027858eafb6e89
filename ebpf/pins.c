#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char FILE_SYSTEM[] = "/sys/fs/bpf", LINK[] = "link_";
static const long BPF_FS_MAGIC_NUMBER = 0xcafe4a11;
static const char *const FEATURES[] = {"count", "guard", "caller"}; /* that have ever pinned anything */

/* ------------------------------------------------------------------------------------------------------------- root */

static bool is_bpf_file_system(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 && (unsigned long)status.f_type == (unsigned long)BPF_FS_MAGIC_NUMBER;
}

/* Where systemd runs it is mounted; elsewhere it takes one call and the right to do so. */
static void mount_if_missing(const char *root) {
    size_t length = sizeof FILE_SYSTEM - 1;
    if (strncmp(root, FILE_SYSTEM, length) == 0 && root[length] == '/' && !is_bpf_file_system(FILE_SYSTEM))
        (void)mount("bpf", FILE_SYSTEM, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
}

static int open_root(const char *root) {
    mount_if_missing(root);
    bool made = mkdir(root, 0700) == 0;
    if (!made && errno != EEXIST)
        return errno == EACCES || errno == EPERM ? -EACCES : -ENODEV;
    if (!is_bpf_file_system(root)) {
        if (made)
            rmdir(root);
        return -ENODEV;
    }
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int pins_open(struct pins *pins, const char *root) {
    *pins = (struct pins){.lock = -1};
    if (strlen(root) >= sizeof pins->root)
        return -ENAMETOOLONG;
    int fd = open_root(root);
    if (fd < 0)
        return fd;
    memcpy(pins->root, root, strlen(root) + 1);
    pins->lock = fd;
    pins->owner = flock(fd, LOCK_EX | LOCK_NB) == 0;
    return 0;
}

static bool is_empty(int folder) {
    bool empty = true;
    int fd = dup(folder);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return false;
    rewinddir(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        empty &= entry->d_name[0] == '.';
    closedir(dir);
    return empty;
}

/* FEATURE-VERSION: the version, or -1 if it is no such folder. */
static long version_of(const char *name, const char *feature) {
    size_t length = strlen(feature);
    char *end;
    if (strncmp(name, feature, length) != 0 || name[length] != '-' || name[length + 1] < '0' || name[length + 1] > '9')
        return -1;
    long version = strtol(name + length + 1, &end, 10);
    return *end == 0 ? version : -1;
}

/* What else is in the root belongs to other programs that share it. */
static bool is_ours(const char *name) {
    bool ours = false;
    for (size_t i = 0; i < sizeof FEATURES / sizeof *FEATURES; i++)
        ours |= version_of(name, FEATURES[i]) >= 0;
    return ours;
}

/* Folders in which nothing was pinned in the end: of features that could not be loaded, and the root of such. */
static void tidy(const struct pins *pins) {
    int root = dup(pins->lock);
    DIR *dir = root < 0 ? NULL : fdopendir(root);
    if (!dir)
        return;
    rewinddir(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int folder = openat(root, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (folder < 0)
            continue;
        if (is_ours(entry->d_name) && is_empty(folder))
            unlinkat(root, entry->d_name, AT_REMOVEDIR);
        close(folder);
    }
    if (is_empty(root))
        rmdir(pins->root);
    closedir(dir);
}

void pins_close(struct pins *pins) {
    if (pins->owner)
        tidy(pins);
    if (pins->lock >= 0)
        close(pins->lock);
    *pins = (struct pins){.lock = -1};
}

/* ------------------------------------------------------------------------------------------------------------- pins */

static int path_of(const struct pins *pins, const char *feature, int version, const char *name,
                   char ret_path[static PINS_PATH_MAX]) {
    int length = snprintf(ret_path, PINS_PATH_MAX, "%s/%s-%d%s%s", pins->root, feature, version, name[0] ? "/" : "",
                          name);
    return length < PINS_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int pins_folder(const struct pins *pins, const char *feature, int version) {
    char path[PINS_PATH_MAX];
    int error = path_of(pins, feature, version, "", path);
    if (error || !pins->root[0])
        return error;
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

int pins_map(const struct pins *pins, const char *feature, int version, struct bpf_map *map) {
    char path[PINS_PATH_MAX];
    int error = path_of(pins, feature, version, bpf_map__name(map), path);
    if (error || !pins->root[0])
        return error;
    return bpf_map__set_pin_path(map, path);
}

int pins_read_map(const struct pins *pins, const char *feature, int version, const char *name) {
    char path[PINS_PATH_MAX];
    LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = BPF_F_RDONLY);
    int error = path_of(pins, feature, version, name, path);
    if (error)
        return error;
    int fd = bpf_obj_get_opts(path, &options);
    return fd < 0 ? -errno : fd;
}

time_t pins_since(const struct pins *pins, const char *feature, int version, const char *name) {
    char path[PINS_PATH_MAX];
    struct stat status;
    bool pinned = pins->root[0] && path_of(pins, feature, version, name, path) == 0 && stat(path, &status) == 0;
    return pinned ? status.st_mtime : 0;
}

/* Does that link still hang where it is wanted?  It does not when its cgroup or namespace was removed meanwhile. */
static bool hangs_on(int link, int target_fd) {
    struct bpf_link_info info = {0};
    __u32 size = sizeof info;
    struct stat target;
    if (bpf_obj_get_info_by_fd(link, &info, &size) < 0 || fstat(target_fd, &target) < 0)
        return false;
    return info.type == BPF_LINK_TYPE_CGROUP  ? info.cgroup.cgroup_id == target.st_ino
           : info.type == BPF_LINK_TYPE_NETNS ? info.netns.netns_ino == target.st_ino
                                              : false;
}

static int take_over(const char *path, int program, int target_fd) {
    int link = bpf_obj_get(path);
    if (link < 0)
        return -errno;
    if (hangs_on(link, target_fd) && bpf_link_update(link, program, NULL) == 0)
        return link;
    close(link);
    unlink(path);
    return -ENOENT;
}

int pins_attach(const struct pins *pins, const char *feature, int version, const char *name,
                const struct bpf_program *program, int target_fd) {
    char path[PINS_PATH_MAX], link_name[PINS_NAME_MAX];
    int fd = bpf_program__fd(program);
    snprintf(link_name, sizeof link_name, "%s%s", LINK, name);
    int error = path_of(pins, feature, version, link_name, path);
    if (error)
        return error;
    int link = pins->root[0] ? take_over(path, fd, target_fd) : -ENOENT;
    if (link >= 0)
        return link;
    link = bpf_link_create(fd, target_fd, bpf_program__expected_attach_type(program), NULL);
    if (link < 0)
        return -errno;
    if (pins->root[0] && bpf_obj_pin(link, path) < 0) {
        error = -errno;
        close(link);
        return error;
    }
    return link;
}

int pins_detach(const struct pins *pins, const char *feature, int version, const char *name) {
    char path[PINS_PATH_MAX], link_name[PINS_NAME_MAX];
    snprintf(link_name, sizeof link_name, "%s%s", LINK, name);
    int error = pins->root[0] ? path_of(pins, feature, version, link_name, path) : -ENOENT;
    if (error)
        return error == -ENOENT ? 0 : error;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---------------------------------------------------------------------------------------------------------- removal */

/* Links, or everything that is none. */
static int remove_entries(int folder, bool links) {
    int error = 0, fd = dup(folder);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return -errno;
    rewinddir(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        bool link = strncmp(entry->d_name, LINK, sizeof LINK - 1) == 0;
        if (entry->d_name[0] == '.' || link != links)
            continue;
        if (unlinkat(folder, entry->d_name, 0) < 0 && !error)
            error = -errno;
    }
    closedir(dir);
    return error;
}

static int remove_folder(int root, const char *name) {
    int folder = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0)
        return -errno;
    int error = remove_entries(folder, true);
    int second = remove_entries(folder, false);
    close(folder);
    if (!error)
        error = second;
    return unlinkat(root, name, AT_REMOVEDIR) < 0 && !error ? -errno : error;
}

/* Is that the folder of `feature`, in a version that is not kept? */
static bool is_to_go(const char *name, const char *feature, int keep) {
    if (!feature)
        return is_ours(name);
    long version = version_of(name, feature);
    return version >= 0 && (keep == 0 || version != keep);
}

int pins_remove(const struct pins *pins, const char *feature, int keep) {
    int error = 0, root = pins->root[0] ? open(pins->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = root < 0 ? NULL : fdopendir(root);
    if (!dir)
        return pins->root[0] ? -errno : 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int failed = is_to_go(entry->d_name, feature, keep) ? remove_folder(root, entry->d_name) : 0;
        error = error ? error : failed;
    }
    closedir(dir);
    if (!feature && !error)
        rmdir(pins->root); /* stays if something else is in it */
    return error;
}
