#include "network.h"

#include <string.h>

#include "activations.h"
#include "dispatch.h"
#include "losses.h"

enum { CACHE_LINE = 64 };

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

static const int activation_needs[] = {
#define FM_ENTRY(name, needs, n_params) FM_NEEDS_##needs,
    FM_ACTIVATIONS(FM_ENTRY)
#undef FM_ENTRY
        FM_NEEDS_OUTPUT, /* softmax */
};

int fm_activation_needs(int index)
{
    return index >= 0 && index < FM_N_ACTIVATIONS ? activation_needs[index] : FM_NEEDS_NOTHING;
}

int fm_check_network(const fm_network *net)
{
    if (net->n_layers < 1 || net->loss < 0 || net->loss >= FM_N_LOSSES)
        return FM_BAD_ARGUMENT;
    for (int l = 0; l <= net->n_layers; l++)
        if (net->units[l] < 1)
            return FM_BAD_ARGUMENT;
    for (int l = 0; l < net->n_layers; l++) {
        const int activation = net->activations[l], last = l == net->n_layers - 1;
        if (activation < 0 || activation >= FM_N_ACTIVATIONS || (activation == FM_ACTIVATION_softmax && !last))
            return FM_BAD_ARGUMENT;
    }
    return FM_OK;
}

int fm_check_differentiable(const fm_network *net)
{
    for (int l = 0; l < net->n_layers; l++)
        if (activation_needs[net->activations[l]] == FM_NEEDS_NOTHING)
            return FM_NOT_DIFFERENTIABLE;
    return FM_OK;
}

/* The next `bytes` of a workspace, on a cache line; with base NULL only the count advances. */
static char *take(char *base, int64_t *used, int64_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used += round_up(bytes, CACHE_LINE);
    return p;
}

static void lay_out_layers(fm_context *c, fm_layer *layers)
{
    const fm_network *net = c->net;
    const int64_t line = CACHE_LINE / c->real;
    c->n_coefs = 0;
    c->n_params = 0;
    for (int64_t l = 0; l < c->n_layers; l++)
        c->n_coefs += net->units[l] * net->units[l + 1];
    int64_t coefs = 0, intercepts = c->n_coefs;
    for (int64_t l = 0; l < c->n_layers; l++) {
        const int64_t fan_in = net->units[l], fan_out = net->units[l + 1];
        if (layers)
            layers[l] = (fm_layer){
                .fan_in = fan_in,
                .fan_out = fan_out,
                .ld = fan_out == 1 ? 1 : round_up(fan_out, line),
                .coefs = coefs * c->real,
                .intercepts = intercepts * c->real,
                .activation = net->activations[l],
                .needs = activation_needs[net->activations[l]],
                .activation_params = net->activation_params + l * FM_MAX_ACTIVATION_PARAMS,
            };
        coefs += fan_in * fan_out;
        intercepts += fan_out;
    }
    c->n_params = intercepts;
}

int64_t fm_layout(fm_context *c, const fm_network *net, int purpose, int64_t rows, char *base)
{
    int64_t used = 0, widest = 0;
    *c = (fm_context){.kernels = fm_kernels_chosen(net->dtype), .net = net, .rows = rows, .n_layers = net->n_layers};
    c->real = net->dtype == FM_FLOAT32 ? sizeof(float) : sizeof(double);
    c->layers = (fm_layer *)take(base, &used, c->n_layers * (int64_t)sizeof(fm_layer));
    lay_out_layers(c, c->layers);
    const int64_t line = CACHE_LINE / c->real, n_outputs = net->units[net->n_layers];
    for (int64_t l = 1; l <= c->n_layers; l++)
        if (round_up(net->units[l], line) > widest)
            widest = round_up(net->units[l], line);
    for (int i = 0; i < 2; i++)
        c->delta[i] = take(base, &used, rows * widest * c->real);
    c->loss_scratch = take(base, &used, c->kernels->loss_scratch(n_outputs));
    if (purpose == FM_FOR_FORWARD)
        return used;
    c->gathered_ld = net->units[0] == 1 ? 1 : round_up(net->units[0], line);
    c->gathered = take(base, &used, rows * c->gathered_ld * c->real);
    if (purpose == FM_FOR_CONVERTING_FORWARD)
        return used;
    c->sparse_grad = take(base, &used, net->units[0] * net->units[1] * c->real);
    for (int64_t l = 0; l < c->n_layers; l++) {
        const int64_t fan_in = net->units[l], fan_out = net->units[l + 1];
        char *a = take(base, &used, rows * round_up(fan_out, line) * c->real), *z = a, *transposed = NULL;
        if (activation_needs[net->activations[l]] == FM_NEEDS_PREACTIVATION)
            z = take(base, &used, rows * round_up(fan_out, line) * c->real);
        const int64_t transposed_ld = round_up(fan_in, line);
        if (l > 0 && fan_in > 1 && fan_out > 1)
            transposed = take(base, &used, fan_out * transposed_ld * c->real);
        if (!base)
            continue;
        c->layers[l].a = a;
        c->layers[l].z = z;
        c->layers[l].transposed = transposed;
        c->layers[l].transposed_ld = transposed_ld;
    }
    return used;
}

