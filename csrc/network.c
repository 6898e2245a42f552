#include "network.h"

#include "activations.h"
#include "columns.h"
#include "zeros.h"

/* The rows of a block, or slice of one, in a matrix that has a whole block's. */
static char *at(const fm_context *c, const fm_block *b, char *matrix, int64_t ld)
{
    return matrix + b->place * ld * c->real;
}

/* How many elements behind a row the one lies that is fetched meanwhile, where rows are used where the caller has them: the
 * distance of blocks, or of tiles for rows so long that processors, which recognise what is read in order within a page
 * of memory, fetch them late. Rows that have been read before must come from farther away; 0 for the last of them. */
static int64_t ahead_of(const fm_context *c, const fm_block *b)
{
    enum { LONG_BYTES = 1024, MOST_BYTES = 131072, TILE = 8 };
    if (b->index || !fm_is_read_in_place(c->net, b->x) || b->first + c->rows >= b->x->n_rows)
        return 0;
    const int64_t bytes = b->x->ldx * c->real, most = MOST_BYTES / bytes;
    if (bytes >= LONG_BYTES && !b->read)
        return TILE * b->x->ldx;
    return (c->rows < most ? c->rows : most) * b->x->ldx;
}

/* Offset of a block's rows in CSR's indptr: rows that are not indexed start at `first`. */
static const int64_t *sparse_rows(const fm_block *b) { return b->index ? b->x->indptr : b->x->indptr + b->first; }

/* Rows that go through product and activation together, so that the activation finds them in the nearest cache: the
 * bytes of a strip, and what makes full tiles of every width. */
enum { STRIP_BYTES = 16384, STRIP_MULTIPLE = 24 };

static int64_t strip_rows(const fm_context *c, int64_t rows, int64_t ld)
{
    const int64_t strip = STRIP_BYTES / (ld * c->real) / STRIP_MULTIPLE * STRIP_MULTIPLE;
    const int64_t least = strip > STRIP_MULTIPLE ? strip : STRIP_MULTIPLE;
    return rows < least + least / 2 ? rows : least;
}

void fm_layer_forward(const fm_context *c, const char *params, int64_t l, const fm_block *b, const char *in,
                      int64_t ld_in, char *z, char *a, int64_t ld, const fm_draw *draw)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l];
    const char *w = params + layer->coefs, *bias = params + layer->intercepts;
    const int64_t m = b->rows, n = layer->fan_out;
    const int sparse = l == 0 && b->x->indptr, softmax = layer->activation == FM_ACTIVATION_softmax;
    const int64_t ahead = l == 0 ? ahead_of(c, b) : 0;
    const int ending = z == a && !sparse && n > 1 ? layer->value_ending : FM_END_PLAIN;
    const int skipped = !sparse && fm_may_skip(m, n, layer->fan_in) &&
                        fm_is_sparse(c, m, layer->fan_in, n, in, ld_in) &&
                        k->skipping_product(m, n, layer->fan_in, in, ld_in, w, n, 0, bias, z, z, ld, ending, NULL);
    const int64_t strip = sparse || softmax || ending != FM_END_PLAIN ? m : strip_rows(c, m, ld);
    for (int64_t i = 0; i < m; i += strip) {
        const int64_t rows = m - i < strip ? m - i : strip, place = i * ld * c->real;
        const char *from = in ? in + i * ld_in * c->real : NULL;
        fm_draw own;
        if (sparse && n == 1)
            k->csr_dot(rows, sparse_rows(b), b->x->indices, b->x->data, b->index, w, bias, z);
        else if (sparse)
            k->csr_product(rows, n, sparse_rows(b), b->x->indices, b->x->data, b->index, w, bias, z, ld);
        else if (n == 1)
            k->dot(rows, layer->fan_in, from, ld_in, w, bias, z + place);
        else if (!skipped)
            k->product(rows, n, layer->fan_in, from, ld_in, w, n, bias, z + place, ld, ahead, ending, NULL);
        if (!softmax && ending == FM_END_PLAIN)
            layer->kernel->value(rows * ld, z + place, a + place, layer->activation_params,
                                 fm_draw_from(draw, i, &own));
    }
    if (softmax && a)
        k->softmax(m, n, z, ld, a, ld, c->loss_scratch);
}

