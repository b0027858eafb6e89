#include "cgroups.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int by_id(const void *a, const void *b) {
    const struct cgroup_name *one = a, *other = b;
    return (one->id > other->id) - (one->id < other->id);
}

static int add(struct cgroups *cgroups, size_t *room, uint64_t id, const char *path) {
    if (cgroups->count == *room) {
        size_t more = *room ? *room * 2 : 64;
        struct cgroup_name *list = realloc(cgroups->list, more * sizeof *list);
        if (!list)
            return -ENOMEM;
        cgroups->list = list;
        *room = more;
    }
    char *copy = strdup(path[0] ? path : "/");
    if (!copy)
        return -ENOMEM;
    cgroups->list[cgroups->count++] = (struct cgroup_name){.id = id, .path = copy};
    return 0;
}

/* The id of a cgroup is the inode number of its folder. */
int cgroups_read(const char *root, struct cgroups *ret_cgroups) {
    char *copy = strdup(root);
    char *const roots[] = {copy, NULL};
    FTS *walk = copy ? fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL) : NULL;
    struct cgroups found = {0};
    size_t room = 0, length = strlen(root);
    int error = walk ? 0 : -ENOMEM;
    for (FTSENT *entry; !error && found.count < CGROUPS_MAX && (entry = fts_read(walk)) != NULL;)
        if (entry->fts_info == FTS_D)
            error = add(&found, &room, entry->fts_statp->st_ino, entry->fts_path + length);
    if (walk)
        fts_close(walk);
    free(copy);
    if (error) {
        cgroups_clear(&found);
        return error;
    }
    if (found.count)
        qsort(found.list, found.count, sizeof *found.list, by_id);
    *ret_cgroups = found;
    return 0;
}

void cgroups_clear(struct cgroups *cgroups) {
    for (size_t i = 0; i < cgroups->count; i++)
        free(cgroups->list[i].path);
    free(cgroups->list);
    *cgroups = (struct cgroups){0};
}

const char *cgroups_path(const struct cgroups *cgroups, uint64_t id) {
    const struct cgroup_name wanted = {.id = id};
    if (cgroups->count == 0)
        return NULL;
    const struct cgroup_name *found = bsearch(&wanted, cgroups->list, cgroups->count, sizeof wanted, by_id);
    return found ? found->path : NULL;
}