/* One row of the other real type. */
static void convert_row(int x_dtype, int64_t n, const char *x, char *out)
{
    if (x_dtype == FM_FLOAT32)
        for (int64_t j = 0; j < n; j++)
            ((double *)out)[j] = ((const float *)x)[j];
    else
        for (int64_t j = 0; j < n; j++)
            ((float *)out)[j] = (float)((const double *)x)[j];
}

void fm_block_input(const fm_context *c, fm_block *b)
{
    const fm_rows *x = b->x;
    if (x->indptr)
        return;
    const int converting = x->x_dtype != c->net->dtype;
    const int64_t width = c->net->units[0], x_real = x->x_dtype == FM_FLOAT32 ? sizeof(float) : sizeof(double);
    const int64_t stride = x->ldx * x_real;
    b->dense = (const char *)x->x + b->first * stride;
    b->ld = x->ldx;
    if (!b->index && !converting)
        return;
    for (int64_t i = 0; i < b->rows; i++) {
        const char *row = (const char *)x->x + (b->index ? b->index[i] : b->first + i) * stride;
        char *out = c->gathered + i * c->gathered_ld * c->real;
        if (converting)
            convert_row(x->x_dtype, width, row, out);
        else
            memcpy(out, row, (size_t)(width * c->real));
    }
    b->dense = c->gathered;
    b->ld = c->gathered_ld;
}

/* Offset of a block's rows in CSR's indptr: rows that are not indexed start at `first`. */
static const int64_t *sparse_rows(const fm_block *b) { return b->index ? b->x->indptr : b->x->indptr + b->first; }

void fm_layer_forward(const fm_context *c, const char *params, int64_t l, const fm_block *b, const char *in,
                      int64_t ld_in, char *z, char *a, int64_t ld, const fm_draw *draw)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l];
    const char *w = params + layer->coefs, *bias = params + layer->intercepts;
    const int64_t m = b->rows, n = layer->fan_out;
    if (l == 0 && b->x->indptr && n == 1)
        k->csr_dot(m, sparse_rows(b), b->x->indices, b->x->data, b->index, w, bias, z);
    else if (l == 0 && b->x->indptr)
        k->csr_product(m, n, sparse_rows(b), b->x->indices, b->x->data, b->index, w, bias, z, ld);
    else if (n == 1)
        k->dot(m, layer->fan_in, in, ld_in, w, bias, z);
    else
        k->product(m, n, layer->fan_in, in, ld_in, w, n, bias, z, ld);
    if (layer->activation == FM_ACTIVATION_softmax) {
        if (a)
            k->softmax(m, n, z, ld, a, ld, c->loss_scratch);
    } else {
        k->activations[layer->activation].value(m * ld, z, a, layer->activation_params, draw);
    }
}

void fm_transpose_coefs(const fm_context *c, const char *params)
{
    for (int64_t l = 1; l < c->n_layers; l++) {
        const fm_layer *layer = &c->layers[l];
        if (layer->transposed)
            c->kernels->transpose(layer->fan_in, layer->fan_out, params + layer->coefs, layer->fan_out,
                                  layer->transposed, layer->transposed_ld);
    }
}

/* dW = a^T delta and db = sum of delta over the block. */
static void layer_gradient(const fm_context *c, int64_t l, const fm_block *b, const char *in, int64_t ld_in,
                           const char *delta, char *grad, int first)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l];
    const int64_t m = layer->fan_in, n = layer->fan_out;
    char *dw = grad + layer->coefs;
    if (l == 0 && b->x->indptr) {
        char *sum = first ? dw : c->sparse_grad;
        memset(sum, 0, (size_t)(m * n * c->real));
        k->csr_outer(b->rows, n, sparse_rows(b), b->x->indices, b->x->data, b->index, delta, layer->ld, sum);
        if (!first)
            k->add(m * n, sum, dw);
    } else if (n == 1) {
        k->outer(b->rows, 1, m, delta, 1, in, ld_in, dw, !first); /* the lanes run over the inputs */
    } else {
        k->outer(b->rows, m, n, in, ld_in, delta, layer->ld, dw, !first);
    }
    k->column_sum(b->rows, n, delta, layer->ld, grad + layer->intercepts, !first);
}

