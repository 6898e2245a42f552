/* A crew: the threads of one call, and how passes over blocks of rows are divided among them. No division changes an
 * order of operations, so that results do not depend on the number of threads:
 *
 * - in a forward pass each thread takes blocks of rows;
 * - in a batch of many blocks each thread takes whole blocks, with a gradient for each, added in block order;
 * - in a batch of few blocks, or of CSR rows with many coefs, the threads share each block: first they take rows, for
 *   outputs and deltas, then rows of the coefs, whose gradients are sums over the whole block. */
#ifndef FM_CREW_H
#define FM_CREW_H

#include "network.h"
#include "pool.h"

typedef struct fm_crew {
    int n;     /* threads, as granted by the pool */
    int whole; /* they take whole blocks */
    fm_context *contexts; /* one for each thread that takes blocks, else one */
    int64_t places;       /* whole: blocks taken at once */
    double *sums;         /* (places, 2): loss and weight of each */
    char *grads;          /* (places - 1) gradients: the first block's goes where the caller wants it */
    int64_t grad_bytes;
} fm_crew;

/* Rows of a batch, and what is known of them: rows index[0 .. rows - 1], or from `first` on where index is NULL. draw:
 * NULL without randomness; its row is the batch's first. squares: NULL, or wanted along with the last block, the sum of
 * the squared coefs. */
typedef struct fm_batch {
    const fm_rows *x;
    const fm_targets *y;
    const int32_t *index;
    int64_t first, rows;
    const fm_draw *draw;
    double *squares;
} fm_batch;

/* Lay out for a forward pass over all rows, or for gradients of batches of at most `rows` rows. n: threads granted;
 * planned: those asked for, at least so many. x: NULL, or rows that may be sparse. With base NULL only count. Returns the
 * bytes needed. */
int64_t fm_crew_for_forward(fm_crew *crew, const fm_network *net, int purpose, int64_t block_rows, int n, char *base);
int64_t fm_crew_for_gradient(fm_crew *crew, const fm_network *net, const fm_rows *x, int64_t rows, int planned, int n,
                             char *base);

/* Outputs of all rows; z, a: NULL, or one pointer per layer to (n_rows, fan_out), to be filled, too. check: whether the
 * rows are finite is returned; else 1. */
int fm_crew_forward(const fm_crew *crew, const char *params, const fm_rows *x, char *out, void *const *z,
                    void *const *a, int check);

/* Run one block of the batch, or as many as are taken at once, from `row` on: add to *loss and *weight, and to grad,
 * unless that is NULL; at row 0 grad is written. Returns the rows done; *work: in flops. */
int64_t fm_crew_blocks(const fm_crew *crew, const char *params, const fm_batch *batch, int64_t row, char *grad,
                       double *loss, double *weight, int64_t *work);

/* Run task(job, c, l, from, to) over slices of rows of the coefs that make up all of them; a slice with from 0 brings
 * the layer's intercepts along. */
typedef void fm_slice_task(void *job, const fm_context *c, int64_t l, int64_t from, int64_t to);
void fm_crew_slices(const fm_crew *crew, fm_slice_task *task, void *job);

#endif
