/* The rows of a block of input: used where the caller has them, or fetched. */
#include <stdlib.h>
#include <string.h>

#include "network.h"

/* Columns that are fetched at a time where the numbers of a row are farther apart than rows: their lines stay in the nearest
 * cache for all rows of a block. */
enum { COLUMNS_AT_A_TIME = 8 };

static int is_in_place(const fm_context *c, const fm_block *b)
{
    return !b->index && fm_is_read_in_place(c->net, b->x);
}

/* Whether rows lie column by column, as Fortran has them. */
static int is_turned(const fm_context *c, const fm_block *b)
{
    const fm_rows *x = b->x;
    return x->ldx == 1 && x->dx != 1 && x->x_dtype == c->net->dtype && !b->index;
}

static const char *row_of(const fm_block *b, int64_t i)
{
    const fm_rows *x = b->x;
    return (const char *)x->x + (b->index ? b->index[i] : b->first + i) * x->ldx * fm_real_bytes(x->x_dtype);
}

/* n numbers of a row, dx apart. */
#define DEFINE_CONVERT(name, from, to)                                  \
    static void name(int64_t n, const char *row, int64_t dx, char *out) \
    {                                                                   \
        const from *x = (const from *)row;                              \
        if (dx == 1)                                                    \
            for (int64_t j = 0; j < n; j++)                             \
                ((to *)out)[j] = (to)x[j];                              \
        else                                                            \
            for (int64_t j = 0; j < n; j++)                             \
                ((to *)out)[j] = (to)x[j * dx];                         \
    }
DEFINE_CONVERT(float_to_float, float, float)
DEFINE_CONVERT(float_to_double, float, double)
DEFINE_CONVERT(double_to_float, double, float)
DEFINE_CONVERT(double_to_double, double, double)

static void fetch(const fm_context *c, const fm_block *b, char *out)
{
    const fm_rows *x = b->x;
    const int64_t width = c->net->units[0];
    if (x->dx == 1 &&
        x->x_dtype == c->net->dtype) { /* shuffled, for the most part: a step of one row feels what follows */
        for (int64_t i = 0; i < b->rows; i++)
            memcpy(out + i * c->gathered_ld * c->real, row_of(b, i), (size_t)(width * c->real));
        return;
    }
    if (is_turned(c, b)) {
        c->kernels->transpose(width, b->rows, row_of(b, 0), x->dx, out, c->gathered_ld);
        return;
    }
    const int64_t step = llabs(x->dx) < llabs(x->ldx) ? width : COLUMNS_AT_A_TIME;
    const int from_float = x->x_dtype == FM_FLOAT32, to_float = c->net->dtype == FM_FLOAT32;
    for (int64_t j = 0; j < width; j += step) {
        const int64_t n = width - j < step ? width - j : step;
        for (int64_t i = 0; i < b->rows; i++) {
            const char *row = row_of(b, i) + j * x->dx * fm_real_bytes(x->x_dtype);
            char *to = out + (i * c->gathered_ld + j) * c->real;
            if (from_float && to_float)
                float_to_float(n, row, x->dx, to);
            else if (from_float)
                float_to_double(n, row, x->dx, to);
            else if (to_float)
                double_to_float(n, row, x->dx, to);
            else
                double_to_double(n, row, x->dx, to);
        }
    }
}

void fm_block_place(const fm_context *c, fm_block *b)
{
    if (b->x->indptr)
        return;
    const int in_place = is_in_place(c, b);
    b->dense = in_place ? row_of(b, 0) : c->gathered + b->place * c->gathered_ld * c->real;
    b->ld = in_place ? b->x->ldx : c->gathered_ld;
}

/* Whether n numbers of each of some lines are finite. */
static int are_finite(const fm_context *c, int64_t lines, int64_t n, const char *x, int64_t distance)
{
    for (int64_t i = 0; i < lines; i++)
        if (!c->kernels->finite(n, x + i * distance * c->real))
            return 0;
    return 1;
}

