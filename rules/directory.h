/* The directory of sections that both files of an app begin with (layout.h): written by the agent, read by every
 * process.
 *
 * A reader takes a section's description once, by its id, and checks it against the size of the file; what it then
 * goes by is its own copy.  Pure. */
#ifndef WEIR_RULES_DIRECTORY_H
#define WEIR_RULES_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/layout.h"

/* Is this a file of that magic that this version can read?  `bytes`: its size. */
bool directory_usable(const struct layout_head *, uint64_t magic, uint64_t bytes);

/* The section of that id and version; false if there is none, or if its description cannot be right: it leaves the
 * file, overlaps the header, its records are smaller than `record` bytes or not aligned.  At least one page is
 * mapped at `head`, and `bytes` is the size of the file. */
bool directory_find(const struct layout_head *head, uint64_t bytes, enum layout_section_id id, uint16_t version,
                    uint32_t record, struct layout_section *ret_section);

/* The writer's: the sections of a file, one behind the other from the second page on. */
struct directory_plan {
    uint16_t id, version;
    uint32_t stride, count;
};
/* Fills in everything of `head` but the magic, which is for last, and `sections`; returns the size of the file. */
uint64_t directory_write(struct layout_head *head, struct layout_section *sections, const struct directory_plan *plan,
                         uint32_t count);

#endif
