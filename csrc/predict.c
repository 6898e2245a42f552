#include "dispatch.h"
#include "mode.h"
#include "network.h"
#include "pool.h"

/* On the stack: the outputs of a few rows that codes are read off. */
enum { STACK_OUTPUTS = 4096, MOST_FEW_ROWS = 64 };

static int64_t row_bytes(const fm_network *net) { return net->units[net->n_layers] * fm_real_bytes(net->dtype); }

static int64_t output_bytes(const fm_network *net, int64_t rows) { return (rows * row_bytes(net) + 63) / 64 * 64; }

int fm_bind(fm_binding *b)
{
    fm_context c;
    if (fm_check_network(b->net) != FM_OK || b->form < FM_OUTPUTS || b->form > FM_CODES ||
        (b->form == FM_COMPLEMENTS && b->net->units[b->net->n_layers] != 1))
        return FM_BAD_ARGUMENT;
    for (b->few_rows = MOST_FEW_ROWS; b->few_rows > 0; b->few_rows--)
        if (fm_layout(&c, b->net, FM_FOR_FORWARD, b->few_rows, 1, NULL) <= FM_STACK_WORKSPACE &&
            (b->form != FM_CODES || output_bytes(b->net, b->few_rows) <= STACK_OUTPUTS))
            break;
    return FM_OK;
}

/* Each p becomes 1 - p, p, in place: from the last row to the first, so that no p is overwritten before it is read. */
#define DEFINE_COMPLEMENTS(name, real)         \
    static void name(int64_t n, real *p)       \
    {                                          \
        for (int64_t i = n - 1; i >= 0; i--) { \
            const real one = p[i];             \
            p[2 * i + 1] = one;                \
            p[2 * i] = 1 - one;                \
        }                                      \
    }
DEFINE_COMPLEMENTS(complements_float, float)
DEFINE_COMPLEMENTS(complements_double, double)

/* The class of each row: with one output whether it exceeds 1/2; else the first of the largest, where NaN is larger than
 * any number, as numpy.argmax has it. */
#define DEFINE_CODES(name, real)                                            \
    static void name(int64_t n, int64_t width, const real *a, int64_t *out) \
    {                                                                       \
        for (int64_t i = 0; i < n; i++, a += width) {                       \
            int64_t best = width == 1 && a[0] > (real)0.5;                  \
            for (int64_t j = 1; j < width && a[best] == a[best]; j++)       \
                if (!(a[j] <= a[best]))                                     \
                    best = j;                                               \
            out[i] = best;                                                  \
        }                                                                   \
    }
DEFINE_CODES(codes_float, float)
DEFINE_CODES(codes_double, double)

static void finish(const fm_binding *b, int64_t n, const void *outputs, void *out)
{
    const int is_float = b->net->dtype == FM_FLOAT32;
    const int64_t n_outputs = b->net->units[b->net->n_layers];
    if (b->form == FM_COMPLEMENTS && is_float)
        complements_float(n, out);
    else if (b->form == FM_COMPLEMENTS)
        complements_double(n, out);
    else if (b->form == FM_CODES && is_float)
        codes_float(n, n_outputs, outputs, out);
    else if (b->form == FM_CODES)
        codes_double(n, n_outputs, outputs, out);
}

int fm_all_finite(int dtype, int64_t n, const void *x) { return fm_kernels_chosen(dtype)->finite(n, x); }

static int is_aligned(const fm_binding *b, const void *x, const void *out)
{
    const uintptr_t real = b->net->dtype == FM_FLOAT32 ? sizeof(float) : sizeof(double);
    return (uintptr_t)x % real == 0 && (uintptr_t)out % (b->form == FM_CODES ? sizeof(int64_t) : real) == 0;
}

static int refused(const fm_binding *b, int64_t n, const void *x)
{
    return b->check_finite && !fm_all_finite(b->net->dtype, n * b->net->units[0], x);
}

static int predict(const fm_binding *b, int64_t n, const void *x, void *out)
{
    _Alignas(64) char stack[FM_STACK_WORKSPACE], stack_outputs[STACK_OUTPUTS];
    if (n < 1 || n > b->few_rows)
        return FM_SMALL_WORKSPACE;
    if (!is_aligned(b, x, out))
        return FM_NOT_ALIGNED;
    if (refused(b, n, x))
        return FM_NOT_FINITE;
    fm_context c;
    fm_layout(&c, b->net, FM_FOR_FORWARD, n, 1, stack);
    const fm_rows rows = {.n_rows = n, .x_dtype = b->net->dtype, .x = x, .ldx = b->net->units[0], .dx = 1};
    const fm_block block = {.x = &rows, .rows = n, .dense = x, .ld = rows.ldx};
    char *outputs = b->form == FM_CODES ? stack_outputs : out;
    fm_block_outputs(&c, b->params, &block, outputs, NULL, NULL);
    finish(b, n, outputs, out);
    return FM_OK;
}

int fm_predict(const fm_binding *b, int64_t n, const void *x, void *out)
{
    const unsigned mode = fm_enter_mode();
    const int status = predict(b, n, x, out);
    fm_leave_mode(mode);
    return status;
}

int64_t fm_predict_workspace(const fm_binding *b, const fm_rows *x, int64_t rows, int n_threads)
{
    return fm_forward_workspace(b->net, x, rows, n_threads) + (b->form == FM_CODES ? output_bytes(b->net, rows) : 0);
}

typedef struct finish_job {
    const fm_binding *binding;
    int64_t n;
    int parts;
    const char *outputs;
    int64_t *codes;
} finish_job;

static void finish_part(void *argument, int part)
{
    const finish_job *job = argument;
    const fm_binding *b = job->binding;
    const int64_t first = job->n * part / job->parts, end = job->n * (part + 1) / job->parts;
    finish(b, end - first, job->outputs + first * row_bytes(b->net), job->codes + first);
}

static int predict_many(const fm_binding *b, const fm_rows *x, void *out, int n_threads, void *workspace, int64_t size)
{
    const int64_t n = x->n_rows, scratch = b->form == FM_CODES ? output_bytes(b->net, n) : 0;
    if (scratch > size)
        return FM_SMALL_WORKSPACE;
    if (!is_aligned(b, x->indptr ? x->data : x->x, out))
        return FM_NOT_ALIGNED;
    void *outputs = scratch ? workspace : out;
    const int status = fm_forward(b->net, b->params, x, outputs, NULL, NULL, b->check_finite, n_threads,
                                  (char *)workspace + scratch, size - scratch);
    if (status != FM_OK)
        return status;
    if (b->form == FM_CODES) {
        finish_job job = {.binding = b, .n = n, .parts = fm_pool_enter(n_threads), .outputs = outputs, .codes = out};
        fm_pool_run(job.parts, finish_part, &job);
        fm_pool_leave(job.parts);
    } else {
        finish(b, n, outputs, out);
    }
    return FM_OK;
}

int fm_predict_many(const fm_binding *b, const fm_rows *x, void *out, int n_threads, void *workspace, int64_t size)
{
    const unsigned mode = fm_enter_mode();
    const int status = predict_many(b, x, out, n_threads, workspace, size);
    fm_leave_mode(mode);
    return status;
}
