#include "crew.h"

/* Blocks of a batch, per thread, from which on threads take whole ones: fewer could not be divided evenly. */
enum { BLOCKS_PER_THREAD = 4 };
/* Gradients of blocks taken at once: so many bytes a thread, at least one of them and at most MOST_PLACES. */
enum { PLACE_BYTES = 32768, MOST_PLACES = 8 };
/* Gradients of whole blocks, one for each thread: with more bytes together all threads work on the same block. */
enum { GRADIENTS_BYTES = 64 << 20 };
/* The same for the gradient of CSR rows, for one thread: of a longer one a block touches only what has entries, and should
 * not have to write all of it. */
enum { SPARSE_GRADIENT_BYTES = 1 << 20 };
/* Coefs below which it does not pay to divide a pass over them further. */
enum { SLICE_COEFS = 4096 };
/* Rows of blocks and of coefs are divided in multiples of these: full register tiles, whole cache lines of the rows
 * of the layer below. */
enum { ROW_MULTIPLE = 8, COEF_MULTIPLE = 16 };
/* What squares and losses cost, in gradients of a coef from one row: of each coef (a chain of additions, where the
 * gradient has many at once), and of each output and row. The thread that computes them gets fewer gradients. */
enum { SQUARES_COST = 6, LOSS_COST = 16 };
/* Pieces of a forward pass for each thread, so that one that comes late or is interrupted does not hold up all. */
enum { FORWARD_PIECES = 16 };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t divide_up(int64_t n, int64_t d) { return (n + d - 1) / d; }

static int64_t take_contexts(fm_crew *crew, int n, const fm_network *net, int purpose, int64_t rows, int slices,
                             char *base)
{
    int64_t used = 0;
    crew->contexts = (fm_context *)fm_take(base, &used, n * (int64_t)sizeof(fm_context));
    for (int i = 0; i < n; i++) {
        fm_context counted;
        fm_context *c = base ? &crew->contexts[i] : &counted;
        used += fm_layout(c, net, purpose, rows, slices, base ? base + used : NULL);
    }
    return used;
}

int64_t fm_crew_for_forward(fm_crew *crew, const fm_network *net, int purpose, int64_t block_rows, int n, char *base)
{
    *crew = (fm_crew){.n = n};
    return take_contexts(crew, n, net, purpose, block_rows, 1, base);
}

int64_t fm_crew_for_gradient(fm_crew *crew, const fm_network *net, const fm_rows *x, int64_t rows, int planned, int n,
                             char *base)
{
    const int purpose = x && x->indptr ? FM_FOR_SPARSE_GRADIENT : FM_FOR_GRADIENT;
    const int64_t block_rows = smaller(rows, FM_BLOCK);
    int whole = n > 1 && divide_up(rows, FM_BLOCK) >= BLOCKS_PER_THREAD * planned;
    int64_t grad_bytes = 0;
    if (whole) {
        fm_context counted;
        fm_layout(&counted, net, purpose, block_rows, 1, NULL);
        grad_bytes = divide_up(counted.n_params * counted.real, 64) * 64;
        whole = planned * grad_bytes <= GRADIENTS_BYTES &&
                (purpose != FM_FOR_SPARSE_GRADIENT || grad_bytes <= SPARSE_GRADIENT_BYTES);
    }
    *crew = (fm_crew){.n = n, .whole = whole, .grad_bytes = grad_bytes};
    int64_t used = take_contexts(crew, whole ? n : 1, net, purpose, block_rows, whole ? 1 : n, base);
    if (!whole)
        return used;
    crew->places = n * larger(1, smaller(MOST_PLACES, PLACE_BYTES / crew->grad_bytes));
    crew->sums = (double *)fm_take(base, &used, crew->places * 2 * (int64_t)sizeof(double));
    crew->grads = fm_take(base, &used, (crew->places - 1) * crew->grad_bytes);
    return used;
}

/* Forward. */

typedef struct forward_job {
    const fm_crew *crew;
    const char *params;
    const fm_rows *x;
    char *out;
    void *const *z, *const *a;
    int64_t blocks, piece; /* of all rows, and taken at a time */
    int check;
    fm_counter next, not_finite; /* blocks */
} forward_job;

static void forward_block(forward_job *job, const fm_context *c, int64_t first)
{
    fm_block b = {.x = job->x, .first = first, .rows = smaller(c->rows, job->x->n_rows - first), .read = job->check};
    if (!fm_block_input(c, &b, job->check)) {
        fm_pool_next(&job->not_finite);
        return; /* a function of the caller's own may not expect such numbers, and never come back */
    }
    fm_block_outputs(c, job->params, &b, job->out, job->z, job->a);
}

static void forward_blocks(void *argument, int thread)
{
    forward_job *job = argument;
    const fm_context *c = &job->crew->contexts[thread];
    for (int64_t k; (k = fm_pool_next(&job->next) * job->piece) < job->blocks;)
        for (int64_t i = k; i < smaller(k + job->piece, job->blocks); i++)
            forward_block(job, c, i * c->rows);
}

