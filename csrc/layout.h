/* What a description of a network means: whether it can be computed, and where its numbers lie in a workspace. */
#ifndef FM_LAYOUT_H
#define FM_LAYOUT_H

#include "fastmlp.h"

/* Workspace on the stack for calls that need no more: a few rows of most small networks. */
enum { FM_STACK_WORKSPACE = 16384 };
/* What an element of an activation costs, in flops of products. */
enum { FM_ACTIVATION_FLOPS = 30 };

static inline int64_t fm_real_bytes(int dtype)
{
    return dtype == FM_FLOAT32 ? (int64_t)sizeof(float) : (int64_t)sizeof(double);
}

/* One weight layer. Rows of a block lie ld reals apart: a whole number of cache lines, so that rows start aligned, with
 * perhaps a line between them; or 1 for a single unit; or fan_out for an activation of the caller's own, which then gets
 * many rows in one call and sees nothing else. z and a coincide unless the derivative needs the pre-activation. The delta
 * of hidden units takes the place of what the derivative needs where the product that computes it ends with the derivative
 * and the block is not shared. */
typedef struct fm_layer {
    int64_t fan_in, fan_out, ld;
    int64_t coefs, intercepts; /* offsets in the parameter vector, in bytes */
    int activation, needs, value_ending, derivative_ending;
    const fm_activation_kernel *kernel; /* NULL for softmax */
    const double *activation_params;
    char *z, *a, *delta;       /* (rows, ld), real */
    char *transposed; /* (fan_in, transposed_ld): inputs of a block, or deltas; NULL where there is no use for it */
    /* For the deltas of the layer below, coefs^T is made panel by panel: `wider_panels` of panel + width columns, then
     * others of `panel`. */
    int64_t panel, wider_panels;
} fm_layer;

/* A network laid out in a workspace for blocks of at most `rows` rows. */
typedef struct fm_context {
    const fm_kernels *kernels;
    const fm_network *net;
    int64_t real; /* bytes of a real */
    int64_t rows, n_layers, n_coefs, n_params;
    int shared; /* slices of a block are worked on at once */
    int fits_vectors; /* the units of each layer fit a vector, and no activation draws or is the caller's own */
    fm_layer *layers;
    char *gathered; /* (rows, gathered_ld): dense input rows that are not read where the caller has them */
    int64_t gathered_ld;
    char *delta[2]; /* (rows, widest ld), where a block is not shared: the layers take turns */
    char *panel; /* of transposed coefs, for each slice */
    int64_t panel_bytes;
    int64_t transposed_ld;
    char *scratch_grad; /* of the coefs, in one block of rows; or, of CSR rows, their entries by columns */
    char *loss_scratch; /* for each slice */
    int64_t loss_scratch_bytes;
} fm_context;

enum { FM_FOR_FORWARD, FM_FOR_FETCHING_FORWARD, FM_FOR_GRADIENT, FM_FOR_SPARSE_GRADIENT };

/* Lay out; with base NULL only count. Returns the bytes needed. slices: of a block, that are worked on at once. */
int64_t fm_layout(fm_context *c, const fm_network *net, int purpose, int64_t rows, int slices, char *base);
/* The next `bytes` of a workspace, on a cache line; with base NULL only the count advances. */
char *fm_take(char *base, int64_t *used, int64_t bytes);

/* Whether the description can be computed at all. */
int fm_check_network(const fm_network *net);
/* Whether every activation that a gradient passes has a derivative. */
int fm_check_differentiable(const fm_network *net);

#endif
