#include "agent/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

enum { ENTRIES_MAX = 24, ENTRY_MAX = 1200 };
static const char SOCKET[] = "/run/systemd/journal/socket";

bool journal_is_ours(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
           status.st_dev == device && status.st_ino == inode && access(SOCKET, W_OK) == 0;
}

struct entries {
    struct iovec list[ENTRIES_MAX];
    char texts[ENTRIES_MAX][ENTRY_MAX];
    int count;
};

static void add(struct entries *entries, const char *name, const char *value) {
    if (entries->count == ENTRIES_MAX)
        return;
    char *text = entries->texts[entries->count];
    int length = snprintf(text, ENTRY_MAX, "%s=%s", name, value);
    entries->list[entries->count++] = (struct iovec){text, length < ENTRY_MAX ? (size_t)length : ENTRY_MAX - 1};
}

bool journal_send(const struct log_record *record) {
    struct entries entries;
    char priority[16];
    entries.count = 0;
    snprintf(priority, sizeof priority, "%d", record->level);
    add(&entries, "MESSAGE", record->line);
    add(&entries, "PRIORITY", priority);
    add(&entries, "SYSLOG_IDENTIFIER", "weir-agent");
    if (record->message_id)
        add(&entries, "MESSAGE_ID", record->message_id);
    for (size_t i = 0; i < record->fields_count; i++)
        add(&entries, record->fields[i].name, record->fields[i].value);
    return access(SOCKET, W_OK) == 0 && sd_journal_sendv(entries.list, entries.count) >= 0;
}
