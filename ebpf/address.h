/* Addresses as the maps have them: 16 bytes, IPv4 mapped into IPv6. */
#ifndef WEIR_EBPF_ADDRESS_H
#define WEIR_EBPF_ADDRESS_H

#include "ebpf/kernel.h"

static __always_inline void address_from_v4(__u8 *to, __u32 address) {
    __builtin_memset(to, 0, 10);
    to[10] = to[11] = 0xff;
    __builtin_memcpy(to + 12, &address, 4);
}

/* The verifier wants each word of a context read by itself. */
static __always_inline void address_from_v6(__u8 *to, const volatile __u32 *address) {
    __u32 words[4] = {address[0], address[1], address[2], address[3]};
    __builtin_memcpy(to, words, 16);
}

#endif
