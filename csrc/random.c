/* Random numbers: NumPy's shuffle, and counter-based uniform numbers one by one. */
#include "fastmlp.h"

/* The head of NumPy's bitgen_t (numpy/random/bitgen.h, a public interface). */
typedef struct bitgen {
    void *state;
    uint64_t (*next_uint64)(void *state);
    uint32_t (*next_uint32)(void *state);
    double (*next_double)(void *state);
    uint64_t (*next_raw)(void *state);
} bitgen;

/* From the last element to the second, each is exchanged with one before it or itself, whose place is a masked 32-bit draw,
 * rejected until one fits, as in NumPy's legacy random_interval. Of the draws 28 to 32 % are rejected, which no processor
 * foresees: an element is exchanged with itself then, and drawn for again, without a branch. */
void fm_shuffle(void *generator, int64_t n, int32_t *index)
{
    const bitgen *g = generator;
    int64_t i = n - 1, power = 1;
    while (2 * power <= i)
        power *= 2;
    for (; power > 0; power /= 2)
        while (i >= power) {
            const int64_t drawn = g->next_uint32(g->state) & (uint32_t)(2 * power - 1), fits = drawn <= i;
            const int64_t j = fits ? drawn : i;
            const int32_t held = index[j];
            index[j] = index[i];
            index[i] = held;
            i -= fits;
        }
}

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): 10 rounds over 4 words. */
static void philox(uint64_t key, uint32_t counter[4])
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

void fm_uniforms(uint64_t key, uint64_t step, int64_t layer, int64_t rows, int64_t width, double *out)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < width; unit += 4) {
            uint32_t word[4] = {(uint32_t)(unit / 4), (uint32_t)row, (uint32_t)layer, (uint32_t)step};
            philox(key, word);
            for (int64_t i = 0; i < 4 && unit + i < width; i++)
                out[row * width + unit + i] = (word[i] + 0.5) * 0x1p-32;
        }
}
