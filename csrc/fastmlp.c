/* Entry points: check arguments, lay out the workspace, hand over to the framework. No arithmetic. */
#include "fastmlp.h"

#include "activations.h"
#include "losses.h"
#include "network.h"
#include "solvers.h"
#include "training.h"

/* Workspace on the stack for calls that need no more: one row of most small networks. */
enum { STACK_WORKSPACE = 16384 };

const char *fm_status_message(int status)
{
    switch (status) {
    case FM_OK:
        return "no error";
    case FM_PAUSED:
        return "not finished: call again to go on";
    case FM_BAD_ARGUMENT:
        return "an argument does not describe a network, rows or a solver";
    case FM_SMALL_WORKSPACE:
        return "the workspace is smaller than the query said";
    case FM_NOT_DIFFERENTIABLE:
        return "an activation of the network has no derivative";
    case FM_ZERO_WEIGHT:
        return "Weights sum to zero, can't be normalized";
    case FM_NOT_FINITE:
        return "a number of the input is not finite";
    default:
        return "unknown status";
    }
}

const char *fm_activation_name(int index)
{
#define FM_ENTRY(name, needs, n_params) #name,
    static const char *const names[] = {FM_ACTIVATIONS(FM_ENTRY) "softmax"};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_ACTIVATIONS ? names[index] : NULL;
}

int fm_activation_n_params(int index)
{
#define FM_ENTRY(name, needs, n_params) n_params,
    static const int counts[] = {FM_ACTIVATIONS(FM_ENTRY) 0};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_ACTIVATIONS ? counts[index] : -1;
}

const char *fm_loss_name(int index)
{
#define FM_ENTRY(name, elementwise, softmax) #name,
    static const char *const names[] = {FM_LOSSES(FM_ENTRY)};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_LOSSES ? names[index] : NULL;
}

const char *fm_solver_name(int index)
{
#define FM_ENTRY(name, moments) #name,
    static const char *const names[] = {FM_SOLVERS(FM_ENTRY)};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_SOLVERS ? names[index] : NULL;
}

int fm_solver_n_moments(int index)
{
#define FM_ENTRY(name, moments) moments,
    static const int counts[] = {FM_SOLVERS(FM_ENTRY)};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_SOLVERS ? counts[index] : -1;
}

static int64_t block_rows(int64_t rows) { return rows < FM_BLOCK ? rows : FM_BLOCK; }

/* A forward pass is cut where a block's activations still fit the nearest cache. */
static int64_t forward_rows(const fm_network *net, int64_t rows)
{
    int64_t widest = 1, block = FM_BLOCK;
    for (int l = 1; l <= net->n_layers; l++)
        if (net->units[l] > widest)
            widest = net->units[l];
    while (block > 32 && block * widest > 4096)
        block /= 2;
    return rows < block ? rows : block;
}

static int forward_purpose(const fm_network *net, int x_dtype)
{
    return x_dtype == net->dtype ? FM_FOR_FORWARD : FM_FOR_CONVERTING_FORWARD;
}

int64_t fm_forward_workspace(const fm_network *net, int64_t rows, int x_dtype)
{
    fm_context c;
    const int64_t bytes = fm_layout(&c, net, forward_purpose(net, x_dtype), forward_rows(net, rows), NULL);
    return bytes <= STACK_WORKSPACE ? 0 : bytes;
}

int64_t fm_gradient_workspace(const fm_network *net, int64_t rows)
{
    fm_context c;
    return fm_layout(&c, net, FM_FOR_GRADIENT, block_rows(rows), NULL);
}

int fm_forward(const fm_network *net, const void *params, const fm_rows *x, void *out, void *const *z, void *const *a,
               void *workspace, int64_t size)
{
    _Alignas(64) char stack[STACK_WORKSPACE];
    if (fm_check_network(net) != FM_OK)
        return FM_BAD_ARGUMENT;
    if (x->n_rows == 0)
        return FM_OK;
    const int64_t needed = fm_forward_workspace(net, x->n_rows, x->x_dtype);
    if (needed > size)
        return FM_SMALL_WORKSPACE;
    fm_context c;
    fm_layout(&c, net, forward_purpose(net, x->x_dtype), forward_rows(net, x->n_rows), needed ? workspace : stack);
    const int64_t last = c.n_layers - 1;
    for (int64_t first = 0; first < x->n_rows; first += c.rows) {
        fm_block b = {.x = x, .first = first, .rows = c.rows < x->n_rows - first ? c.rows : x->n_rows - first};
        fm_block_input(&c, &b);
        const char *in = b.dense;
        int64_t ld = b.ld;
        for (int64_t l = 0; l <= last; l++) {
            const int64_t width = c.layers[l].fan_out, place = first * width * c.real;
            char *result = l == last ? (char *)out + place : a ? (char *)a[l] + place : c.delta[l % 2];
            char *before = z ? (char *)z[l] + place : result;
            const int64_t ld_out = l == last || a || z ? width : c.layers[l].ld;
            fm_layer_forward(&c, params, l, &b, in, ld, before, result, ld_out, NULL);
            in = result;
            ld = ld_out;
        }
    }
    return FM_OK;
}

int fm_loss_grad(const fm_network *net, const void *params, const fm_rows *x, const fm_targets *y, fm_pass *pass,
                 void *workspace, int64_t size)
{
    if (fm_check_network(net) != FM_OK || x->n_rows < 1 || pass->row < 0)
        return FM_BAD_ARGUMENT;
    if (pass->grad && fm_check_differentiable(net) != FM_OK)
        return FM_NOT_DIFFERENTIABLE;
    if (fm_gradient_workspace(net, x->n_rows) > size)
        return FM_SMALL_WORKSPACE;
    fm_context c;
    fm_layout(&c, net, FM_FOR_GRADIENT, block_rows(x->n_rows), workspace);
    return fm_run_pass(&c, params, x, y, pass);
}

int fm_train(const fm_network *net, void *params, const fm_rows *x, const fm_targets *y, fm_training *training,
             void *workspace, int64_t size)
{
    const int64_t n = training->index ? training->n_index : x->n_rows;
    if (fm_check_network(net) != FM_OK || training->solver < 0 || training->solver >= FM_N_SOLVERS || n < 1 ||
        training->batch_size < 1 || (training->shuffle && !(training->index && training->bitgen)))
        return FM_BAD_ARGUMENT;
    if (fm_check_differentiable(net) != FM_OK)
        return FM_NOT_DIFFERENTIABLE;
    const int64_t rows = training->batch_size < n ? training->batch_size : n;
    if (fm_gradient_workspace(net, rows) > size)
        return FM_SMALL_WORKSPACE;
    fm_context c;
    fm_layout(&c, net, FM_FOR_GRADIENT, block_rows(rows), workspace);
    return fm_run_training(&c, params, x, y, training);
}
