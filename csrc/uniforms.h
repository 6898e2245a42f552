/* The uniform random numbers of a layer, in double for both real types: counters side by side in the lanes of integer
 * vectors. What the numbers are is said in random.c and fastmlp.h (fm_uniforms). Part of kernels_tmpl.h, in its 64-bit
 * round. */

/* Numbers made at a time: of so many counters, which are four units each. */
enum { FM_COUNTERS = 16, FM_DRAWN = 4 * FM_COUNTERS };

/* The counters of a block, one row after another: where the next numbers begin, and how many counters a row has. */
typedef struct fm_counters {
    const fm_draw *draw;
    int64_t next, in_row;
    double inverse; /* of in_row */
} fm_counters;

static inline fm_counters fm_begin_counters(const fm_draw *draw)
{
    const int64_t in_row = (draw->ld + 3) / 4;
    return (fm_counters){.draw = draw, .in_row = in_row, .inverse = 1 / (double)in_row};
}

/* Vectors that go through the rounds together, so that they need not wait for each other's products. */
enum { FM_PHILOX_VECTORS = 2, FM_PHILOX_COUNTERS = FM_PHILOX_VECTORS * vd_width };

/* As philox in random.c, for each lane; of the lanes' halves only the lower ones count. Word w of the vectors is words[..][w]. */
FM_INLINE void fm_philox_lanes(uint64_t key, vd_int words[][4])
{
    const vd_int multiplier0 = vd_iset1(0xD2511F53), multiplier2 = vd_iset1(0xCD9E8D57);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    FM_UNROLL(10)
    for (int round = 0; round < 10; round++) {
        FM_UNROLL(2)
        for (int v = 0; v < FM_PHILOX_VECTORS; v++) {
            vd_int *c = words[v];
            const vd_int p0 = vd_imul32(c[0], multiplier0), p2 = vd_imul32(c[2], multiplier2);
            c[0] = vd_ixor(vd_ixor(vd_ishr(p2, 32), c[1]), vd_iset1(k0));
            c[1] = p2;
            c[2] = vd_ixor(vd_ixor(vd_ishr(p0, 32), c[3]), vd_iset1(k1));
            c[3] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* (word + 1/2) 2^-32, exactly: the word becomes the last bits of a number in [2^52, 2^53). */
FM_INLINE vd_t fm_unit_interval(vd_int word)
{
    const vd_int bits = vd_ior(vd_iand(word, vd_iset1(0xffffffff)), vd_iset1(0x4330000000000000));
    return vd_mul(vd_sub(vd_real(bits), vd_set1(0x1p52 - 0.5)), vd_set1(0x1p-32));
}

/* Counters in the order of the lanes: such that a transposition leaves the numbers of consecutive ones side by side. */
static const double fm_lane_counters[FM_COUNTERS] = {
#if vd_width == 8
    0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
#else
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
#endif
};

/* Integers in [0, 2^51), as numbers, to the lower halves of integer lanes. */
FM_INLINE vd_int fm_low_half(vd_t x) { return vd_bits(vd_add(x, vd_set1(0x1p52))); }

/* Words before the first round, for the counters numbered x. */
FM_INLINE void fm_fill_words(const fm_counters *c, vd_t x, vd_int *words)
{
    /* The row is x / in_row, rounded down. (x + 1/2) / in_row is at least half an in_row-th away from every integer, much
     * more than rounding it and the inverse can move it; less 1/2 it is rounded to the nearest integer, because next to
     * the big number there are no digits after the point. */
    const vd_t big = vd_set1(0x1.8p52), half = vd_set1(0.5);
    const vd_t place = vd_sub(vd_mul(vd_add(x, half), vd_set1(c->inverse)), half);
    const vd_t rows = vd_sub(vd_add(place, big), big);
    words[0] = fm_low_half(vd_sub(x, vd_mul(rows, vd_set1((double)c->in_row))));
    words[1] = fm_low_half(vd_add(rows, vd_set1((double)c->draw->row)));
    words[2] = vd_iset1(c->draw->layer);
    words[3] = vd_iset1((int64_t)c->draw->step);
}

/* out: the numbers that belong to the words, in the counters' order. */
FM_INLINE void fm_store_uniforms(vd_int words[][4], double *out)
{
#if vd_width == 1
    for (int i = 0; i < 4 * FM_PHILOX_COUNTERS; i++)
        out[i] = fm_unit_interval(words[i / 4][i % 4]);
#else
    vd_t square[FM_PHILOX_VECTORS * 4];
    FM_UNROLL(8)
    for (int i = 0; i < FM_PHILOX_VECTORS * 4; i++)
        square[i] = fm_unit_interval(words[i / 4][i % 4]);
    FM_UNROLL(2)
    for (int i = 0; i < FM_PHILOX_VECTORS * 4; i += vd_width)
        vd_transpose(square + i);
    FM_UNROLL(8)
    for (int i = 0; i < FM_PHILOX_VECTORS * 4; i++)
        vd_store(out + i * vd_width, square[i]);
#endif
}

/* Write the numbers of the next FM_COUNTERS counters, four each, and move on. */
static void fm_next_uniforms(fm_counters *c, double *out)
{
    for (int i = 0; i < FM_COUNTERS; i += FM_PHILOX_COUNTERS) {
        vd_int words[FM_PHILOX_VECTORS][4];
        FM_UNROLL(2)
        for (int v = 0; v < FM_PHILOX_VECTORS; v++) {
            const vd_t first = vd_set1((double)c->next);
            fm_fill_words(c, vd_add(first, vd_load(fm_lane_counters + i + v * vd_width)), words[v]);
        }
        fm_philox_lanes(c->draw->key, words);
        fm_store_uniforms(words, out + 4 * i);
    }
    c->next += FM_COUNTERS;
}
