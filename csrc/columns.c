#include "columns.h"

#include <string.h>

/* Entries of a CSR matrix, one after another. */
typedef struct span {
    int64_t begin, end;
} span;

/* The first of entries begin .. end - 1, their columns ascending, with column `column` or a later one. */
static int64_t first_from(const int32_t *indices, int64_t begin, int64_t end, int64_t column)
{
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        if (indices[middle] < column)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* What row i of a block has in columns from .. to - 1; i from -FM_BLOCK to -1: of the block before. */
static span entries_of(const fm_context *c, const fm_block *b, int64_t i, int64_t from, int64_t to)
{
    const fm_rows *x = b->x;
    const int64_t r = b->index ? b->index[i] : b->first + i;
    span s = {x->indptr[r], x->indptr[r + 1]};
    if (from > 0)
        s.begin = first_from(x->indices, s.begin, s.end, from);
    if (to < c->net->units[0])
        s.end = first_from(x->indices, s.begin, s.end, to);
    return s;
}

static int64_t count_entries(const fm_context *c, const fm_block *b, int64_t first, int64_t last, int64_t from,
                             int64_t to)
{
    int64_t n = 0;
    for (int64_t i = first; i < last; i++) {
        const span s = entries_of(c, b, i, from, to);
        n += s.end - s.begin;
    }
    return n;
}

/* Row by row: all of the sum is set to zero, and added where it is not the gradient itself. */
static void add_rows(const fm_context *c, const fm_block *b, int64_t from, int64_t to, char *grad, int first)
{
    const fm_layer *layer = c->layers;
    const int64_t n = layer->fan_out, place = from * n * c->real, size = (to - from) * n;
    char *all = first ? grad : c->scratch_grad;
    int64_t indptr[2 * FM_BLOCK]; /* of every other row the entries that count */
    int32_t index[FM_BLOCK];
    for (int64_t i = 0; i < b->rows; i++) {
        const span s = entries_of(c, b, i, from, to);
        indptr[2 * i] = s.begin;
        indptr[2 * i + 1] = s.end;
        index[i] = (int32_t)(2 * i);
    }
    memset(all + place, 0, (size_t)(size * c->real));
    c->kernels->csr_outer(b->rows, n, indptr, b->x->indices, b->x->data, index, layer->delta, layer->ld, all);
    if (!first)
        c->kernels->add(size, all + place, grad + place);
}

/* A block's entries, column by column. */
typedef struct by_columns {
    char *data;      /* real */
    int64_t *starts; /* (n + 1): where those of a listed column begin */
    int32_t *columns, *rows;
    uint32_t *seen; /* for each column: its entries, then where the next one goes */
    int64_t n;
} by_columns;

/* In `seen`: the block before has the column. */
#define FM_SEEN_BEFORE 0x80000000u

/* Whether finding the columns of the entries costs less than what is spared. By rows, a block costs as much as writing and
 * reading all of the gradient; by columns, some cycles for each column and each entry. */
static int are_columns_better(const fm_context *c, int64_t entries, int64_t columns)
{
    enum { LEAST_ROW_BYTES = 128, MOST_ENTRIES = 16 };
    return c->layers->fan_out * c->real >= LEAST_ROW_BYTES && entries <= MOST_ENTRIES * columns;
}

/* Where they go, in the place of the scratch gradient; returns whether there is room and they are worth it. */
static int find_room(const fm_context *c, const fm_block *b, int64_t from, int64_t to, by_columns *t)
{
    enum { ALIGNED = 8 };
    const int64_t m = to - from, bytes = m * c->layers->fan_out * c->real;
    const int64_t entries = count_entries(c, b, 0, b->rows, from, to);
    if (!are_columns_better(c, entries, m))
        return 0;
    const int64_t listed = entries + count_entries(c, b, -FM_BLOCK, 0, from, to), n = (listed < m ? listed : m) + 1;
    char *base = c->scratch_grad + from * c->layers->fan_out * c->real;
    int64_t used = (int64_t)(-(uintptr_t)base % ALIGNED);
    t->starts = (int64_t *)(base + used);
    used += n * (int64_t)sizeof(int64_t);
    t->data = base + used;
    used += entries * c->real;
    t->columns = (int32_t *)(base + used);
    used += n * (int64_t)sizeof(int32_t);
    t->rows = (int32_t *)(base + used);
    used += entries * (int64_t)sizeof(int32_t);
    t->seen = (uint32_t *)(base + used);
    used += m * (int64_t)sizeof(uint32_t);
    return used <= bytes && entries < FM_SEEN_BEFORE;
}

/* Entries are counted and placed by their columns, whatever these are: rows that are not in order, against the rules, must
 * not lead out of the workspace. */
static int64_t place_of(const fm_block *b, int64_t e, int64_t from) { return (int64_t)b->x->indices[e] - from; }

/* List the columns of the block and of the one before, whose rows of the gradient may be -0 and become +0. */
static void list_columns(const fm_context *c, const fm_block *b, int64_t from, int64_t to, by_columns *t)
{
    const uint64_t m = (uint64_t)(to - from);
    memset(t->seen, 0, m * sizeof(uint32_t));
    for (int64_t i = -FM_BLOCK; i < b->rows; i++) {
        const span s = entries_of(c, b, i, from, to);
        const uint32_t kept = i < 0 ? 0 : UINT32_MAX, seen = i < 0 ? FM_SEEN_BEFORE : 1;
        for (int64_t e = s.begin; e < s.end; e++) {
            const uint64_t j = (uint64_t)place_of(b, e, from);
            if (j < m)
                t->seen[j] = (t->seen[j] & kept) + seen;
        }
    }
    int64_t n = 0;
    uint32_t sum = 0;
    for (uint64_t j = 0; j < m; j++) { /* without a branch, which would be a matter of chance */
        const uint32_t seen = t->seen[j];
        t->columns[n] = (int32_t)(from + (int64_t)j);
        t->starts[n] = sum;
        t->seen[j] = sum;
        n += seen != 0;
        sum += seen & ~FM_SEEN_BEFORE;
    }
    t->starts[n] = sum;
    t->n = n;
}

static inline void place_entries(const fm_context *c, const fm_block *b, int64_t from, int64_t to, const int64_t real,
                                 const by_columns *t)
{
    const uint64_t m = (uint64_t)(to - from);
    const char *data = b->x->data;
    for (int64_t i = 0; i < b->rows; i++) {
        const span s = entries_of(c, b, i, from, to);
        for (int64_t e = s.begin; e < s.end; e++) {
            const uint64_t j = (uint64_t)place_of(b, e, from);
            if (j >= m)
                continue;
            const int64_t k = t->seen[j]++;
            t->rows[k] = (int32_t)i;
            memcpy(t->data + k * real, data + e * real, (size_t)real);
        }
    }
}

void fm_sparse_gradient(const fm_context *c, const fm_block *b, int64_t from, int64_t to, char *grad, int first)
{
    const fm_layer *layer = c->layers;
    by_columns t;
    if (first || !find_room(c, b, from, to, &t)) {
        add_rows(c, b, from, to, grad, first);
        return;
    }
    list_columns(c, b, from, to, &t);
    if (c->net->dtype == FM_FLOAT32)
        place_entries(c, b, from, to, sizeof(float), &t);
    else
        place_entries(c, b, from, to, sizeof(double), &t);
    c->kernels->csr_columns(t.n, layer->fan_out, t.starts, t.rows, t.data, t.columns, layer->delta, layer->ld, grad);
}
