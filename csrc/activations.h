/* Activations: value and derivative of each, and the list of them at the foot.
 *
 * The functions exist where the vector vocabulary is defined (inside the kernel templates); the list is for everyone.
 * value(z, p): g(z). derivative(v, p): g' from what the list says it needs: the output v = g(z), or the pre-activation
 * v = z. p: the parameter block, in the order of the Python registry's parameters. Those that draw get a third argument,
 * u: uniform random numbers from (0, 1), of which the largest round to 1 in float, or in prediction 1/2. */

#ifdef FM_REAL_BITS

typedef V(t) K(unary)(V(t) x, const V(t) * p);

static inline V(t) K(identity_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return z;
}
static inline V(t) K(identity_derivative)(V(t) a, const V(t) * p)
{
    (void)a, (void)p;
    return V(set1)(1);
}

/* linear: alpha z + beta */
static inline V(t) K(linear_value)(V(t) z, const V(t) * p) { return V(fma)(p[0], z, p[1]); }
static inline V(t) K(linear_derivative)(V(t) a, const V(t) * p)
{
    (void)a;
    return p[0];
}

/* step: 1 where z >= 0, else 0; NaN stays NaN. No useful derivative: it is 0 everywhere but at 0. */
static inline V(t) K(step_value)(V(t) z, const V(t) * p)
{
    (void)p;
    const V(t) on = V(select)(V(le)(V(zero)(), z), V(set1)(1), V(zero)());
    return V(select)(V(eq)(z, z), on, z);
}

static inline V(t) K(logistic_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return K(vlogistic)(z);
}
static inline V(t) K(logistic_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    return V(mul)(a, V(sub)(V(set1)(1), a));
}

static inline V(t) K(tanh_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return K(vtanh)(z);
}
FM_INLINE void K(tanh_values)(const int vectors, const V(t) * z, V(t) * a) { K(vtanh_abreast)(vectors, z, a); }
static inline V(t) K(tanh_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    return V(fma)(V(neg)(a), a, V(set1)(1));
}

static inline V(t) K(relu_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return V(max)(V(zero)(), z);
}
/* 0 at 0, by convention. (1 where a is NaN: delta is NaN already.) */
static inline V(t) K(relu_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    return V(select)(V(le)(a, V(zero)()), V(zero)(), V(set1)(1));
}

/* delta g'(v). Where ReLU is closed that is 0 also of a delta that is not finite, as in scikit-learn and PyTorch; the
 * product would be NaN. */
FM_INLINE V(t) K(backward)(V(t) delta, V(t) v, const V(t) * p, K(unary) * derivative)
{
    if (derivative == K(relu_derivative))
        return V(select)(V(le)(v, V(zero)()), V(zero)(), delta);
    return V(mul)(delta, derivative(v, p));
}

/* leaky_relu: z where z > 0, else alpha z; the output has z's sign because alpha >= 0. The derivative at 0 is alpha. */
static inline V(t) K(leaky_relu_value)(V(t) z, const V(t) * p)
{
    return V(select)(V(lt)(V(zero)(), z), z, V(mul)(p[0], z));
}
static inline V(t) K(leaky_relu_derivative)(V(t) a, const V(t) * p)
{
    return V(select)(V(lt)(V(zero)(), a), V(set1)(1), p[0]);
}

/* randomized_leaky_relu: leaky_relu with slopes drawn from (p[0], p[1]), neither of them below 0. */
static inline V(t) K(randomized_slope)(const V(t) * p, V(t) u) { return V(fma)(V(sub)(p[1], p[0]), u, p[0]); }
static inline V(t) K(randomized_leaky_relu_value)(V(t) z, const V(t) * p, V(t) u)
{
    return V(select)(V(lt)(V(zero)(), z), z, V(mul)(K(randomized_slope)(p, u), z));
}
static inline V(t) K(randomized_leaky_relu_derivative)(V(t) a, const V(t) * p, V(t) u)
{
    return V(select)(V(lt)(V(zero)(), a), V(set1)(1), K(randomized_slope)(p, u));
}

/* elu: z where z > 0, else alpha (exp(z) - 1), whose derivative is the output plus alpha (Clevert et al. 2016). */
static inline V(t) K(elu_value)(V(t) z, const V(t) * p)
{
    return V(select)(V(lt)(V(zero)(), z), z, V(mul)(p[0], K(vexpm1)(z)));
}
static inline V(t) K(elu_derivative)(V(t) a, const V(t) * p)
{
    return V(select)(V(lt)(V(zero)(), a), V(set1)(1), V(add)(a, p[0]));
}

/* selu: elu with the alpha, and times the scale, that keep means at 0 and variances at 1 (Klambauer et al. 2017). */
static inline V(t) K(selu_value)(V(t) z, const V(t) * p)
{
    (void)p;
    const V(t) below = V(mul)(V(set1)((REAL)1.7580993408473768599), K(vexpm1)(z));
    return V(select)(V(lt)(V(zero)(), z), V(mul)(V(set1)((REAL)1.0507009873554804934), z), below);
}
static inline V(t) K(selu_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    const V(t) below = V(add)(a, V(set1)((REAL)1.7580993408473768599));
    return V(select)(V(lt)(V(zero)(), a), V(set1)((REAL)1.0507009873554804934), below);
}

