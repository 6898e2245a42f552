/* The C interface of fastmlp. Plain structs, pointers and status codes; no allocation, no printing, no global state but
 * the kernel choice made once by fm_init, and the pool of threads. Every array is contiguous unless a line says
 * otherwise, of the network's real type where it is `void`. */
#ifndef FASTMLP_H
#define FASTMLP_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

/* cffi: begin */

enum { FM_FLOAT32 = 0, FM_FLOAT64 = 1 };
enum { FM_SCALAR = 0, FM_AVX2 = 1, FM_AVX512 = 2, FM_N_ISAS = 3 };
enum { FM_NEEDS_OUTPUT = 0, FM_NEEDS_PREACTIVATION = 1, FM_NEEDS_NOTHING = 2 };
/* In the place of an index into the list of activations or of losses: one of the caller's own. */
enum { FM_OWN = -1 };

typedef enum fm_status {
    FM_OK = 0,
    FM_PAUSED = 1, /* not finished: call again to go on */
    FM_BAD_ARGUMENT = 2,
    FM_SMALL_WORKSPACE = 3,
    FM_NOT_DIFFERENTIABLE = 4, /* a gradient through an activation that has none */
    FM_ZERO_WEIGHT = 5, /* the sample weights of a batch sum to zero */
    FM_NOT_FINITE = 6, /* a number of the input is NaN or infinite */
    FM_NOT_ALIGNED = 7 /* rows or outputs of a prediction */
} fm_status;

/* An activation of the caller's own: its kernel, with a derivative, and what that needs. */
typedef struct fm_own_activation {
    fm_activation_kernel kernel;
    int needs;
} fm_own_activation;

/* A network; its parameters are one vector: the coefs (fan_in, fan_out) of all layers, then the intercepts. */
typedef struct fm_network {
    int dtype;
    int loss;
    int canonical; /* delta of the outputs is output - target */
    int n_layers;
    const int64_t *units; /* n_layers + 1 widths */
    const int *activations; /* n_layers indices into the list, or FM_OWN */
    const double *activation_params; /* (n_layers, 4) */
    const fm_own_activation *own_activations; /* (n_layers), read where activations says FM_OWN; else NULL may stand */
    const fm_loss_kernel *own_loss; /* where loss is FM_OWN */
} fm_network;

/* Rows of input: dense with rows ldx and the numbers of a row dx apart, or, where indptr is given, CSR with sorted unique
 * columns. Dense rows may be of the other real type, and lie in any order: they are fetched block by block. */
typedef struct fm_rows {
    int64_t n_rows;
    int x_dtype;
    const void *x;
    int64_t ldx, dx;
    const int64_t *indptr;
    const int32_t *indices;
    const void *data;
} fm_rows;

/* Targets: real rows y, or class codes in their place; hard: all targets 0 or 1; weight: real, or NULL. */
typedef struct fm_targets {
    const void *y;
    const int32_t *codes;
    int hard;
    const void *weight;
} fm_targets;

/* A pass over all rows of an input for loss and gradient; start with row = 0, call until it is not FM_PAUSED. */
typedef struct fm_pass {
    double alpha;
    void *grad; /* layout of the parameters: gradient of the mean loss and L2 term; NULL: not wanted */
    int64_t row;
    double loss_sum, weight_sum, l2; /* out: sum of weight * loss, of weights, and alpha / 2 * sum of squared coefs */
    int n_threads; /* that may share the work, as all n_threads here: from 1 to FM_MAX_THREADS, without effect on bits */
} fm_pass;

/* Epochs of training; start with epoch = row = batch_row = 0, call until it is not FM_PAUSED. */
typedef struct fm_training {
    int solver;
    int shuffle;
    const double *hyper; /* the solver's hyperparameters, in its order */
    double alpha;
    int64_t batch_size;
    int64_t t; /* steps taken so far */
    void *grad; /* scratch with the layout of the parameters */
    void *moments[2]; /* layout of the parameters; NULL where the solver has fewer */
    int32_t *index; /* the rows of an epoch in order, shuffled in place; NULL: all rows as they lie */
    int64_t n_index;
    void *bitgen; /* NumPy's bitgen_t, for the shuffle */
    uint64_t key; /* of counter-based random numbers */
    int64_t n_epochs;
    double *data_losses, *l2_losses; /* out (n_epochs): means over the batches, weighted by their rows */
    int64_t epoch, row, batch_row; /* cursor */
    double loss_sum, weight_sum; /* of the step under way */
    double epoch_data, epoch_l2; /* of the epoch under way */
    int n_threads;
} fm_training;

