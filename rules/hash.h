/* The one hash of names, keys and images: 64 bit, keyed, fast on short input.  Not cryptographic; the seed is random per
 * app, so that a client cannot choose names that collide. */
#ifndef WEIR_RULES_HASH_H
#define WEIR_RULES_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_load(const unsigned char *p, size_t n) { /* n <= 8 */
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* Multiply-and-fold over 8-byte words (the construction of wyhash and of rapidhash). */
static inline uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size) {
    const unsigned char *p = bytes;
    const uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull;
    uint64_t h = hash_mix(seed ^ k0, k1 ^ size);
    size_t left = size;
    for (; left >= 16; left -= 16, p += 16)
        h = hash_mix(hash_load(p, 8) ^ k1, hash_load(p + 8, 8) ^ h);
    uint64_t a = left > 8 ? hash_load(p, 8) : hash_load(p, left);
    uint64_t b = left > 8 ? hash_load(p + 8, left - 8) : 0;
    h = hash_mix(a ^ k1 ^ h, b ^ k0 ^ (h >> 32));
    return hash_mix(h ^ k0, h ^ k1) | 1; /* never 0: 0 means "free" in tables */
}

#endif
