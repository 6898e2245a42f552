/* The gradient of the first layer by CSR rows. */
#ifndef FM_COLUMNS_H
#define FM_COLUMNS_H

#include "network.h"

/* Rows from .. to - 1 of dW = x^T delta over a block of CSR rows, into grad: written where `first`, else added, and then the
 * block of FM_BLOCK rows before it in the batch lies before it in the index, or in x. */
void fm_sparse_gradient(const fm_context *c, const fm_block *b, int64_t from, int64_t to, char *grad, int first);

#endif
