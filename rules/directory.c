#include "rules/directory.h"

#include "rules/atomic.h"

bool directory_usable(const struct layout_head *shared, uint64_t magic, uint64_t bytes) {
    if (bytes < LAYOUT_PAGE || __atomic_load_n(&shared->magic, __ATOMIC_ACQUIRE) != magic)
        return false;
    struct layout_head head;
    load_record(&head, shared);
    return head.version >= LAYOUT_MIN_WRITER && head.min_reader <= LAYOUT_VERSION &&
           head.header_size >= sizeof(struct layout_head) && head.header_size <= LAYOUT_PAGE &&
           head.sections_count <= LAYOUT_SECTIONS_MAX && head.section_stride >= sizeof(struct layout_section) &&
           head.section_stride % 8 == 0 && head.sections_at % 8 == 0 && head.sections_at >= sizeof head &&
           head.sections_at <= LAYOUT_PAGE && head.section_stride <= LAYOUT_PAGE &&
           head.sections_count * head.section_stride <= LAYOUT_PAGE - head.sections_at;
}

static bool fits(const struct layout_section *section, uint64_t bytes, uint32_t record) {
    uint64_t size = (uint64_t)section->stride * section->count;
    return section->stride >= record && section->stride % 4 == 0 && section->count > 0 &&
           section->offset % LAYOUT_PAGE == 0 && section->offset >= LAYOUT_PAGE && section->offset <= bytes &&
           size <= bytes - section->offset;
}

bool directory_find(const struct layout_head *head, uint64_t bytes, enum layout_section_id id, uint16_t version,
                    uint32_t record, struct layout_section *ret_section) {
    uint32_t at = load_relaxed(&head->sections_at), count = load_relaxed(&head->sections_count),
             stride = load_relaxed(&head->section_stride);
    if (count > LAYOUT_SECTIONS_MAX || stride < sizeof *ret_section || at > LAYOUT_PAGE || stride > LAYOUT_PAGE ||
        count * stride > LAYOUT_PAGE - at)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        load_record(ret_section, (const struct layout_section *)((const char *)head + at + (size_t)i * stride));
        if (ret_section->id == id && ret_section->version == version)
            return fits(ret_section, bytes, record);
    }
    return false;
}

uint64_t directory_write(struct layout_head *head, struct layout_section *sections, const struct directory_plan *plan,
                         uint32_t count) {
    uint64_t offset = LAYOUT_PAGE;
    for (uint32_t i = 0; i < count; i++) {
        sections[i] = (struct layout_section){.id = plan[i].id,
                                              .version = plan[i].version,
                                              .stride = plan[i].stride,
                                              .count = plan[i].count,
                                              .offset = offset};
        offset += LAYOUT_ALIGN((uint64_t)plan[i].stride * plan[i].count);
    }
    head->version = LAYOUT_VERSION;
    head->header_size = LAYOUT_PAGE;
    head->min_reader = LAYOUT_MIN_READER;
    head->sections_at = (uint32_t)((char *)sections - (char *)head);
    head->sections_count = count;
    head->section_stride = sizeof *sections;
    return offset;
}
