#include "training.h"

#include "solvers.h"

/* Flops between returns to the caller, who lets signals in: 50 ms at 2 GFLOP/s, under 1 ms with vectors. */
#define WORK_BUDGET 100000000
/* What a step costs beyond its arithmetic, in the same unit. */
#define STEP_OVERHEAD 2000

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* g, summed over rows, with the L2 term of the coefs, times `scale`. */
static void scale_gradient(const fm_context *c, const char *params, double alpha, double scale, char *g)
{
    const int64_t n_intercepts = c->n_params - c->n_coefs, offset = c->n_coefs * c->real;
    c->kernels->scale_gradient(c->n_coefs, alpha, scale, params, g);
    c->kernels->scale_gradient(n_intercepts, 0, scale, NULL, g + offset);
}

/* What g has to be multiplied by for the mean over rows of this sum of weights. Where that, times a learning rate, may be
 * more than the type holds, g has been multiplied by a part of it. Then, and where the penalty is so large that it counts
 * for weights that are too small for the solvers, g has its L2 term, and *alpha becomes 0. */
static double scale_of_mean(const fm_context *c, const char *params, double weight_sum, double *alpha, char *g)
{
    const int is_single = c->real == sizeof(float);
    const int is_tiny = fabs(weight_sum) < (is_single ? 0x1p-64 : 0x1p-900);
    double part = 1;
    if (is_tiny) {
        /* At most the reciprocal of the weight: what overflows by it does so in the mean. */
        const int upwards = -ilogb(weight_sum), most = is_single ? 100 : 1000;
        part = ldexp(1, upwards < most ? upwards : most);
    }
    if (is_tiny || *alpha > fabs(weight_sum) * 0x1p20) {
        scale_gradient(c, params, *alpha, part, g);
        *alpha = 0;
    }
    return 1 / (weight_sum * part);
}

int fm_run_pass(const fm_crew *crew, const char *params, const fm_rows *x, const fm_targets *y, fm_pass *pass)
{
    const fm_context *c = crew->contexts;
    double squares = 0;
    const fm_batch batch = {.x = x, .y = y, .rows = x->n_rows, .squares = pass->alpha != 0 ? &squares : NULL};
    int64_t budget = WORK_BUDGET, work;
    if (pass->row == 0) {
        pass->loss_sum = 0;
        pass->weight_sum = 0;
    }
    while (pass->row < x->n_rows) {
        if (budget < 0)
            return FM_PAUSED;
        pass->row +=
            fm_crew_blocks(crew, params, &batch, pass->row, pass->grad, &pass->loss_sum, &pass->weight_sum, &work);
        budget -= work;
    }
    if (pass->weight_sum == 0)
        return FM_ZERO_WEIGHT;
    pass->l2 = 0.5 * pass->alpha * squares;
    if (pass->grad) {
        double alpha = pass->alpha;
        const double scale = scale_of_mean(c, params, pass->weight_sum, &alpha, pass->grad);
        scale_gradient(c, params, alpha, scale, pass->grad);
    }
    return FM_OK;
}

/* One step of a solver. */
typedef struct step {
    fm_update rule;
    char *params, *grad, *m, *v;
    double alpha, scale;
    const double *p;
} step;

static void update_slice(void *job, const fm_context *c, int64_t l, int64_t from, int64_t to)
{
    const step *s = job;
    const fm_layer *layer = &c->layers[l];
    const int64_t n = layer->fan_out, w = layer->coefs + from * n * c->real, b = layer->intercepts;
    const int64_t size = (to - from) * n;
    s->rule(size, size, s->params + w, s->grad + w, s->m ? s->m + w : NULL, s->v ? s->v + w : NULL, s->alpha, s->scale,
            s->p, NULL);
    if (from == 0)
        s->rule(n, 0, s->params + b, s->grad + b, s->m ? s->m + b : NULL, s->v ? s->v + b : NULL, 0, s->scale, s->p,
                NULL);
}

/* The factors of the next step: before its gradient, beside which a processor works on the chain of powers of beta. */
static void prepare(const fm_training *t, double *p)
{
    static void (*const functions[])(const double *, uint64_t, double *) = {
#define FM_ENTRY(name, moments) fm_##name##_prepare,
        FM_SOLVERS(FM_ENTRY)
#undef FM_ENTRY
    };
    functions[t->solver](t->hyper, (uint64_t)t->t + 1, p);
}

/* squares: NULL, or out: the sum of the squared coefs before the step, for a crew of one. */
static void update(const fm_crew *crew, char *params, fm_training *t, const double *p, double *squares)
{
    const fm_context *c = crew->contexts;
    const fm_update rule = c->kernels->update[t->solver];
    char *g = t->grad, *m = t->moments[0], *v = t->moments[1];
    double alpha = t->alpha;
    const double scale = scale_of_mean(c, params, t->weight_sum, &alpha, g);
    t->t += 1;
    if (crew->n > 1) {
        step s = {.rule = rule, .params = params, .grad = g, .m = m, .v = v, .alpha = alpha, .scale = scale, .p = p};
        fm_crew_slices(crew, update_slice, &s);
        return;
    }
    rule(c->n_params, c->n_coefs, params, g, m, v, alpha, scale, p, squares);
}

/* Blocks of the step under way until it is complete or the budget is spent. */
static int run_blocks(const fm_crew *crew, char *params, const fm_rows *x, const fm_targets *y, fm_training *t,
                      int64_t batch_rows, double *squares, int64_t *budget)
{
    const fm_draw draw = {.key = t->key, .step = (uint64_t)t->t};
    const fm_batch batch = {.x = x,
                            .y = y,
                            .index = t->index ? t->index + t->row : NULL,
                            .first = t->row,
                            .rows = batch_rows,
                            .draw = &draw,
                            .squares = squares};
    if (t->batch_row == 0) {
        t->loss_sum = 0;
        t->weight_sum = 0;
    }
    while (t->batch_row < batch_rows) {
        int64_t work;
        if (*budget < 0)
            return FM_PAUSED;
        t->batch_row +=
            fm_crew_blocks(crew, params, &batch, t->batch_row, t->grad, &t->loss_sum, &t->weight_sum, &work);
        *budget -= work;
    }
    return t->weight_sum == 0 ? FM_ZERO_WEIGHT : FM_OK;
}

int fm_run_training(const fm_crew *crew, char *params, const fm_rows *x, const fm_targets *y, fm_training *t)
{
    const fm_context *c = crew->contexts;
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
            double squares = 0, *wanted = t->alpha != 0 ? &squares : NULL;
            const int alone = crew->n == 1; /* then the update, which reads all coefs, sums their squares on the way */
            double p[FM_MAX_HYPER];
            prepare(t, p);
            const int status = run_blocks(crew, params, x, y, t, rows, alone ? NULL : wanted, &budget);
            if (status != FM_OK)
                return status;
            update(crew, params, t, p, alone ? wanted : NULL);
            t->epoch_data += t->loss_sum / t->weight_sum * (double)rows;
            t->epoch_l2 += 0.5 * t->alpha * squares / t->weight_sum * (double)rows;
            t->row += rows;
            t->batch_row = 0;
            budget -= STEP_OVERHEAD + 10 * c->n_params;
        }
        t->data_losses[t->epoch] = t->epoch_data / (double)n;
        t->l2_losses[t->epoch] = t->epoch_l2 / (double)n;
    }
    return FM_OK;
}
