#include "layout.h"

#include "activations.h"
#include "dispatch.h"
#include "losses.h"
#include "zeros.h"

enum { CACHE_LINE = 64 };

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

static const int activation_needs[] = {
#define FM_ENTRY(name, needs, draws, n_params) FM_NEEDS_##needs,
    FM_ACTIVATIONS(FM_ENTRY)
#undef FM_ENTRY
        FM_NEEDS_OUTPUT, /* softmax */
};

int fm_activation_needs(int index)
{
    return index >= 0 && index < FM_N_ACTIVATIONS ? activation_needs[index] : FM_NEEDS_NOTHING;
}

int fm_activation_draws(int index)
{
    enum { PLAIN, ABREAST, DRAWS };
#define FM_ENTRY(name, needs, draws, n_params) draws,
    static const int drawing[] = {FM_ACTIVATIONS(FM_ENTRY) PLAIN};
#undef FM_ENTRY
    return index >= 0 && index < FM_N_ACTIVATIONS && drawing[index] == DRAWS;
}

int fm_ending(int activation, int derivative_wanted)
{
    enum { value, derivative };
#define FM_ENTRY(name, part)                                             \
    if (activation == FM_ACTIVATION_##name && derivative_wanted == part) \
        return FM_END_##name##_##part;
    FM_ENDINGS(FM_ENTRY)
#undef FM_ENTRY
    return FM_END_PLAIN;
}

/* What the derivative of layer l's activation needs. */
static int needs_of(const fm_network *net, int64_t l)
{
    const int activation = net->activations[l];
    return activation == FM_OWN ? net->own_activations[l].needs : activation_needs[activation];
}

static int bad_own_activation(const fm_network *net, int l)
{
    const fm_own_activation *own = net->own_activations ? &net->own_activations[l] : NULL;
    return !own || !own->kernel.value || !own->kernel.derivative ||
           (own->needs != FM_NEEDS_OUTPUT && own->needs != FM_NEEDS_PREACTIVATION);
}

static int bad_loss(const fm_network *net)
{
    if (net->loss == FM_OWN)
        return !net->own_loss || !net->own_loss->term || !net->own_loss->derivative;
    return net->loss < 0 || net->loss >= FM_N_LOSSES;
}

int fm_check_network(const fm_network *net)
{
    if (net->n_layers < 1 || bad_loss(net))
        return FM_BAD_ARGUMENT;
    for (int l = 0; l <= net->n_layers; l++)
        if (net->units[l] < 1)
            return FM_BAD_ARGUMENT;
    for (int l = 0; l < net->n_layers; l++) {
        const int activation = net->activations[l], last = l == net->n_layers - 1;
        if (activation == FM_OWN) {
            if (bad_own_activation(net, l))
                return FM_BAD_ARGUMENT;
            continue;
        }
        if (activation < 0 || activation >= FM_N_ACTIVATIONS || (activation == FM_ACTIVATION_softmax && !last))
            return FM_BAD_ARGUMENT;
    }
    return FM_OK;
}

int fm_check_differentiable(const fm_network *net)
{
    for (int l = 0; l < net->n_layers; l++)
        if (needs_of(net, l) == FM_NEEDS_NOTHING)
            return FM_NOT_DIFFERENTIABLE;
    return FM_OK;
}

char *fm_take(char *base, int64_t *used, int64_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used += round_up(bytes, CACHE_LINE);
    return p;
}

/* The distance of the rows of layer l (see fm_layer). */
static int64_t row_distance(const fm_context *c, int64_t l)
{
    /* Rows that are a multiple of so many lines apart would lie in few places of the nearest cache. Not where the activation
     * always passes over all rows as one array: it would compute what lies between them, too. */
    enum { FEW_PLACES = 4 };
    const int64_t fan_out = c->net->units[l + 1], line = CACHE_LINE / c->real;
    if (fan_out == 1 || c->net->activations[l] == FM_OWN)
        return fan_out;
    const int64_t lines = (fan_out + line - 1) / line;
    const int gap = lines % FEW_PLACES == 0 && fm_ending(c->net->activations[l], 0) != FM_END_PLAIN;
    return (lines + gap) * line;
}

/* Reals of a row of layer l: whole vectors also where rows lie closer. */
static int64_t row_room(const fm_context *c, int64_t l)
{
    const int64_t whole = round_up(c->net->units[l + 1], CACHE_LINE / c->real), distance = row_distance(c, l);
    return distance > whole ? distance : whole;
}

static const fm_activation_kernel *kernel_of(const fm_context *c, int64_t l)
{
    const int activation = c->net->activations[l];
    if (activation == FM_OWN)
        return &c->net->own_activations[l].kernel;
    return activation == FM_ACTIVATION_softmax ? NULL : &c->kernels->activations[activation];
}

static int fits_vectors(const fm_context *c)
{
    for (int64_t l = 0; l < c->n_layers; l++) {
        const int activation = c->net->activations[l];
        if (c->net->units[l + 1] > c->kernels->width || activation == FM_OWN || fm_activation_draws(activation))
            return 0;
    }
    return 1;
}

static void lay_out_layers(fm_context *c, fm_layer *layers)
{
    const fm_network *net = c->net;
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
                .ld = row_distance(c, l),
                .coefs = coefs * c->real,
                .intercepts = intercepts * c->real,
                .activation = net->activations[l],
                .needs = needs_of(net, l),
                .value_ending = fm_ending(net->activations[l], 0),
                .derivative_ending = fm_ending(net->activations[l], 1),
                .kernel = kernel_of(c, l),
                .activation_params = net->activation_params + l * FM_MAX_ACTIVATION_PARAMS,
            };
        coefs += fan_in * fan_out;
        intercepts += fan_out;
    }
    c->n_params = intercepts;
}