int fm_crew_forward(const fm_crew *crew, const char *params, const fm_rows *x, char *out, void *const *z,
                    void *const *a, int check)
{
    forward_job job = {.crew = crew, .params = params, .x = x, .out = out, .z = z, .a = a};
    job.blocks = divide_up(x->n_rows, crew->contexts[0].rows);
    job.piece = crew->n == 1 ? job.blocks : divide_up(job.blocks, FORWARD_PIECES * crew->n);
    job.check = check;
    fm_pool_run((int)smaller(crew->n, job.blocks), forward_blocks, &job);
    return fm_pool_next(&job.not_finite) == 0;
}

/* Slices of the coefs. */

typedef struct slices_job {
    const fm_crew *crew;
    fm_slice_task *task;
    void *job;
    int parts;
    int64_t ahead; /* coefs that the first part gets less than the others, for what else its thread does */
} slices_job;

/* Where part `part` of the coefs begins in layer l: the layers one after another, each row as long as its fan_out. */
static int64_t slice_begin(const slices_job *job, int64_t l, int part)
{
    const fm_context *c = job->crew->contexts;
    const fm_layer *layer = &c->layers[l];
    if (part == 0 || part == job->parts)
        return part ? layer->fan_in : 0;
    const int64_t end = (c->n_coefs + job->ahead) * part / job->parts - job->ahead;
    const int64_t target = end - layer->coefs / c->real;
    if (target <= 0)
        return 0;
    return smaller((target / layer->fan_out + COEF_MULTIPLE / 2) / COEF_MULTIPLE * COEF_MULTIPLE, layer->fan_in);
}

static void run_slices(void *argument, int part)
{
    const slices_job *job = argument;
    const fm_context *c = job->crew->contexts;
    for (int64_t l = 0; l < c->n_layers; l++) {
        const int64_t from = slice_begin(job, l, part), to = slice_begin(job, l, part + 1);
        if (from < to)
            job->task(job->job, c, l, from, to);
    }
}

void fm_crew_slices(const fm_crew *crew, fm_slice_task *task, void *job)
{
    const fm_context *c = crew->contexts;
    slices_job slices = {.crew = crew, .task = task, .job = job};
    slices.parts = (int)smaller(crew->n, divide_up(c->n_coefs, SLICE_COEFS));
    if (slices.parts > 1)
        fm_pool_run(slices.parts, run_slices, &slices);
    else
        for (int64_t l = 0; l < c->n_layers; l++)
            task(job, c, l, 0, c->layers[l].fan_in);
}

/* Blocks. */

typedef struct blocks_job {
    const fm_crew *crew;
    const char *params;
    const fm_batch *batch;
    int64_t row, n_blocks;
    char *grad;
    fm_block block;   /* shared */
    int slices;       /* of it */
    int64_t *work;    /* of each thread */
    double *squares;  /* NULL: not wanted with this block */
    double *loss, *weight;
    fm_counter next;  /* of the whole blocks */
} blocks_job;

/* Rows from .. to - 1 of the batch. */
static fm_block make_block(const fm_batch *batch, int64_t from, int64_t to)
{
    fm_block b = {.x = batch->x, .rows = to - from};
    if (batch->index)
        b.index = batch->index + from;
    else
        b.first = batch->first + from;
    return b;
}

static int64_t run_block(const blocks_job *job, const fm_context *c, int64_t row, char *grad, int first, double *loss,
                         double *weight)
{
    fm_draw draw;
    fm_block b = make_block(job->batch, row, smaller(row + c->rows, job->batch->rows));
    return fm_block_pass(c, job->params, &b, job->batch->y, grad, first, fm_draw_from(job->batch->draw, row, &draw),
                         loss, weight);
}

static void take_whole_blocks(void *argument, int thread)
{
    blocks_job *job = argument;
    const fm_crew *crew = job->crew;
    const fm_context *c = &crew->contexts[thread];
    for (int64_t k; (k = fm_pool_next(&job->next)) < job->n_blocks;) {
        char *grad = job->grad && k > 0 ? crew->grads + (k - 1) * crew->grad_bytes : job->grad;
        job->work[thread] += run_block(job, c, job->row + k * FM_BLOCK, grad, k > 0 || job->row == 0,
                                       &crew->sums[2 * k], &crew->sums[2 * k + 1]);
    }
}

/* Add the gradients of the blocks after the first, in their order. */
static void add_gradients(void *argument, const fm_context *c, int64_t l, int64_t from, int64_t to)
{
    const blocks_job *job = argument;
    const fm_layer *layer = &c->layers[l];
    const int64_t coefs = layer->coefs + from * layer->fan_out * c->real;
    for (int64_t k = 1; k < job->n_blocks; k++) {
        const char *grad = job->crew->grads + (k - 1) * job->crew->grad_bytes;
        c->kernels->add((to - from) * layer->fan_out, grad + coefs, job->grad + coefs);
        if (from == 0)
            c->kernels->add(layer->fan_out, grad + layer->intercepts, job->grad + layer->intercepts);
    }
}

