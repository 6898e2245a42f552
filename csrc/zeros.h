/* Where products that leave out the zeros of a matrix take less time than those that multiply them. */
#ifndef FM_ZEROS_H
#define FM_ZEROS_H

#include "layout.h"

/* What a step costs beyond a multiplication for each vector, in multiplications, and where the result is transposed in the
 * end as well. With few vectors, each step waits for the one before. */
enum { FM_STEP_COST = 2, FM_TURNED_STEP_COST = 4 };

/* What a product with n columns takes that leaves out the zeros of a (rows, columns), or of a transposed, by a sample of its
 * rows: multiplications of vectors, to compare with those of another a with as many rows; or FM_IN_FULL, more than any other,
 * where that is no less than without. */
#define FM_IN_FULL INT64_MAX
int64_t fm_skipping_cost(const fm_context *c, int64_t rows, int64_t columns, int64_t n, int step_cost, const char *a,
                         int64_t lda);

/* Whether leaving them out pays. */
int fm_is_sparse(const fm_context *c, int64_t rows, int64_t columns, int64_t n, int step_cost, const char *a,
                 int64_t lda);

#endif