void fm_block_outputs(const fm_context *c, const char *params, const fm_block *b, char *out, void *const *z,
                      void *const *a)
{
    const int64_t last = c->n_layers - 1;
    const char *in = b->dense;
    int64_t ld = b->ld;
    for (int64_t l = 0; l <= last; l++) {
        const int64_t width = c->layers[l].fan_out, place = b->first * width * c->real;
        char *result = l == last ? out + place : a ? (char *)a[l] + place : c->delta[l % 2];
        char *before = z ? (char *)z[l] + place : result;
        const int64_t ld_out = l == last || a || z ? width : c->layers[l].ld;
        fm_layer_forward(c, params, l, b, in, ld, before, result, ld_out, NULL);
        in = result;
        ld = ld_out;
    }
}

/* Rows from .. to - 1 of dW = a^T delta over the block, where a or delta has many zeros; returns whether that is done. */
static int skipping_gradient(const fm_context *c, int64_t l, const fm_block *b, int64_t from, int64_t to,
                             const char *in, int64_t ld_in, char *grad, int first)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l];
    const int64_t m = to - from, n = layer->fan_out, ld = layer->ld;
    const int64_t place = layer->coefs + from * n * c->real;
    char *scratch = c->scratch_grad + place, *dw = grad + place, *sum = first ? dw : scratch;
    char *transposed = layer->transposed ? layer->transposed + from * c->transposed_ld * c->real : NULL;
    /* Deltas may need more room. What is transposed for the layer above is not needed any more, unless by another thread. */
    char *transposed_delta = m >= n ? transposed : c->shared || l == c->n_layers - 1 ? NULL : layer[1].transposed;
    int64_t of_inputs = FM_IN_FULL, of_deltas = FM_IN_FULL;
    if (fm_may_skip(m, n, b->rows))
        of_inputs = fm_skipping_cost(c, b->rows, m, n, FM_STEP_COST, in, ld_in);
    if (first && transposed_delta && fm_may_skip(n, m, b->rows))
        of_deltas = fm_skipping_cost(c, b->rows, n, m, FM_TURNED_STEP_COST, layer->delta, ld);
    if (of_inputs == FM_IN_FULL && of_deltas == FM_IN_FULL)
        return 0;
    if (of_deltas < of_inputs) { /* dW^T = delta^T a */
        k->transpose(b->rows, n, layer->delta, ld, transposed_delta, c->transposed_ld);
        if (!k->skipping_product(n, m, b->rows, transposed_delta, c->transposed_ld, in, ld_in, 0, NULL, scratch,
                                 scratch, m, FM_END_PLAIN, NULL))
            return 0;
        k->transpose(n, m, scratch, m, dw, n);
        return 1;
    }
    k->transpose(b->rows, m, in, ld_in, transposed, c->transposed_ld);
    if (!k->skipping_product(m, n, b->rows, transposed, c->transposed_ld, layer->delta, ld, 0, NULL, sum, sum, n,
                             FM_END_PLAIN, NULL))
        return 0;
    if (!first)
        k->add(m * n, sum, dw);
    return 1;
}

/* dW = a^T delta and db = sum of delta over the block. */
void fm_layer_gradient(const fm_context *c, int64_t l, const fm_block *b, int64_t from, int64_t to, char *grad,
                       int first, int sums)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l], *below = l > 0 ? layer - 1 : NULL;
    const int64_t m = to - from, n = layer->fan_out, ld_in = below ? below->ld : b->ld;
    const char *in = (below ? below->a : b->dense) + from * c->real, *delta = layer->delta;
    const int64_t place = layer->coefs + from * n * c->real;
    char *dw = grad + place, *db = sums ? grad + layer->intercepts : NULL;
    const int sparse = l == 0 && b->x->indptr;
    /* Whether a layer is too small to skip anything is seen here: tiny networks feel the call. */
    const int is_small = m * n * b->rows < FM_LEAST_WORK;
    if (sparse) {
        fm_sparse_gradient(c, b, from, to, grad, first);
    } else if (n == 1) {
        k->outer(b->rows, 1, m, delta, 1, in, ld_in, dw, NULL, !first); /* the lanes run over the inputs */
    } else if (is_small || !skipping_gradient(c, l, b, from, to, in, ld_in, grad, first)) {
        k->outer(b->rows, m, n, in, ld_in, delta, layer->ld, dw, db, !first);
        return;
    }
    if (db)
        k->column_sum(b->rows, n, delta, layer->ld, db, !first);
}

/* What the derivative of a layer's activation needs. */
static char *needed(const fm_layer *layer) { return layer->needs == FM_NEEDS_PREACTIVATION ? layer->z : layer->a; }

/* out = delta W^T of layer l, which may end with a derivative. Panel by panel of the coefs, each transposed just before
 * it is used: a copy of all of them would drive other things out of the cache. */
