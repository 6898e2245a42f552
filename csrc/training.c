#include "training.h"

#include "solvers.h"

/* Flops between returns to the caller, who lets signals in: 50 ms at 2 GFLOP/s, under 1 ms with vectors. */
#define WORK_BUDGET 100000000
/* What a step costs beyond its arithmetic, in the same unit. */
#define STEP_OVERHEAD 2000

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static double l2_term(const fm_context *c, const char *params, double alpha)
{
    return alpha != 0 ? 0.5 * alpha * c->kernels->sum_squares(c->n_coefs, params) : 0;
}

int fm_run_pass(const fm_context *c, const char *params, const fm_rows *x, const fm_targets *y, fm_pass *pass)
{
    int64_t budget = WORK_BUDGET;
    if (pass->row == 0) {
        pass->loss_sum = 0;
        pass->weight_sum = 0;
        if (pass->grad)
            fm_transpose_coefs(c, params);
    }
    while (pass->row < x->n_rows) {
        if (budget < 0)
            return FM_PAUSED;
        fm_block b = {.x = x, .first = pass->row, .rows = smaller(c->rows, x->n_rows - pass->row)};
        double loss, weight;
        budget -= fm_block_pass(c, params, &b, y, pass->grad, pass->row == 0, NULL, &loss, &weight);
        pass->loss_sum += loss;
        pass->weight_sum += weight;
        pass->row += b.rows;
    }
    if (pass->weight_sum == 0)
        return FM_ZERO_WEIGHT;
    pass->l2 = l2_term(c, params, pass->alpha);
    if (pass->grad) {
        const int64_t n_intercepts = c->n_params - c->n_coefs, offset = c->n_coefs * c->real;
        const double scale = 1 / pass->weight_sum;
        char *g = pass->grad;
        c->kernels->scale_gradient(c->n_coefs, pass->alpha, scale, params, g);
        c->kernels->scale_gradient(n_intercepts, 0, scale, params + offset, g + offset);
    }
    return FM_OK;
}

static void update(const fm_context *c, char *params, fm_training *t)
{
    static void (*const prepare[])(const double *, uint64_t, double *) = {
#define FM_ENTRY(name, moments) fm_##name##_prepare,
        FM_SOLVERS(FM_ENTRY)
#undef FM_ENTRY
    };
    const int64_t n_intercepts = c->n_params - c->n_coefs, offset = c->n_coefs * c->real;
    const fm_update rule = c->kernels->update[t->solver];
    const double scale = 1 / t->weight_sum;
    char *g = t->grad, *m = t->moments[0], *v = t->moments[1];
    double p[FM_MAX_HYPER];
    t->t += 1;
    prepare[t->solver](t->hyper, (uint64_t)t->t, p);
    rule(c->n_coefs, params, g, m, v, t->alpha, scale, p);
    rule(n_intercepts, params + offset, g + offset, m ? m + offset : NULL, v ? v + offset : NULL, 0, scale, p);
}

/* Blocks of the step under way until it is complete or the budget is spent. */
static int run_blocks(const fm_context *c, const char *params, const fm_rows *x, const fm_targets *y, fm_training *t,
                      int64_t batch_rows, int64_t *budget)
{
    if (t->batch_row == 0) {
        t->loss_sum = 0;
        t->weight_sum = 0;
        fm_transpose_coefs(c, params);
    }
    while (t->batch_row < batch_rows) {
        if (*budget < 0)
            return FM_PAUSED;
        const int64_t row = t->row + t->batch_row;
        fm_block b = {.x = x, .rows = smaller(c->rows, batch_rows - t->batch_row)};
        if (t->index)
            b.index = t->index + row;
        else
            b.first = row;
        fm_draw draw = {.key = t->key, .step = (uint64_t)t->t, .row = t->batch_row};
        double loss, weight;
        *budget -= fm_block_pass(c, params, &b, y, t->grad, t->batch_row == 0, &draw, &loss, &weight);
        t->loss_sum += loss;
        t->weight_sum += weight;
        t->batch_row += b.rows;
    }
    return t->weight_sum == 0 ? FM_ZERO_WEIGHT : FM_OK;
}

int fm_run_training(const fm_context *c, char *params, const fm_rows *x, const fm_targets *y, fm_training *t)
{
    const int64_t n = t->index ? t->n_index : x->n_rows;
    int64_t budget = WORK_BUDGET;
    for (; t->epoch < t->n_epochs; t->epoch++, t->row = 0) {
        /* Before the shuffle: an epoch that has been shuffled takes its first step before the next pause. */
        if (budget < 0)
            return FM_PAUSED;
        if (t->row == 0 && t->batch_row == 0) {
            if (t->shuffle)
                fm_shuffle(t->bitgen, n, t->index);
            t->epoch_data = 0;
            t->epoch_l2 = 0;
        }
        while (t->row < n) {
            if (budget < 0)
                return FM_PAUSED;
            const int64_t rows = smaller(t->batch_size, n - t->row);
            const int status = run_blocks(c, params, x, y, t, rows, &budget);
            if (status != FM_OK)
                return status;
            t->epoch_data += t->loss_sum / t->weight_sum * (double)rows;
            t->epoch_l2 += l2_term(c, params, t->alpha) / t->weight_sum * (double)rows;
            update(c, params, t);
            t->row += rows;
            t->batch_row = 0;
            budget -= STEP_OVERHEAD + 10 * c->n_params;
        }
        t->data_losses[t->epoch] = t->epoch_data / (double)n;
        t->l2_losses[t->epoch] = t->epoch_l2 / (double)n;
    }
    return FM_OK;
}
