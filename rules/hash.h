/* The one hash of names, keys and rulesets: 64 bit, keyed, fast on short input.  Not cryptographic; the seed is random
 * per app, so that a client cannot choose names that collide. */
#ifndef WEIR_RULES_HASH_H
#define WEIR_RULES_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* n <= 8 bytes as a word, the rest zero; without a loop, from loads that overlap. */
static inline uint64_t hash_load(const unsigned char *p, size_t n) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        return first | (uint64_t)last << (8 * (n - 4));
    }
    return n ? p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1)) : 0;
#else
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
#endif
}

/* Multiply-and-fold over 8-byte words (the construction of wyhash and of rapidhash). */
static inline uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size) {
    const unsigned char *p = bytes;
    const uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull;
    uint64_t h = hash_mix(seed ^ k0, k1 ^ size);
    size_t left = size;
    /* cppcheck follows short literals into the branches that they do not take. */
    for (uint64_t words[2]; left >= 16; left -= 16, p += 16) {
        memcpy(words, p, 16);
        h = hash_mix(words[0] ^ k1, words[1] ^ h);
    }
    uint64_t a, b = 0;
    if (left > 8) {
        memcpy(&a, p, 8);
        // cppcheck-suppress pointerOutOfBounds
        b = hash_load(p + 8, left - 8);
    } else {
        a = hash_load(p, left);
    }
    h = hash_mix(a ^ k1 ^ h, b ^ k0 ^ (h >> 32));
    return hash_mix(h ^ k0, h ^ k1) | 1; /* never 0: 0 means "free" in tables */
}

#endif
