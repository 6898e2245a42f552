/* Random numbers: NumPy's shuffle, and counter-based uniform numbers for kernels. */
#ifndef FM_RANDOM_H
#define FM_RANDOM_H

#include <stdint.h>

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): 10 rounds over 4 words. */
static inline void fm_philox(uint64_t key, uint32_t counter[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * counter[0], p1 = (uint64_t)0xCD9E8D57u * counter[2];
        const uint32_t w0 = (uint32_t)(p1 >> 32) ^ counter[1] ^ k0, w2 = (uint32_t)(p0 >> 32) ^ counter[3] ^ k1;
        counter[0] = w0;
        counter[1] = (uint32_t)p1;
        counter[2] = w2;
        counter[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

#endif
