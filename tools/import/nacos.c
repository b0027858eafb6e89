#include "tools/import/nacos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/text/bare.h"
#include "tools/import/sentinel.h"
#include "tools/import/zip.h"

struct archive {
    struct import *import;
    const char *path;
};

int nacos_looks_like(const char *text, size_t length, const char *path) {
    (void)path;
    return zip_is(text, length) ? IMPORT_SURELY : IMPORT_NO;
}

/* Of the entries, those that hold rules, or that are called so; the export's own (.meta.yml) and other configuration
 * are passed over. */
static void read_entry(void *context, const char *name, const char *text, size_t length) {
    const struct archive *archive = context;
    char app[LAYOUT_APP_NAME_MAX], *path = NULL;
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    if (!text) {
        import_left_out(archive->import, archive->path, 0, name, "more than %d MiB: import it in parts",
                        RULE_FILE_MAX >> 20);
        return;
    }
    if (base[0] == '.' || (!bare_kind_of_name(base, app) && sentinel_looks_like(text, length, base) == IMPORT_NO))
        return;
    if (asprintf(&path, "%s/%s", archive->path, name) < 0)
        return;
    sentinel_parse(archive->import, path, text, length);
    free(path);
}

void nacos_parse(struct import *import, const char *path, const char *text, size_t length) {
    struct archive archive = {import, path};
    if (!zip_is(text, length)) {
        sentinel_parse(import, path, text, length);
        return;
    }
    const char *fault = zip_each(text, length, RULE_FILE_MAX, read_entry, &archive);
    if (fault)
        import_error(import, path, 0, 0, "%s", fault);
}
