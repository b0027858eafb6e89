/* Pins: maps and links that outlive the process which made them, in a folder of a BPF file system.
 *
 *   ROOT/FEATURE-VERSION/NAME         a map
 *   ROOT/FEATURE-VERSION/link_NAME    an attachment
 *
 * VERSION is that of what the maps hold: a newer one starts from zero beside the old one, which is then removed.  One
 * agent owns a root, by a lock that ends with it; others read. */
#ifndef WEIR_EBPF_PINS_H
#define WEIR_EBPF_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct bpf_map;
struct bpf_program;

#define PINS_ROOT "/sys/fs/bpf/weir"
enum { PINS_PATH_MAX = 256, PINS_NAME_MAX = 64 };

struct pins {
    char root[PINS_PATH_MAX]; /* "": nothing is pinned */
    int lock;                 /* descriptor of the root, or -1 */
    bool owner;
};

/* Makes the root if need be (and mounts a BPF file system at /sys/fs/bpf, if there is none and we may), and takes its
 * lock if it is free.  0, or -errno: -ENODEV no BPF file system there; then nothing is pinned. */
int pins_open(struct pins *, const char *root);
void pins_close(struct pins *); /* everything pinned goes on; folders without any go away */

/* For a folder FEATURE-VERSION, 0 or -errno: */
int pins_folder(const struct pins *, const char *feature, int version);
/* Before load: the pinned map is taken instead of a new one, or the new one is pinned.  -EINVAL from load later means a
 * map of another shape: the version should have changed. */
int pins_map(const struct pins *, const char *feature, int version, struct bpf_map *);
/* A descriptor of a pinned map for reading; or -errno. */
int pins_read_map(const struct pins *, const char *feature, int version, const char *name);
/* When that was pinned, Unix time; 0 = it is not. */
time_t pins_since(const struct pins *, const char *feature, int version, const char *name);
/* Attaches a loaded program to `target_fd` (a cgroup or a network namespace) with a pinned link.  A link that is there
 * gets the program in place of its own, without a moment between them; one that hangs somewhere else is replaced.  The
 * link's descriptor, or -errno.  Without a root the link lasts as long as the descriptor. */
int pins_attach(const struct pins *, const char *feature, int version, const char *name, const struct bpf_program *,
                int target_fd);
/* Removes the pin of a link that is not needed any more; with its last descriptor the program is detached.  0 or
 * -errno; one that is not there is removed. */
int pins_detach(const struct pins *, const char *feature, int version, const char *name);

/* Removes the pins of one feature, of all its versions but `keep` (0: none is kept): links first, then maps.  NULL: of
 * all features, and the root if nothing else is in it.  0 or -errno of the first that could not be removed. */
int pins_remove(const struct pins *, const char *feature, int keep);

#endif
