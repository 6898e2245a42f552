/* Layers: the passes over one block of rows. Computes through the kernel table only; knows nothing of processors, steps or
 * epochs. */
#ifndef FM_NETWORK_H
#define FM_NETWORK_H

#include "layout.h"

/* A block of input: rows index[0 .. rows-1], or first .. first + rows - 1 where index is NULL. Or a slice of a block,
 * whose first row is row `place` of the block. */
typedef struct fm_block {
    const fm_rows *x;
    const int32_t *index;
    int64_t first, rows, place;
    int slice;
    int read; /* whether all its rows have been read before the first layer reads them */
    const char *dense; /* set by fm_block_input */
    int64_t ld;
} fm_block;

/* Whether rows that are not indexed are used where the caller has them: of the network's type, each contiguous. */
static inline int fm_is_read_in_place(const fm_network *net, const fm_rows *x)
{
    return !x->indptr && x->x_dtype == net->dtype && x->dx == 1 && x->ldx >= net->units[0];
}
/* Where the rows of a dense block are after they have been fetched. */
void fm_block_place(const fm_context *c, fm_block *b);
/* Fetch them, unless they are used in place. check: whether they, or the entries of CSR rows, are finite is returned; for
 * rows that are not indexed. */
int fm_block_fetch(const fm_context *c, fm_block *b, int check);

/* The same, without a call where there is nothing to do: a step of one row feels it. */
static inline int fm_block_input(const fm_context *c, fm_block *b, int check)
{
    if (check || b->index || !fm_is_read_in_place(c->net, b->x))
        return fm_block_fetch(c, b, check);
    b->dense = (const char *)b->x->x + b->first * b->x->ldx * c->real;
    b->ld = b->x->ldx;
    return 1;
}

/* Layer l of a block: from `in` (ignored for the first layer of sparse input) to z and a, rows ld apart. */
void fm_layer_forward(const fm_context *c, const char *params, int64_t l, const fm_block *b, const char *in,
                      int64_t ld_in, char *z, char *a, int64_t ld, const fm_draw *draw);

/* The draw of rows that begin `row` rows further down, written to `own`; NULL stays NULL. */
static inline fm_draw *fm_draw_from(const fm_draw *draw, int64_t row, fm_draw *own)
{
    if (!draw)
        return NULL;
    *own = *draw;
    own->row += row;
    return own;
}

/* The outputs of a block, and where given z and a of all layers, into arrays of all rows, contiguous ones. */
void fm_block_outputs(const fm_context *c, const char *params, const fm_block *b, char *out, void *const *z,
                      void *const *a);

/* Loss and, unless grad is NULL, the sums over the block's rows for the gradient: written where `first`, else added.
 * Returns the work done, in flops. draw: NULL without randomness; layer and row are filled in here. */
int64_t fm_block_pass(const fm_context *c, const char *params, fm_block *b, const fm_targets *y, char *grad, int first,
                      fm_draw *draw, double *loss_sum, double *weight_sum);

/* The same in three parts, so that threads can share a block. First what each row has for itself: its outputs and, where
 * wanted, the deltas of all layers; returns the work, in flops. */
int64_t fm_slice_pass(const fm_context *c, const char *params, fm_block *b, const fm_targets *y, int deltas,
                      fm_draw *draw);
/* Then the sums over the block: of the losses, ... */
void fm_block_loss(const fm_context *c, const fm_block *b, const fm_targets *y, double *loss_sum, double *weight_sum);
/* ... and, for rows from .. to - 1 of the coefs of layer l and, with sums, for its intercepts, of the gradient. Unless
 * `first`, the FM_BLOCK rows before those of the block, in x or in the index, are the block before. */
void fm_layer_gradient(const fm_context *c, int64_t l, const fm_block *b, int64_t from, int64_t to, char *grad,
                       int first, int sums);

#endif
