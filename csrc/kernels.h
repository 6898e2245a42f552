/* The kernel table: what an instruction set has to provide, per real type. The framework (network.c) computes through
 * it alone; tests call every kernel of every instruction set through it, and benchmarks those that cost most.
 *
 * Conventions. Matrices are row-major; ld is the distance from row to row, in elements. `real` is float or double,
 * after the table's type. No pointer needs an alignment beyond that of its elements; inputs and outputs do not overlap
 * unless a line says so; nothing outside the stated shapes is written, unless a line says so, and nothing before a
 * matrix's first element or behind its last one is read (what lies between its rows may be, without effect). Sizes may
 * be 0. "In order" is the arithmetic contract: the order of operations of an element depends on the shapes named there
 * and on nothing else, so that results have the same bits in every table of a processor with FMA. */
#ifndef FM_KERNELS_H
#define FM_KERNELS_H

#include <stdint.h>

/* cffi: begin */

enum {
    FM_BLOCK = 256, /* rows whose gradients and losses form one chain; the sums of these blocks are added in order */
    FM_LANES = 16, /* virtual lanes of reductions */
    FM_NARROW = 4, /* units up to which a layer is narrow: most networks have few outputs */
    FM_MAX_ACTIVATION_PARAMS = 4, /* the longest parameter block of an activation */
    FM_MAX_HYPER = 8 /* the most factors that a solver has for the vectors of an update */
};

/* Where the random numbers of a layer come from: key, and the counter's step, layer and first row. ld is the distance
 * from row to row of the block being computed, in which unit 0 begins a row: element i is unit i mod ld of row
 * row + i / ld. NULL in prediction, where kernels that draw take 1/2 for every number. */
typedef struct fm_draw {
    uint64_t key;
    uint64_t step;
    int64_t layer;
    int64_t row;
    int64_t ld;
} fm_draw;

/* One activation. In place is allowed. */
typedef struct fm_activation_kernel {
    /* a[i] = g(z[i]) */
    void (*value)(int64_t n, const void *z, void *a, const double *params, const fm_draw *draw);
    /* delta[i] *= g'(v[i]), v being what the activation needs (its output or the pre-activation), by K(backward), for
     * which ReLU's 0 times infinity is 0; NULL for activations without a derivative */
    void (*derivative)(int64_t n, const void *v, void *delta, const double *params, const fm_draw *draw);
} fm_activation_kernel;

/* A loss of the caller's own, of outputs a and targets y, one by one. */
typedef struct fm_loss_kernel {
    /* out[i]: what a[i] adds to the loss of its row */
    void (*term)(int64_t n, const void *a, const void *y, void *out);
    /* out[i]: the derivative of that by a[i] */
    void (*derivative)(int64_t n, const void *a, const void *y, void *out);
} fm_loss_kernel;

/* A block of at most FM_BLOCK rows of outputs, for the loss kernel. */
typedef struct fm_outputs {
    int64_t rows, n_outputs;
    int loss;                /* index in the list of losses */
    const fm_loss_kernel *own; /* NULL, or a loss in the place of that one; it also sees what fills up 16 rows */
    int softmax;             /* a holds pre-activations of a softmax, which is applied here */
    int canonical;           /* delta = output - target */
    int hard;                /* every target is 0 or 1 (a one-hot row, for softmax) */
    const void *a;           /* real (rows, n_outputs), or pre-activations */
    int64_t lda;
    const void *y;           /* real targets, row-major and contiguous; or NULL */
    const int32_t *codes;    /* class codes in place of y */
    const void *weight;      /* real sample weights, or NULL */
    const int32_t *index;    /* the row of y, codes and weight that belongs to row i is index[i]; NULL: i */
    void *delta;             /* real (rows, n_outputs): dloss/doutput (dloss/dz for canonical pairs and softmax) times
                              * the sample weight; NULL: not wanted */
    int64_t ldd;
    double loss_sum;         /* out: sum of weight * loss */
    double weight_sum;       /* out: sum of weights */
    void *scratch;           /* fm_kernels.loss_scratch bytes, on 64 */
} fm_outputs;