/* delta of the layer below: (delta W^T) * g'(v) */
static void layer_delta(const fm_context *c, const char *params, int64_t l, int64_t rows, const char *delta, char *out,
                        fm_draw *draw)
{
    const fm_kernels *k = c->kernels;
    const fm_layer *layer = &c->layers[l], *below = &c->layers[l - 1];
    const char *w = params + layer->coefs;
    if (layer->fan_in == 1)
        k->dot(rows, layer->fan_out, delta, layer->ld, w, NULL, out);
    else if (layer->fan_out == 1)
        k->product(rows, layer->fan_in, 1, delta, 1, w, layer->fan_in, NULL, out, below->ld);
    else
        k->product(rows, layer->fan_in, layer->fan_out, delta, layer->ld, layer->transposed, layer->transposed_ld, NULL,
                   out, below->ld);
    if (draw) {
        draw->layer = l - 1;
        draw->ld = below->ld;
    }
    k->activations[below->activation].derivative(rows * below->ld,
                                                 below->needs == FM_NEEDS_PREACTIVATION ? below->z : below->a, out,
                                                 below->activation_params, draw);
}

/* Loss of the outputs and, unless delta is NULL, the delta of the output layer. */
static void output_loss(const fm_context *c, const fm_block *b, const fm_targets *y, char *delta, fm_draw *draw,
                        double *loss_sum, double *weight_sum)
{
    const fm_layer *last = &c->layers[c->n_layers - 1];
    const int64_t offset = b->index ? 0 : b->first, n = last->fan_out;
    fm_outputs o = {
        .rows = b->rows,
        .n_outputs = n,
        .loss = c->net->loss,
        .softmax = last->activation == FM_ACTIVATION_softmax,
        .canonical = c->net->canonical,
        .hard = y->hard,
        .a = last->a,
        .lda = last->ld,
        .y = y->y ? (const char *)y->y + offset * n * c->real : NULL,
        .codes = y->codes ? y->codes + offset : NULL,
        .weight = y->weight ? (const char *)y->weight + offset * c->real : NULL,
        .index = b->index,
        .delta = delta,
        .ldd = last->ld,
        .scratch = c->loss_scratch,
    };
    c->kernels->loss(&o);
    *loss_sum = o.loss_sum;
    *weight_sum = o.weight_sum;
    if (delta && !o.canonical && !o.softmax)
        c->kernels->activations[last->activation].derivative(b->rows * last->ld,
                                                             last->needs == FM_NEEDS_PREACTIVATION ? last->z : last->a,
                                                             delta, last->activation_params, draw);
}

int64_t fm_block_pass(const fm_context *c, const char *params, fm_block *b, const fm_targets *y, char *grad, int first,
                      fm_draw *draw, double *loss_sum, double *weight_sum)
{
    int64_t work = 0;
    fm_block_input(c, b);
    const char *in = b->dense;
    int64_t ld = b->ld;
    for (int64_t l = 0; l < c->n_layers; l++) {
        const fm_layer *layer = &c->layers[l];
        /* A softmax stays as it is here: the loss kernel applies it. */
        const int softmax = layer->activation == FM_ACTIVATION_softmax;
        if (draw) {
            draw->layer = l;
            draw->ld = layer->ld;
        }
        fm_layer_forward(c, params, l, b, in, ld, softmax ? layer->a : layer->z, softmax ? NULL : layer->a, layer->ld,
                         draw);
        in = layer->a;
        ld = layer->ld;
        work += b->rows * (2 * layer->fan_in + 30) * layer->fan_out;
    }
    char *delta = grad ? c->delta[0] : NULL, *next = c->delta[1];
    output_loss(c, b, y, delta, draw, loss_sum, weight_sum);
    if (!grad)
        return work;
    for (int64_t l = c->n_layers - 1; l >= 0; l--) {
        const fm_layer *below = l > 0 ? &c->layers[l - 1] : NULL;
        layer_gradient(c, l, b, below ? below->a : b->dense, below ? below->ld : b->ld, delta, grad, first);
        if (!below)
            break;
        layer_delta(c, params, l, b->rows, delta, next, draw);
        char *held = delta;
        delta = next;
        next = held;
    }
    return 3 * work;
}
