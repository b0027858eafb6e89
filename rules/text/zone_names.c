/* Which zones there are: for who mistypes one. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "rules/text/reader.h"
#include "rules/text/zone.h"

enum { DEPTH_MAX = 3, PATH_BYTES = 512 };

struct search {
    const char *wanted;
    size_t folder; /* bytes of the path that are no part of a name */
    size_t best;   /* edits */
    char *name;
    size_t size;
};

/* Etc/GMT+2 is UTC-2: the other sign is meant by who writes "GMT+2", and no other name either. */
static bool is_offset(const char *name) {
    const char *sign = strpbrk(name, "+-");
    return (sign && sign[1] >= '0' && sign[1] <= '9') || strcmp(name, "GMT0") == 0 || strcmp(name, "Etc/GMT0") == 0;
}

/* "Berlin" is as good as "Europe/Berlin". */
static size_t distance(const char *name, const char *wanted) {
    const char *last = strrchr(name, '/');
    size_t whole = text_distance(name, wanted);
    size_t part = last && !strchr(wanted, '/') ? text_distance(last + 1, wanted) : whole;
    return part < whole ? part : whole;
}

static void look_at(struct search *search, const char *path) {
    const char *name = path + search->folder;
    size_t edits = distance(name, search->wanted);
    if (edits < search->best && !is_offset(name) && strlen(name) < search->size) {
        search->best = edits;
        snprintf(search->name, search->size, "%s", name);
    }
}

static void walk(struct search *search, const char *path, int depth) {
    DIR *folder = depth < DEPTH_MAX ? opendir(path) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        char below[PATH_BYTES];
        struct stat status;
        bool a_name = entry->d_name[0] >= 'A' && entry->d_name[0] <= 'Z' && !strchr(entry->d_name, '.');
        if (!a_name || snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below) ||
            stat(below, &status) < 0)
            continue;
        if (S_ISDIR(status.st_mode))
            walk(search, below, depth + 1);
        else if (S_ISREG(status.st_mode))
            look_at(search, below);
    }
    if (folder)
        closedir(folder);
}

/* "Europe": many zones are in it. */
static bool is_folder(const char *folder, const char *name) {
    char path[PATH_BYTES];
    struct stat status;
    return snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path) && stat(path, &status) == 0 &&
           S_ISDIR(status.st_mode);
}

bool zone_nearest(const char *folder, const char *name, char *ret_name, size_t size) {
    enum { NEAR = 4 };
    struct search search = {name, strlen(folder) + 1, NEAR, ret_name, size};
    if (!is_offset(name) && !is_folder(folder, name))
        walk(&search, folder, 0);
    return search.best < NEAR && search.best * 3 <= strlen(name);
}
