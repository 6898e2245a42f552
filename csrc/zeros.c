#include "zeros.h"

#include "dispatch.h"

/* Rows that are looked at. */
enum { SAMPLES = 8 };

int64_t fm_skipping_cost(const fm_context *c, int64_t rows, int64_t columns, int64_t n, int step_cost, const char *a,
                         int64_t lda)
{
    const fm_kernels *k = c->kernels;
    const int64_t all = (n + k->width - 1) / k->width, panels = (all + k->row_panel - 1) / k->row_panel;
    const int64_t chains = panels * fm_chains(), cost = panels * step_cost + (all > chains ? all : chains);
    int64_t nonzero = 0;
    for (int64_t s = 0; s < SAMPLES; s++) {
        nonzero += k->count_nonzero(columns, a + rows * s / SAMPLES * lda * c->real);
        if (s == 1 && nonzero == 2 * columns)
            return FM_IN_FULL;
    }
    return nonzero * cost < SAMPLES * columns * all ? nonzero * cost : FM_IN_FULL;
}

int fm_is_sparse(const fm_context *c, int64_t rows, int64_t columns, int64_t n, const char *a, int64_t lda)
{
    return fm_skipping_cost(c, rows, columns, n, FM_STEP_COST, a, lda) < FM_IN_FULL;
}