static int is_finite(const fm_context *c, const fm_block *b)
{
    const fm_rows *x = b->x;
    const int64_t width = c->net->units[0];
    if (x->indptr) {
        const int64_t begin = x->indptr[b->first], end = x->indptr[b->first + b->rows];
        return are_finite(c, 1, end - begin, (const char *)x->data + begin * c->real, 0);
    }
    if (b->ld == width)
        return are_finite(c, 1, b->rows * width, b->dense, 0);
    if (is_turned(c, b) && width < b->rows) /* fewer lines */
        return are_finite(c, width, b->rows, row_of(b, 0), x->dx);
    return are_finite(c, b->rows, width, b->dense, b->ld);
}

int fm_block_fetch(const fm_context *c, fm_block *b, int check)
{
    fm_block_place(c, b);
    if (!b->x->indptr && !is_in_place(c, b))
        fetch(c, b, c->gathered + b->place * c->gathered_ld * c->real);
    return !check || is_finite(c, b);
}

int fm_is_csr(const fm_rows *x, int64_t columns, int64_t n_entries)
{
    /* Without a loop over each row: of a few entries, the processor would guess its end wrongly. */
    const int32_t *index = x->indices;
    const int64_t stored = x->indptr[x->n_rows];
    int64_t falls = 0, outside = x->indptr[0] != 0 || stored > n_entries;
    for (int64_t i = 0; i < x->n_rows; i++)
        outside += x->indptr[i + 1] < x->indptr[i];
    if (outside)
        return 0;
    for (int64_t e = 0; e < stored; e++)
        outside += index[e] < 0 || index[e] >= columns;
    for (int64_t e = 1; e < stored; e++)
        falls += index[e] <= index[e - 1];
    for (int64_t i = 0; i < x->n_rows; i++) { /* from row to row they may fall */
        const int64_t begin = x->indptr[i];
        if (begin > 0 && begin < x->indptr[i + 1])
            falls -= index[begin] <= index[begin - 1];
    }
    return outside == 0 && falls == 0;
}

/* Entries begin .. end - 1 of column j to their rows, whose next places are counted on. */
#define DEFINE_SPREAD(name, real)                                                                              \
    static void name(int64_t j, int64_t begin, int64_t end, const int32_t *rows, const real *x, int64_t *next, \
                     int32_t *columns, real *out)                                                              \
    {                                                                                                          \
        for (int64_t e = begin; e < end; e++) {                                                                \
            const int64_t place = next[rows[e]]++;                                                             \
            columns[place] = (int32_t)j;                                                                       \
            out[place] = x[e];                                                                                 \
        }                                                                                                      \
    }
DEFINE_SPREAD(spread_floats, float)
DEFINE_SPREAD(spread_doubles, double)

int fm_turn_csc(const fm_rows *x, int64_t columns, int64_t n_entries, int64_t *indptr, int32_t *indices, void *data)
{
    const int64_t n = x->n_rows;
    memset(indptr, 0, (size_t)(n + 1) * sizeof(int64_t));
    if (x->indptr[0] != 0 || x->indptr[columns] > n_entries)
        return 0;
    for (int64_t j = 0; j < columns; j++)
        if (x->indptr[j + 1] < x->indptr[j])
            return 0;
    for (int64_t e = 0; e < x->indptr[columns]; e++) {
        if (x->indices[e] < 0 || x->indices[e] >= n)
            return 0;
        indptr[x->indices[e] + 1]++;
    }
    for (int64_t i = 0; i < n; i++)
        indptr[i + 1] += indptr[i];
    for (int64_t j = 0; j < columns; j++) {
        const int64_t begin = x->indptr[j], end = x->indptr[j + 1];
        if (x->x_dtype == FM_FLOAT32)
            spread_floats(j, begin, end, x->indices, x->data, indptr, indices, data);
        else
            spread_doubles(j, begin, end, x->indices, x->data, indptr, indices, data);
    }
    memmove(indptr + 1, indptr, (size_t)n * sizeof(int64_t)); /* each has become where the next row begins */
    indptr[0] = 0;
    return 1;
}