static void delta_product(const fm_context *c, const char *w, int64_t l, const fm_block *b, const char *delta,
                          char *out, int64_t ld_out, int ending, const char *v)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l];
    const int64_t rows = b->rows, m = layer->fan_in, n = layer->fan_out, ld = layer->ld;
    char *panel = c->panel + b->slice * c->panel_bytes;
    /* W is looked through before, because there is no second try: out may be v. */
    if (fm_may_skip(rows, m, n) && fm_is_sparse(c, rows, n, m, delta, ld) && k->finite(m * n, w)) {
        char *partial = out == v ? c->delta[(c->n_layers - l) % 2] : out;
        k->skipping_product(rows, m, n, delta, ld, w, n, 1, NULL, partial, out, ld_out, ending, v);
        return;
    }
    if (n == 1) {
        k->product(rows, m, 1, delta, 1, w, m, NULL, out, ld_out, 0, ending, v);
        return;
    }
    for (int64_t from = 0, left = layer->wider_panels, columns; from < m; from += columns, left--) {
        const int64_t wide = layer->panel + (left > 0 ? k->width : 0), place = from * c->real;
        columns = m - from < wide ? m - from : wide;
        k->transpose(columns, n, w + place * n, n, panel, wide);
        k->product(rows, columns, n, delta, ld, panel, wide, NULL, out + place, ld_out, 0, ending, v + place);
    }
}

/* delta of the layer below: (delta W^T) * g'(v). grad: NULL, or where the gradient of a narrow layer goes, computed on the
 * way; first, sums: as in fm_layer_gradient. Returns whether the gradient of the intercepts below is there, too. */
static int layer_delta(const fm_context *c, const char *params, int64_t l, const fm_block *b, fm_draw *draw, char *grad,
                       int first, int sums)
{
    const fm_layer *layer = &c->layers[l], *below = &c->layers[l - 1];
    const char *w = params + layer->coefs, *delta = at(c, b, layer->delta, layer->ld);
    const char *v = at(c, b, needed(below), below->ld);
    char *out = at(c, b, below->delta, below->ld);
    const int ending = layer->fan_in > 1 ? below->derivative_ending : FM_END_PLAIN;
    if (draw) {
        draw->layer = l - 1;
        draw->ld = below->ld;
    }
    if (grad)
        c->kernels->narrow_back(b->rows, layer->fan_in, layer->fan_out, at(c, b, below->a, below->ld), below->ld, delta,
                                layer->ld, w, ending, v, out, below->ld, grad + layer->coefs,
                                sums ? grad + layer->intercepts : NULL,
                                ending == FM_END_PLAIN ? NULL : grad + below->intercepts, !first);
    else if (layer->fan_in == 1)
        c->kernels->dot(b->rows, layer->fan_out, delta, layer->ld, w, NULL, out);
    else
        delta_product(c, w, l, b, delta, out, below->ld, ending, v);
    if (ending == FM_END_PLAIN)
        below->kernel->derivative(b->rows * below->ld, v, out, below->activation_params, draw);
    return grad && ending != FM_END_PLAIN;
}

/* Loss of the outputs and, where wanted, the delta of the output layer. */
static void output_loss(const fm_context *c, const fm_block *b, const fm_targets *y, int wanted, fm_draw *draw,
                        double *loss_sum, double *weight_sum)
{
    const fm_layer *last = &c->layers[c->n_layers - 1];
    const int64_t offset = b->index ? 0 : b->first, n = last->fan_out;
    char *delta = wanted ? at(c, b, last->delta, last->ld) : NULL;
    fm_outputs o = {
        .rows = b->rows,
        .n_outputs = n,
        .loss = c->net->loss,
        .own = c->net->loss == FM_OWN ? c->net->own_loss : NULL,
        .softmax = last->activation == FM_ACTIVATION_softmax,
        .canonical = c->net->canonical,
        .hard = y->hard,
        .a = at(c, b, last->a, last->ld),
        .lda = last->ld,
        .y = y->y ? (const char *)y->y + offset * n * c->real : NULL,
        .codes = y->codes ? y->codes + offset : NULL,
        .weight = y->weight ? (const char *)y->weight + offset * c->real : NULL,
        .index = b->index,
        .delta = delta,
        .ldd = last->ld,
        .loss_sum = 0,
        .weight_sum = 0,
        .scratch = c->loss_scratch + b->slice * c->loss_scratch_bytes,
    }; /* every field by name: compilers clear a struct of which some are missing, slowly */
    c->kernels->loss(&o);
    *loss_sum = o.loss_sum;
    *weight_sum = o.weight_sum;
    if (delta && !o.canonical && !o.softmax)
        last->kernel->derivative(b->rows * last->ld, at(c, b, needed(last), last->ld), delta, last->activation_params,
                                 draw);
}

