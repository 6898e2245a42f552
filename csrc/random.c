#include "random.h"

#include "fastmlp.h"

/* The head of NumPy's bitgen_t (numpy/random/bitgen.h, a public interface). */
typedef struct bitgen {
    void *state;
    uint64_t (*next_uint64)(void *state);
    uint32_t (*next_uint32)(void *state);
    double (*next_double)(void *state);
    uint64_t (*next_raw)(void *state);
} bitgen;

/* A number in 0 .. most: masked 32-bit draws, rejected until one fits, as NumPy's legacy random_interval. */
static uint32_t interval(bitgen *g, uint32_t most)
{
    uint32_t mask = most, value;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        value = g->next_uint32(g->state) & mask;
    while (value > most);
    return value;
}

void fm_shuffle(void *generator, int64_t n, int32_t *index)
{
    for (int64_t i = n - 1; i > 0; i--) {
        const uint32_t j = interval(generator, (uint32_t)i);
        const int32_t held = index[j];
        index[j] = index[i];
        index[i] = held;
    }
}

void fm_uniforms(uint64_t key, uint64_t step, int64_t layer, int64_t rows, int64_t width, double *out)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < width; unit += 4) {
            uint32_t word[4] = {(uint32_t)(unit / 4), (uint32_t)row, (uint32_t)layer, (uint32_t)step};
            fm_philox(key, word);
            for (int64_t i = 0; i < 4 && unit + i < width; i++)
                out[row * width + unit + i] = (word[i] + 0.5) * 0x1p-32;
        }
}