static void run_slice(void *argument, int thread)
{
    blocks_job *job = argument;
    const int64_t rows = job->block.rows, step = divide_up(divide_up(rows, job->slices), ROW_MULTIPLE) * ROW_MULTIPLE;
    const int64_t from = smaller(thread * step, rows), to = smaller(from + step, rows);
    if (from == to)
        return;
    fm_draw draw;
    fm_block b = make_block(job->batch, job->row + from, job->row + to);
    b.place = from;
    b.slice = thread;
    job->work[thread] = fm_slice_pass(job->crew->contexts, job->params, &b, job->batch->y, job->grad != NULL,
                                      fm_draw_from(job->batch->draw, job->row + from, &draw));
}

static void add_gradient(void *argument, const fm_context *c, int64_t l, int64_t from, int64_t to)
{
    const blocks_job *job = argument;
    fm_layer_gradient(c, l, &job->block, from, to, job->grad, job->row == 0, from == 0);
}

/* The sums over a shared block: one thread begins with those that are single chains. */
static void run_sums(void *argument, int part)
{
    const slices_job *slices = argument;
    blocks_job *job = slices->job;
    const fm_context *c = job->crew->contexts;
    if (part == 0) {
        double loss, weight;
        fm_block_loss(c, &job->block, job->batch->y, &loss, &weight);
        *job->loss += loss;
        *job->weight += weight;
        if (job->squares)
            *job->squares = c->kernels->sum_squares(c->n_coefs, job->params);
    }
    if (job->grad)
        run_slices(argument, part);
}

static void share_block(blocks_job *job)
{
    const fm_context *c = job->crew->contexts;
    const int64_t rows = smaller(c->rows, job->batch->rows - job->row);
    job->block = make_block(job->batch, job->row, job->row + rows);
    job->slices = (int)smaller(job->crew->n, divide_up(rows, ROW_MULTIPLE));
    fm_pool_run(job->slices, run_slice, job);
    fm_block_place(c, &job->block);
    slices_job slices = {.crew = job->crew, .task = add_gradient, .job = job};
    slices.parts = job->grad ? job->crew->n : 1;
    slices.ahead = LOSS_COST * c->layers[c->n_layers - 1].fan_out;
    if (job->squares)
        slices.ahead += SQUARES_COST * c->n_coefs / rows;
    fm_pool_run(slices.parts, run_sums, &slices);
}

static void run_alone(blocks_job *job)
{
    double loss, weight;
    job->work[0] = run_block(job, job->crew->contexts, job->row, job->grad, job->row == 0, &loss, &weight);
    *job->loss += loss;
    *job->weight += weight;
}

static void share_whole_blocks(blocks_job *job)
{
    const fm_crew *crew = job->crew;
    fm_pool_run((int)smaller(crew->n, job->n_blocks), take_whole_blocks, job);
    for (int64_t k = 0; k < job->n_blocks; k++) {
        *job->loss += crew->sums[2 * k];
        *job->weight += crew->sums[2 * k + 1];
    }
    if (job->grad && job->n_blocks > 1)
        fm_crew_slices(crew, add_gradients, job);
}

int64_t fm_crew_blocks(const fm_crew *crew, const char *params, const fm_batch *batch, int64_t row, char *grad,
                       double *loss, double *weight, int64_t *work)
{
    int64_t works[FM_MAX_THREADS], rows = FM_BLOCK; /* works: cleared below as far as it is used */
    const fm_context *c = crew->contexts;
    for (int i = 0; i < crew->n; i++)
        works[i] = 0;
    /* Without an initialiser, which would clear the shared block, too: a third of this function's time. */
    blocks_job job;
    job.crew = crew;
    job.params = params;
    job.batch = batch;
    job.row = row;
    job.n_blocks = 0;
    job.grad = grad;
    job.slices = 0;
    job.work = works;
    job.loss = loss;
    job.weight = weight;
    if (crew->whole) {
        job.next = 0;
        job.n_blocks = smaller(crew->places, divide_up(batch->rows - row, FM_BLOCK));
        rows *= job.n_blocks;
    }
    job.squares = batch->squares && row + rows >= batch->rows ? batch->squares : NULL;
    if (crew->n > 1 && !crew->whole) {
        share_block(&job);
    } else {
        if (crew->whole)
            share_whole_blocks(&job);
        else
            run_alone(&job);
        if (job.squares)
            *job.squares = c->kernels->sum_squares(c->n_coefs, params);
    }
    *work = 0;
    for (int i = 0; i < crew->n; i++)
        *work += works[i];
    return smaller(rows, batch->rows - row);
}
