/* Entry points: check arguments, lay out the workspace, hand over to the framework. No arithmetic. And what the caller asks
 * before: names of the lists, texts of statuses, how many threads pay. */
#include "fastmlp.h"

#include "activations.h"
#include "crew.h"
#include "losses.h"
#include "mode.h"
#include "solvers.h"
#include "training.h"

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
    case FM_NOT_ALIGNED:
        return "the address of an array is no multiple of its elements' size";
    default:
        return "unknown status";
    }
}

const char *fm_activation_name(int index)
{
#define FM_ENTRY(name, needs, draws, n_params) #name,
    static const char *const names[] = {FM_ACTIVATIONS(FM_ENTRY) "softmax"};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_ACTIVATIONS ? names[index] : NULL;
}

int fm_activation_n_params(int index)
{
#define FM_ENTRY(name, needs, draws, n_params) n_params,
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

static int forward_purpose(const fm_network *net, const fm_rows *x)
{
    return !x || x->indptr || fm_is_read_in_place(net, x) ? FM_FOR_FORWARD : FM_FOR_FETCHING_FORWARD;
}

/* A forward pass is cut where a block's activations still fit the nearest cache, and what is fetched the second. */
static int64_t forward_rows(const fm_network *net, const fm_rows *x, int64_t rows)
{
    enum { LEAST = 32, NUMBERS = 4096, FETCHED_BYTES = 262144 };
    int64_t widest = 1, block = FM_BLOCK;
    for (int l = 1; l <= net->n_layers; l++)
        if (net->units[l] > widest)
            widest = net->units[l];
    const int64_t fetched = forward_purpose(net, x) == FM_FOR_FORWARD ? 0 : net->units[0] * fm_real_bytes(net->dtype);
    while (block > LEAST && (block * widest > NUMBERS || block * fetched > FETCHED_BYTES))
        block /= 2;
    return rows < block ? rows : block;
}

static int bad_threads(int n) { return n < 1 || n > FM_MAX_THREADS; }

/* What a thread's share must be to pay for waking it and waiting for it, as measured (benchmarks/threads.py): flops. */
#define THREAD_SHARE 15e6

static int threads_for(const fm_network *net, const fm_rows *x, double rows, int most)
{
    const double entries =
        x && x->indptr && x->n_rows > 0 ? (double)x->indptr[x->n_rows] / (double)x->n_rows : (double)net->units[0];
    double work = 0;
    for (int l = 0; l < net->n_layers; l++)
        work +=
            (2 * (l > 0 ? (double)net->units[l] : entries) + FM_ACTIVATION_FLOPS) * (double)net->units[l + 1] * rows;
    const double n = work / THREAD_SHARE;
    return n < 1 ? 1 : n < most ? (int)n : most;
}

int fm_forward_threads(const fm_network *net, const fm_rows *x, int64_t rows, int most)
{
    return threads_for(net, x, (double)rows, most);
}

int fm_gradient_threads(const fm_network *net, const fm_rows *x, int64_t rows, int most)
{
    return threads_for(net, x, 3 * (double)rows, most);
}

int64_t fm_forward_workspace(const fm_network *net, const fm_rows *x, int64_t rows, int n_threads)
{
    fm_crew crew;
    const int64_t bytes =
        fm_crew_for_forward(&crew, net, forward_purpose(net, x), forward_rows(net, x, rows), n_threads, NULL);
    return bytes <= FM_STACK_WORKSPACE ? 0 : bytes;
}

int64_t fm_gradient_workspace(const fm_network *net, const fm_rows *x, int64_t rows, int n_threads)
{
    /* Any number of threads may be granted: a single one works on whole blocks, and of more each needs room. */
    fm_crew crew;
    const int64_t alone = fm_crew_for_gradient(&crew, net, x, rows, n_threads, 1, NULL);
    const int64_t shared = fm_crew_for_gradient(&crew, net, x, rows, n_threads, n_threads, NULL);
    return alone > shared ? alone : shared;
}

static int forward(const fm_network *net, const void *params, const fm_rows *x, void *out, void *const *z,
                   void *const *a, int check_finite, int n_threads, void *workspace, int64_t size)
{
    _Alignas(64) char stack[FM_STACK_WORKSPACE];
    if (fm_check_network(net) != FM_OK || bad_threads(n_threads))
        return FM_BAD_ARGUMENT;
    if (x->n_rows == 0)
        return FM_OK;
    const int64_t needed = fm_forward_workspace(net, x, x->n_rows, n_threads);
    if (needed > size)
        return FM_SMALL_WORKSPACE;
    /* What the stack serves is over too soon to be counted among the callers. */
    const int n = needed || n_threads > 1 ? fm_pool_enter(n_threads) : 0;
    fm_crew crew;
    fm_crew_for_forward(&crew, net, forward_purpose(net, x), forward_rows(net, x, x->n_rows), n ? n : 1,
                        needed ? workspace : stack);
    const int finite = fm_crew_forward(&crew, params, x, out, z, a, check_finite);
    if (n)
        fm_pool_leave(n);
    return finite ? FM_OK : FM_NOT_FINITE;
}

int fm_forward(const fm_network *net, const void *params, const fm_rows *x, void *out, void *const *z, void *const *a,
               int check_finite, int n_threads, void *workspace, int64_t size)
{
    const unsigned mode = fm_enter_mode();
    const int status = forward(net, params, x, out, z, a, check_finite, n_threads, workspace, size);
    fm_leave_mode(mode);
    return status;
}

int fm_loss_grad(const fm_network *net, const void *params, const fm_rows *x, const fm_targets *y, fm_pass *pass,
                 void *workspace, int64_t size)
{
    if (fm_check_network(net) != FM_OK || x->n_rows < 1 || pass->row < 0 || bad_threads(pass->n_threads))
        return FM_BAD_ARGUMENT;
    if (pass->grad && fm_check_differentiable(net) != FM_OK)
        return FM_NOT_DIFFERENTIABLE;
    if (fm_gradient_workspace(net, x, x->n_rows, pass->n_threads) > size)
        return FM_SMALL_WORKSPACE;
    const unsigned mode = fm_enter_mode();
    const int n = fm_pool_enter(pass->n_threads);
    fm_crew crew;
    fm_crew_for_gradient(&crew, net, x, x->n_rows, pass->n_threads, n, workspace);
    const int status = fm_run_pass(&crew, params, x, y, pass);
    fm_pool_leave(n);
    fm_leave_mode(mode);
    return status;
}

/* Moments that are missing, or a count of steps that comes to its end. */
static int is_bad_solver_state(const fm_training *training)
{
    if (training->t < 0 || training->t > INT64_MAX / 4 * 3)
        return 1;
    for (int i = 0; i < fm_solver_n_moments(training->solver); i++)
        if (!training->moments[i])
            return 1;
    return 0;
}

int fm_train(const fm_network *net, void *params, const fm_rows *x, const fm_targets *y, fm_training *training,
             void *workspace, int64_t size)
{
    const int64_t n_rows = training->index ? training->n_index : x->n_rows;
    if (fm_check_network(net) != FM_OK || training->solver < 0 || training->solver >= FM_N_SOLVERS || n_rows < 1 ||
        training->batch_size < 1 || (training->shuffle && !(training->index && training->bitgen)) ||
        bad_threads(training->n_threads) || is_bad_solver_state(training))
        return FM_BAD_ARGUMENT;
    if (fm_check_differentiable(net) != FM_OK)
        return FM_NOT_DIFFERENTIABLE;
    const int64_t rows = training->batch_size < n_rows ? training->batch_size : n_rows;
    if (fm_gradient_workspace(net, x, rows, training->n_threads) > size)
        return FM_SMALL_WORKSPACE;
    const unsigned mode = fm_enter_mode();
    const int n = fm_pool_enter(training->n_threads);
    fm_crew crew;
    fm_crew_for_gradient(&crew, net, x, rows, training->n_threads, n, workspace);
    const int status = fm_run_training(&crew, params, x, y, training);
    fm_pool_leave(n);
    fm_leave_mode(mode);
    return status;
}