/* Whether the deltas of layer l may overwrite what its derivative needs. */
static int is_delta_in_place(const fm_context *c, int64_t l, int slices)
{
    return slices == 1 && l < c->n_layers - 1 && c->net->units[l + 1] > 1 &&
           fm_ending(c->net->activations[l], 1) != FM_END_PLAIN;
}

/* Divide the transposed coefs of a layer into panels as even as whole vectors allow. */
static void divide_panels(const fm_context *c, fm_layer *layer)
{
    const int64_t width = c->kernels->width, vectors = (layer->fan_in + width - 1) / width;
    const int64_t panels = (vectors + c->kernels->panel - 1) / c->kernels->panel;
    layer->panel = vectors / panels * width;
    layer->wider_panels = vectors % panels;
}

/* z, a and delta of the layers, for gradients. */
static void take_layers(fm_context *c, int64_t rows, int slices, char *base, int64_t *used)
{
    for (int64_t l = 0; l < c->n_layers; l++) {
        const int64_t bytes = rows * row_room(c, l) * c->real;
        char *a = fm_take(base, used, bytes), *z = a;
        if (needs_of(c->net, l) == FM_NEEDS_PREACTIVATION)
            z = fm_take(base, used, bytes);
        char *delta = is_delta_in_place(c, l, slices) ? z
                      : slices > 1                    ? fm_take(base, used, bytes)
                                                      : c->delta[(c->n_layers - 1 - l) % 2];
        if (!base)
            continue;
        c->layers[l].a = a;
        c->layers[l].z = z;
        c->layers[l].delta = delta;
        divide_panels(c, &c->layers[l]);
    }
}

/* Inputs of the layers from `first` on, transposed, where a gradient may leave out their zeros, or those of the deltas that
 * belong to them. A line more than needed, lest rows lie in few places of the nearest cache. */
static void take_transposed(fm_context *c, int64_t first, int64_t rows, char *base, int64_t *used)
{
    const int64_t line = CACHE_LINE / c->real, *units = c->net->units;
    c->transposed_ld = round_up(rows, line) + line;
    for (int64_t l = first; l < c->n_layers; l++) {
        if (!fm_may_skip(units[l], units[l + 1], rows) && !(l > 0 && fm_may_skip(units[l], units[l - 1], rows)))
            continue;
        char *transposed = fm_take(base, used, units[l] * c->transposed_ld * c->real);
        if (base)
            c->layers[l].transposed = transposed;
    }
}

/* Rows of the largest matrix of transposed coefs that deltas are multiplied with. */
static int64_t deepest(const fm_context *c)
{
    int64_t units = 0;
    for (int64_t l = 1; l < c->n_layers; l++)
        if (c->net->units[l + 1] > units)
            units = c->net->units[l + 1];
    return units;
}

int64_t fm_layout(fm_context *c, const fm_network *net, int purpose, int64_t rows, int slices, char *base)
{
    int64_t used = 0, widest = 0;
    *c = (fm_context){.kernels = fm_kernels_chosen(net->dtype), .net = net, .rows = rows, .n_layers = net->n_layers};
    c->real = fm_real_bytes(net->dtype);
    c->layers = (fm_layer *)fm_take(base, &used, c->n_layers * (int64_t)sizeof(fm_layer));
    lay_out_layers(c, c->layers);
    c->fits_vectors = fits_vectors(c);
    c->shared = slices > 1;
    const int64_t line = CACHE_LINE / c->real, n_outputs = net->units[net->n_layers];
    for (int64_t l = 0; l < c->n_layers; l++)
        if (row_room(c, l) > widest)
            widest = row_room(c, l);
    for (int i = 0; i < 2 && slices == 1; i++)
        c->delta[i] = fm_take(base, &used, rows * widest * c->real);
    c->loss_scratch_bytes = round_up(c->kernels->loss_scratch(n_outputs), CACHE_LINE);
    c->loss_scratch = fm_take(base, &used, slices * c->loss_scratch_bytes);
    if (purpose == FM_FOR_FORWARD)
        return used;
    /* Sparse rows are read where they are, and may have millions of columns. */
    const int sparse = purpose == FM_FOR_SPARSE_GRADIENT;
    c->gathered_ld = net->units[0] == 1 ? 1 : round_up(net->units[0], line);
    c->gathered = sparse ? NULL : fm_take(base, &used, rows * c->gathered_ld * c->real);
    if (purpose == FM_FOR_FETCHING_FORWARD)
        return used;
    take_layers(c, rows, slices, base, &used);
    take_transposed(c, sparse ? 1 : 0, rows, base, &used);
    c->scratch_grad = fm_take(base, &used, c->n_coefs * c->real);
    /* The last, so that tools that watch the ends of a workspace see it when the last slice writes too much. */
    c->panel_bytes = round_up(c->kernels->panel * c->kernels->width * deepest(c) * c->real, CACHE_LINE);
    c->panel = fm_take(base, &used, slices * c->panel_bytes);
    return used;
}
