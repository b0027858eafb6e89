#include "shim/process/vdso.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

struct image {
    uintptr_t base; /* what addresses in it are relative to */
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *hash, *gnu_hash;
};

static void take_entry(struct image *image, const ElfW(Dyn) * entry) {
    const void *at = (const void *)(image->base + entry->d_un.d_ptr);

    switch (entry->d_tag) {
    case DT_SYMTAB: image->symbols = at; break;
    case DT_STRTAB: image->strings = at; break;
    case DT_HASH: image->hash = at; break;
    case DT_GNU_HASH: image->gnu_hash = at; break;
    default: break;
    }
}

static bool open_image(struct image *image, uintptr_t at) {
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)at;
    const ElfW(Phdr) *part = (const ElfW(Phdr) *)(at + head->e_phoff);
    const ElfW(Dyn) *dynamic = NULL;
    bool loaded = false;

    for (unsigned n = 0; n < head->e_phnum; n++) {
        if (part[n].p_type == PT_LOAD && !loaded) {
            image->base = at + part[n].p_offset - part[n].p_vaddr;
            loaded = true;
        } else if (part[n].p_type == PT_DYNAMIC) {
            dynamic = (const ElfW(Dyn) *)(at + part[n].p_offset);
        }
    }
    for (; loaded && dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        take_entry(image, dynamic);
    return image->symbols && image->strings && (image->hash || image->gnu_hash);
}

/* The table of symbols says nothing of its length. */
static uint32_t count_by_gnu_hash(const uint32_t *hash) {
    uint32_t buckets_count = hash[0], first = hash[1], filter_words = hash[2], last = 0;
    const uint32_t *buckets = hash + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof *hash);
    const uint32_t *chains = buckets + buckets_count;

    for (uint32_t n = 0; n < buckets_count; n++)
        last = buckets[n] > last ? buckets[n] : last;
    if (last < first)
        return 0;
    while (!(chains[last - first] & 1))
        last++;
    return last + 1;
}

vdso_clock_gettime *vdso_clock(void) {
    struct image image = {0};
    uintptr_t at = getauxval(AT_SYSINFO_EHDR);

    if (!at || !open_image(&image, at))
        return NULL;
    uint32_t count = image.hash ? image.hash[1] : count_by_gnu_hash(image.gnu_hash);
    for (uint32_t n = 0; n < count; n++) {
        const ElfW(Sym) *symbol = &image.symbols[n];
        const char *name = image.strings + symbol->st_name;
        if (symbol->st_shndx != SHN_UNDEF &&
            (strcmp(name, "__vdso_clock_gettime") == 0 || strcmp(name, "__kernel_clock_gettime") == 0))
            return (vdso_clock_gettime *)(image.base + symbol->st_value);
    }
    return NULL;
}