/* softplus: log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)); its derivative, logistic(z), is 1 - exp(-a). */
static inline V(t) K(softplus_value)(V(t) z, const V(t) * p)
{
    (void)p;
    const V(t) zero = V(zero)(), above = V(max)(zero, z), below = V(min)(z, V(neg)(z));
    return V(add)(above, K(vlog1p)(K(vexp)(below)));
}
static inline V(t) K(softplus_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    return V(neg)(K(vexpm1)(V(neg)(a)));
}

/* gelu in its tanh form: z/2 (1 + tanh u), u = sqrt(2/pi) (z + 0.044715 z^3) (Hendrycks and Gimpel 2016). */
static inline V(t) K(gelu_tanh)(V(t) z)
{
    const V(t) cubic = V(fma)(V(mul)(V(mul)(V(set1)((REAL)0.044715), z), z), z, z);
    return K(vtanh)(V(mul)(V(set1)((REAL)0.79788456080286535588), cubic));
}
static inline V(t) K(gelu_value)(V(t) z, const V(t) * p)
{
    (void)p;
    const V(t) half = V(mul)(V(set1)((REAL)0.5), z);
    return V(fma)(half, K(gelu_tanh)(z), half);
}
/* g' = (1 + t)/2 + z/2 (1 - t^2) u', u' = sqrt(2/pi) (1 + 3 * 0.044715 z^2) */
static inline V(t) K(gelu_derivative)(V(t) z, const V(t) * p)
{
    (void)p;
    /* g' is 0 or 1 to the last bit long before this bound, which keeps infinity times 0 away; NaN passes. */
    const V(t) bound = V(set1)(30);
    z = V(max)(V(neg)(bound), V(min)(bound, z));
    const V(t) one = V(set1)(1), half = V(set1)((REAL)0.5), t = K(gelu_tanh)(z);
    const V(t) slope = V(fma)(V(mul)(V(set1)((REAL)0.10703222440890037), z), z, V(set1)((REAL)0.79788456080286535588));
    const V(t) outer = V(mul)(half, V(add)(one, t));
    const V(t) inner = V(mul)(V(mul)(half, z), V(fma)(V(neg)(t), t, one));
    return V(fma)(inner, slope, outer);
}

/* silu: z logistic(z), also called swish (Elfwing et al. 2018) */
static inline V(t) K(silu_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return V(mul)(z, K(vlogistic)(z));
}
/* g' = s + z s (1 - s), s = logistic(z); beyond the bound s (1 - s) is 0 to the last bit, and z may be infinite. */
static inline V(t) K(silu_derivative)(V(t) z, const V(t) * p)
{
    (void)p;
    const V(t) s = K(vlogistic)(z), bound = V(set1)(800);
    z = V(max)(V(neg)(bound), V(min)(bound, z));
    return V(fma)(V(mul)(z, s), V(sub)(V(set1)(1), s), s);
}

static inline V(t) K(exp_value)(V(t) z, const V(t) * p)
{
    (void)p;
    return K(vexp)(z);
}
static inline V(t) K(exp_derivative)(V(t) a, const V(t) * p)
{
    (void)p;
    return a;
}

#endif

/* The list: name, what the derivative needs (OUTPUT, PREACTIVATION or NOTHING), its kind, number of parameters. Kinds:
 * DRAWS; ABREAST, with a values(vectors, z, a) that is faster for several vectors; PLAIN. softmax, which is not
 * element-wise, follows the list's last entry. */
#ifndef FM_ACTIVATIONS
#define FM_ACTIVATIONS(X)                      \
    X(identity, OUTPUT, PLAIN, 0)              \
    X(linear, OUTPUT, PLAIN, 2)                \
    X(step, NOTHING, PLAIN, 0)                 \
    X(logistic, OUTPUT, PLAIN, 0)              \
    X(tanh, OUTPUT, ABREAST, 0)                \
    X(relu, OUTPUT, PLAIN, 0)                  \
    X(leaky_relu, OUTPUT, PLAIN, 1)            \
    X(randomized_leaky_relu, OUTPUT, DRAWS, 2) \
    X(elu, OUTPUT, PLAIN, 1)                   \
    X(selu, OUTPUT, PLAIN, 0)                  \
    X(softplus, OUTPUT, PLAIN, 0)              \
    X(gelu, PREACTIVATION, PLAIN, 0)           \
    X(silu, PREACTIVATION, PLAIN, 0)           \
    X(exp, OUTPUT, PLAIN, 0)

#define FM_ENTRY(name, needs, draws, n_params) FM_ACTIVATION_##name,
enum { FM_ACTIVATIONS(FM_ENTRY) FM_ACTIVATION_softmax, FM_N_ACTIVATIONS };
#undef FM_ENTRY

/* Of those without parameters that hidden layers commonly have, the parts so short that a product ends with them, on the
 * numbers that it still has in registers. */
#define FM_ENDINGS(X)       \
    X(identity, value)      \
    X(relu, value)          \
    X(identity, derivative) \
    X(logistic, derivative) \
    X(tanh, derivative)     \
    X(relu, derivative)

#define FM_ENTRY(name, part) FM_END_##name##_##part,
enum { FM_END_PLAIN, FM_ENDINGS(FM_ENTRY) };
#undef FM_ENTRY
#endif