/* Whether the kernels for a single row serve. */
static int is_single(const fm_context *c, const fm_block *b)
{
    return b->rows == 1 && c->fits_vectors && !b->x->indptr;
}

static void single_forward(const fm_context *c, const char *params, fm_block *b)
{
    const char *in = b->dense;
    for (int64_t l = 0; l < c->n_layers; l++) {
        const fm_layer *layer = &c->layers[l];
        char *z = at(c, b, layer->z, layer->ld), *a = at(c, b, layer->a, layer->ld);
        c->kernels->row_forward(layer->fan_out, layer->fan_in, in, params + layer->coefs, params + layer->intercepts,
                                layer->activation == FM_ACTIVATION_softmax ? -1 : layer->activation,
                                layer->activation_params, z == a ? NULL : z, a);
        in = a;
    }
}

static void single_backward(const fm_context *c, const char *params, const fm_block *b, char *grad)
{
    const fm_kernels *k = c->kernels;
    for (int64_t l = c->n_layers - 1; l >= 0; l--) {
        const fm_layer *layer = &c->layers[l], *below = l > 0 ? layer - 1 : NULL;
        const int64_t n = layer->fan_out, m = layer->fan_in;
        const char *in = below ? at(c, b, below->a, below->ld) : b->dense;
        const char *delta = at(c, b, layer->delta, layer->ld);
        k->row_gradient(n, m, in, delta, grad + layer->coefs, grad + layer->intercepts);
        if (below)
            k->row_delta(n, m, delta, params + layer->coefs, below->activation, below->activation_params,
                         at(c, b, needed(below), below->ld), at(c, b, below->delta, below->ld));
    }
}

/* Fetch the rows and run them through all layers; returns the work. */
static int64_t block_forward(const fm_context *c, const char *params, fm_block *b, fm_draw *draw)
{
    int64_t work = 0;
    fm_block_input(c, b, 0);
    if (is_single(c, b)) {
        single_forward(c, params, b);
        return 2 * c->n_params;
    }
    const char *in = b->dense;
    int64_t ld = b->ld;
    for (int64_t l = 0; l < c->n_layers; l++) {
        const fm_layer *layer = &c->layers[l];
        char *z = at(c, b, layer->z, layer->ld), *a = at(c, b, layer->a, layer->ld);
        /* A softmax stays as it is here: the loss kernel applies it. */
        const int softmax = layer->activation == FM_ACTIVATION_softmax;
        if (draw) {
            draw->layer = l;
            draw->ld = layer->ld;
        }
        fm_layer_forward(c, params, l, b, in, ld, softmax ? a : z, softmax ? NULL : a, layer->ld, draw);
        in = a;
        ld = layer->ld;
        work += b->rows * (2 * layer->fan_in + FM_ACTIVATION_FLOPS) * layer->fan_out;
    }
    return work;
}

int64_t fm_block_pass(const fm_context *c, const char *params, fm_block *b, const fm_targets *y, char *grad, int first,
                      fm_draw *draw, double *loss_sum, double *weight_sum)
{
    const int64_t work = block_forward(c, params, b, draw);
    output_loss(c, b, y, grad != NULL, draw, loss_sum, weight_sum);
    if (!grad)
        return work;
    if (first && is_single(c, b)) {
        single_backward(c, params, b, grad);
        return 3 * work;
    }
    int sums = 1;
    for (int64_t l = c->n_layers - 1; l >= 0; l--) {
        const fm_layer *layer = &c->layers[l];
        const int at_once = l > 0 && layer->fan_out <= FM_NARROW && layer->fan_in > 1;
        if (!at_once)
            fm_layer_gradient(c, l, b, 0, layer->fan_in, grad, first, sums);
        if (l > 0)
            sums = !layer_delta(c, params, l, b, draw, at_once ? grad : NULL, first, sums);
    }
    return 3 * work;
}

int64_t fm_slice_pass(const fm_context *c, const char *params, fm_block *b, const fm_targets *y, int deltas,
                      fm_draw *draw)
{
    const int64_t work = block_forward(c, params, b, draw);
    if (!deltas)
        return work;
    double loss_sum, weight_sum; /* of the slice: not those of the block */
    output_loss(c, b, y, 1, draw, &loss_sum, &weight_sum);
    for (int64_t l = c->n_layers - 1; l > 0; l--)
        layer_delta(c, params, l, b, draw, NULL, 0, 0);
    return 3 * work;
}

void fm_block_loss(const fm_context *c, const fm_block *b, const fm_targets *y, double *loss_sum, double *weight_sum)
{
    output_loss(c, b, y, 0, NULL, loss_sum, weight_sum);
}