typedef void (*fm_update)(int64_t n, int64_t n_coefs, void *w, const void *g, void *m, void *v, double alpha,
                          double scale, const double *p, double *squares);

typedef struct fm_kernels {
    int width; /* reals in a vector */
    int row_panel; /* vectors of columns that skipping_product works on at a time */
    int panel; /* vectors of columns that a product of several rows works on at a time */

    /* c (m, n) = bias (n), or zero where bias is NULL, + a (m, k) b (k, n); each element one chain of fma over k
     * ascending. ahead: 0, or how many elements behind those of a the rows lie that will be asked for later, to be fetched
     * from distant memory meanwhile; nothing need be there. ending: 0, or what fm_ending says of a value g, and c = g(c)
     * in the end, or of a derivative g', and c *= g'(v) as above; v (m, n), rows ldc apart: what that needs; it may be c.
     * For a single column of the network use `dot`. */
    void (*product)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                    const void *bias, void *c, int64_t ldc, int64_t ahead, int ending, const void *v);
    /* out (m) = a (m, k) w (k) + bias[0]; 16 chains, lane k mod 16, added by halves, the bias (unless NULL) last. */
    void (*dot)(int64_t m, int64_t k, const void *a, int64_t lda, const void *w, const void *bias, void *out);
    /* g (m, n), contiguous, = or (accumulate) += a (rows, m)^T d (rows, n); one chain over the rows from zero. sum:
     * NULL, or (n) what column_sum makes of d. */
    void (*outer)(int64_t rows, int64_t m, int64_t n, const void *a, int64_t lda, const void *d, int64_t ldd, void *g,
                  void *sum, int accumulate);
    /* g (n) = or += the column sums of d (rows, n), in row order from zero. */
    void (*column_sum)(int64_t rows, int64_t n, const void *d, int64_t ldd, void *g, int accumulate);

    /* What product computes, with the steps left out at which a is 0: the same numbers, but for the sign of zeros, where b
     * is finite. Returns whether it is: else c is of no use. k: at least 1. transposed: b is (n, k). partial: where sums
     * lie meanwhile, rows ldc apart; it may be c, unless that is v. Of b, whole cache lines may be read. */
    int (*skipping_product)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                            int transposed, const void *bias, void *partial, void *c, int64_t ldc, int ending,
                            const void *v);

    /* As product and dot, of rows index[0 .. m-1] (or 0 .. m-1) of a CSR matrix with sorted, unique columns. */
    void (*csr_product)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data,
                        const int32_t *index, const void *b, const void *bias, void *c, int64_t ldc);
    void (*csr_dot)(int64_t m, const int64_t *indptr, const int32_t *indices, const void *data, const int32_t *index,
                    const void *w, const void *bias, void *out);
    /* g (columns, n), contiguous, += a^T d; the caller zeroes g. */
    void (*csr_outer)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data,
                      const int32_t *index, const void *d, int64_t ldd, void *g);
    /* The same for columns columns[0 .. m-1] of a, whose entries lie one column after another, those of a column in row
     * order: rows columns[j] of g, n wide and contiguous, += chains over the entries starts[j] .. starts[j+1] - 1 from
     * zero. */
    void (*csr_columns)(int64_t m, int64_t n, const int64_t *starts, const int32_t *rows, const void *data,
                        const int32_t *columns, const void *d, int64_t ldd, void *g);

    /* The way back through a layer of n units, 1 to FM_NARROW, on m inputs, at least 2: what outer, with accumulate,
     * makes of a (rows, m) and d (rows, n) as dw (m, n) and db (n; NULL: not wanted), and what product, with ending and
     * v, makes of d and the transposed of w (m, n), contiguous, as out (rows, m), rows ldo apart like those of v. out
     * may be v, and a as well. out_sum: NULL, or (m) what column_sum makes of out. */
    void (*narrow_back)(int64_t rows, int64_t m, int64_t n, const void *a, int64_t lda, const void *d, int64_t ldd,
                        const void *w, int ending, const void *v, void *out, int64_t ldo, void *dw, void *db,
                        void *out_sum, int accumulate);

    /* One row of a layer of n units on k inputs, n at most `width`, with the bits of the kernels above: z (n; NULL: not
     * wanted) and a (n) = g(z). bias: not NULL; activation: an index of the list, of one that does not draw, or -1 for
     * a = z. Where n exceeds 1, what follows z and a, up to a whole vector, is overwritten. */
    void (*row_forward)(int64_t n, int64_t k, const void *x, const void *w, const void *bias, int activation,
                        const double *params, void *z, void *a);
    /* out (k) = (delta (n) w^T) * g'(v), w (k, n), n and k at most `width`. out may be v. Where k exceeds 1, what follows
     * out, up to a whole vector, is overwritten. */
    void (*row_delta)(int64_t n, int64_t k, const void *delta, const void *w, int activation, const double *params,
                      const void *v, void *out);
    /* dw (k, n), contiguous, = x^T delta and db (n) = delta, n at most `width`. */
    void (*row_gradient)(int64_t n, int64_t k, const void *x, const void *delta, void *dw, void *db);

    void (*transpose)(int64_t m, int64_t n, const void *a, int64_t lda, void *b, int64_t ldb); /* b (n, m) = a^T */
    void (*add)(int64_t n, const void *x, void *y);                                            /* y += x */
    double (*sum_squares)(int64_t n, const void *w); /* in double; lane i mod 16, added by halves */
    int (*finite)(int64_t n, const void *x);         /* whether all of x is finite */
    int64_t (*count_nonzero)(int64_t n, const void *x);
    /* g = (g + alpha w) scale; w: NULL where there is no penalty. */
    void (*scale_gradient)(int64_t n, double alpha, double scale, const void *w, void *g);

    const fm_activation_kernel *activations; /* in the order of the list in activations.h */
    /* a (m, n) = softmax of the rows of z; maximum and sum in column order; in place is allowed. scratch: as loss. */
    void (*softmax)(int64_t m, int64_t n, const void *z, int64_t ldz, void *a, int64_t lda, void *scratch);
    int64_t (*loss_scratch)(int64_t n_outputs); /* bytes */
    void (*loss)(fm_outputs *o);
    /* One step over n parameters in the order of the list in solvers.h: gradient of the mean (g + alpha w) scale, for
     * what follows the first n_coefs g scale, then the rule. p: what the solver's prepare function wrote. m, v: moments,
     * NULL where the solver has none. squares: NULL, or out: what sum_squares says of the coefs before the step. */
    const fm_update *update;

    /* The square root, as an update takes it for the first of four vectors on most processors: turn -1 of the vocabulary's
     * sqrt. */
    void (*vsqrt)(int64_t n, const void *x, void *out);
    void (*vexp)(int64_t n, const void *x, void *out);
    void (*vexpm1)(int64_t n, const void *x, void *out);
    void (*vlog1p)(int64_t n, const void *x, void *out);
    void (*vtanh)(int64_t n, const void *x, void *out);
    void (*vlog)(int64_t n, const void *x, void *out);
    void (*vlogistic)(int64_t n, const void *x, void *out);
} fm_kernels;

/* Whether the processor takes half as long for half a vector of AVX-512: Zen 4, whose units are that wide. Set by fm_init;
 * decides ways, never numbers. */
extern int fm_halves_are_faster;

/* cffi: end */

/* NULL where the compiler could not build the instruction set. */
const fm_kernels *fm_kernels_avx512(int dtype);
const fm_kernels *fm_kernels_avx2(int dtype);
const fm_kernels *fm_kernels_scalar(int dtype);

#endif
