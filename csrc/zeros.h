/* Where products that leave out the zeros of a matrix take less time than those that multiply them. */
#ifndef FM_ZEROS_H
#define FM_ZEROS_H

#include "layout.h"

/* Multiplications of a product from which on it is worth looking for zeros. */
enum { FM_LEAST_WORK = 65536 };

/* Whether looking for zeros can pay in a product of m rows (which share the cost of loading the other matrix), n columns
 * and k steps. */
static inline int fm_may_skip(int64_t m, int64_t n, int64_t k)
{
    enum { LEAST_ROWS = 32, LEAST_STEPS = 16 };
    return m >= LEAST_ROWS && k >= LEAST_STEPS && n > 1 && m * n * k >= FM_LEAST_WORK;
}

/* What a step costs beyond a multiplication for each vector, in multiplications, and where the result is transposed in the
 * end as well. With few vectors, each step waits for the one before. */
enum { FM_STEP_COST = 2, FM_TURNED_STEP_COST = 4 };

/* What a product with n columns takes that leaves out the zeros of a (rows, columns), or of a transposed, by a sample of its
 * rows: multiplications of vectors, to compare with those of another a with as many rows; or FM_IN_FULL, more than any other,
 * where that is no less than without. */
#define FM_IN_FULL INT64_MAX
int64_t fm_skipping_cost(const fm_context *c, int64_t rows, int64_t columns, int64_t n, int step_cost, const char *a,
                         int64_t lda);

/* Whether leaving them out pays, with FM_STEP_COST. */
int fm_is_sparse(const fm_context *c, int64_t rows, int64_t columns, int64_t n, const char *a, int64_t lda);

#endif