/* What a prediction returns of the outputs (n, n_outputs): they themselves; 1 - p and p of a single one, (n, 2); or the
 * class, int64 (n): whether a single output exceeds 1/2, or the place of the largest. */
enum { FM_OUTPUTS = 0, FM_COMPLEMENTS = 1, FM_CODES = 2 };

/* A network and its weights, bound for many predictions; after fm_bind nothing is written here. */
typedef struct fm_binding {
    const fm_network *net;
    const void *params;
    int form;
    int check_finite; /* refuse rows that are not finite, with FM_NOT_FINITE; what out holds then is not defined */
    int64_t few_rows; /* out: the most rows that fm_predict takes */
} fm_binding;

/* Choose kernels: the best that processor, compiler and cap ("avx512", "avx2", "scalar" or NULL) allow. Returns the
 * choice, or -1 for a cap that is none of these. Not thread-safe; everything else is. */
int fm_init(const char *cap);
int fm_isa(void);
const char *fm_isa_name(int isa);
int fm_isa_supported(int isa);
const fm_kernels *fm_kernel_table(int isa, int dtype);
const char *fm_status_message(int status);

/* The lists, so that no table of codes is kept twice; NULL past the end. */
const char *fm_activation_name(int index);
int fm_activation_needs(int index);
int fm_activation_n_params(int index);
int fm_activation_draws(int index);
/* What makes a product (see fm_kernels) end with the activation's value, or its derivative; 0 where there is none. */
int fm_ending(int activation, int derivative);
const char *fm_loss_name(int index);
const char *fm_solver_name(int index);
int fm_solver_n_moments(int index);

/* How many threads, up to `most`, pay for passes over `rows` rows (in training: of a batch), by what was measured. x:
 * how full they are; NULL: they are dense. */
int fm_forward_threads(const fm_network *net, const fm_rows *x, int64_t rows, int most);
int fm_gradient_threads(const fm_network *net, const fm_rows *x, int64_t rows, int most);

/* Bytes of workspace that a call needs: 0 where a small buffer on the stack serves. rows: of one call or batch. x: tells
 * whether they are sparse, and how they lie; NULL: they are dense, and of a forward pass used in place. */
int64_t fm_forward_workspace(const fm_network *net, const fm_rows *x, int64_t rows, int n_threads);
int64_t fm_gradient_workspace(const fm_network *net, const fm_rows *x, int64_t rows, int n_threads);

/* out (n_rows, n_outputs). z, a: NULL, or one pointer per layer to (n_rows, fan_out), to be filled, too. check_finite:
 * refuse rows that are not finite, with FM_NOT_FINITE; what out holds then is not defined. */
int fm_forward(const fm_network *net, const void *params, const fm_rows *x, void *out, void *const *z, void *const *a,
               int check_finite, int n_threads, void *workspace, int64_t size);

/* Predictions: for 1 to few_rows dense rows x (n, units[0]), contiguous and of the network's type; or for any rows. */
int fm_bind(fm_binding *binding);
int fm_predict(const fm_binding *binding, int64_t n, const void *x, void *out);
int64_t fm_predict_workspace(const fm_binding *binding, const fm_rows *x, int64_t rows, int n_threads);
int fm_predict_many(const fm_binding *binding, const fm_rows *x, void *out, int n_threads, void *workspace,
                    int64_t size);

int fm_loss_grad(const fm_network *net, const void *params, const fm_rows *x, const fm_targets *y, fm_pass *pass,
                 void *workspace, int64_t size);
/* Updates params and moments in place, whole steps at a time. */
int fm_train(const fm_network *net, void *params, const fm_rows *x, const fm_targets *y, fm_training *training,
             void *workspace, int64_t size);

/* Whether CSR rows, of which n_entries are stored, point inside a matrix with so many columns, sorted and unique. */
int fm_is_csr(const fm_rows *x, int64_t columns, int64_t n_entries);
/* CSR from CSC, which x is here but for n_rows, with so many columns, of which n_entries are stored: indptr (n_rows + 1),
 * indices and data (n_entries). Columns rise within a row. Returns whether x points inside; if not, nothing is promised. */
int fm_turn_csc(const fm_rows *x, int64_t columns, int64_t n_entries, int64_t *indptr, int32_t *indices, void *data);
/* Whether all of x (n), of a real type, is finite. */
int fm_all_finite(int dtype, int64_t n, const void *x);
/* Shuffle as numpy.random.RandomState.shuffle does, with the same draws. */
void fm_shuffle(void *bitgen, int64_t n, int32_t *index);
/* out (rows, width): the counter-based uniform numbers of one layer in one step. */
void fm_uniforms(uint64_t key, uint64_t step, int64_t layer, int64_t rows, int64_t width, double *out);

/* cffi: end */

#endif
