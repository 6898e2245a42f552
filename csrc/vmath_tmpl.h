/* exp, expm1, log1p, tanh, log and logistic over the vector vocabulary, without a branch, the C library or a table beyond
 * a register.
 *
 * Included once per type by each kernels_<isa>.c. Parameters, defined by the includer:
 *
 *   FM_REAL_BITS   32 or 64
 *   REAL           float or double
 *   V(op)          the vocabulary's name: vf_##op or vd_##op
 *   K(name)        a name of this instruction set and type
 *
 * Every operation is written out, so all instruction sets with FMA give the same bits. Products that the error bounds
 * need exact (by powers of two, by LN2_HIGH) are exact without FMA as well, so the bounds hold for the scalar
 * vocabulary, whose fma rounds twice.
 *
 * Exact everywhere: the limits (0, infinity, -1, 1), reached where the exact function rounds to them (logistic reaches 1
 * where 1 + exp(-x) rounds to 1, tanh f32 a little early); NaN for NaN; the sign of zero; tanh odd.
 *
 * Constants and polynomials are printed by vmath_coefficients.py. The lines "ulp:" state the greatest error in units of
 * the last place, and an argument where it occurs: for f32 among all arguments at which the function is neither linear
 * nor constant, for f64 among 80 million random ones; "fma" and "scalar" say with which vocabulary. "want" is rounded.
 * tests/test_vmath.py reads these lines.
 */

#if FM_REAL_BITS == 32
#define BITS(x) V(iset1)((int32_t)(x))
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ONE_BITS 0x3f800000
#define SQRT_HALF_BITS 0x3f3504f3
/* 2^23: the sum with an integer below 2^23 holds that integer in its low bits. With half as much again the integer
 * may be negative, and the addition rounds to nearest. */
#define MAGIC 0x1p23f
#define MAGIC_BITS 0x4b000000
#define LOG2E 0x1.715476p+0f
/* The high part has 15 bits: its product with a binary exponent is exact. */
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_MIN -104.0f /* exp rounds to 0 below -103.97, to infinity above 88.73 */
#define EXP_MAX 89.0f
#define EXPM1_MIN -18.0f /* expm1 rounds to -1 below -17.33, and 1 + exp to 1 */
#define TANH_MAX 0x1.20a3d8p+3f /* 9.02, the center of the last interval of tanh, which rounds to 1 above 9.011 */
#define TINY 0x1p-26f /* expm1 and log1p round to x below */
#define NORMAL_MIN 0x1p-126f
#define NORMAL_SHIFT 24 /* makes every denormal normal */
#define NORMAL_SCALE 0x1p24f
#define EXP_TERMS 5
#define LOG_TERMS 3
static const float K(vexp_table)[EXP_TERMS] = {
    0x1.p-1f, 0x1.5554bp-3f, 0x1.555486p-5f, 0x1.1227fep-7f, 0x1.6d990cp-10f,
};
#define TANH_DEGREE 6
#define TANH_SCALE 3.125f
#define TANH_OFFSET 2.0f
#define TANH_HALF_OCTAVE 22
/* Centers of the 8 intervals, then the coefficients of 1, x - center, ... */
static const float K(vtanh_table)[TANH_DEGREE + 2][8] = {
    {0x0.p+0f, 0x1.eb871p-2f, 0x1.eb8938p-1f, 0x1.9997c6p+0f, 0x1.47b17ap+1f, 0x1.eb853cp+1f, 0x1.70a12ep+2f,
     0x1.20a3d8p+3f},
    {0x0.p+0f, 0x1.c8f5a4p-2f, 0x1.7d13bp-1f, 0x1.d7e464p-1f, 0x1.f9eb0cp-1f, 0x1.ff86f4p-1f, 0x1.fffd66p-1f, 0x1.p+0f},
    {0x1.p+0f, 0x1.9a0a82p-1f, 0x1.c8bc9p-2f, 0x1.344b66p-3f, 0x1.82ef4ep-6f, 0x1.e4029cp-10f, 0x1.4fb1c6p-15f,
     0x1.263e6ep-20f},
    {-0x1.bf7b82p-19f, -0x1.6df60ep-2f, -0x1.53f29cp-2f, -0x1.1c24d8p-3f, -0x1.7e50ep-6f, -0x1.e38e3cp-10f,
     -0x1.4f69f2p-15f, 0x1.93b26ap-18f},
    {-0x1.552d84p-2f, -0x1.b843c8p-4f, 0x1.92e4p-4f, 0x1.3e5cp-4f, 0x1.f1446ap-7f, 0x1.40df88p-10f, 0x1.a52f58p-16f,
     0x1.b6b5dp-17f},
    {-0x1.281488p-9f, 0x1.562be4p-3f, 0x1.33954cp-5f, -0x1.9fd0cep-6f, -0x1.da391ep-8f, -0x1.3fcd7cp-11f,
     -0x1.a6f79p-17f, 0x1.a7c616p-17f},
    {0x1.2f6b82p-3f, -0x1.438ac4p-6f, -0x1.9808a6p-5f, 0x1.1300eep-12f, 0x1.5cde2p-9f, 0x1.0f8b32p-12f, 0x1.d0651ap-18f,
     0x1.7bcedep-18f},
    {-0x1.71dad2p-5f, -0x1.b7d2bep-5f, 0x1.07ae46p-6f, 0x1.3df72ap-8f, -0x1.57731p-11f, -0x1.62b52cp-14f,
     -0x1.327ae4p-19f, 0x1.f92074p-21f},
};
static const float K(vlog_table)[LOG_TERMS] = {
    0x1.55557ap-1f,
    0x1.995eb6p-2f,
    0x1.31e34cp-2f,
};
#else
#define BITS(x) V(iset1)((int64_t)(x))
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define ONE_BITS 0x3ff0000000000000
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define MAGIC 0x1p52
#define MAGIC_BITS 0x4330000000000000
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa2p-1 /* 40 bits */
#define LN2_LOW 0x1.9ef35793c7673p-41
#define EXP_MIN -746.0 /* -745.13, 709.78 */
#define EXP_MAX 710.0
#define EXPM1_MIN -38.0 /* -37.43 */
#define TANH_MAX 20.0 /* 19.07 */
#define TINY 0x1p-55
#define NORMAL_MIN 0x1p-1022
#define NORMAL_SHIFT 54
#define NORMAL_SCALE 0x1p54
#define EXP_TERMS 10
#define TANH_TERMS 11
#define LOG_TERMS 7
static const double K(vexp_table)[EXP_TERMS] = {
    0x1.0000000000005p-1, 0x1.555555555555cp-3,  0x1.55555555520f4p-5,  0x1.111111110e6e3p-7,  0x1.6c16c17f3763cp-10,
    0x1.a01a01b5d2bep-13, 0x1.a019a68603c22p-16, 0x1.71ddea1243266p-19, 0x1.28a2ab5258f41p-22, 0x1.af7696cf32f0cp-26,
};
static const double K(vtanh_table)[TANH_TERMS] = {
    -0x1.5555555555503p-2,  0x1.111111110b0c7p-3,  -0x1.ba1ba1b53107ap-5,  0x1.664f4781f74dap-6,
    -0x1.226e16da0afa3p-7,  0x1.d6cf3ca5ca7acp-9,  -0x1.7d696a73744ebp-10, 0x1.336ae60303a69p-11,
    -0x1.df7a8a2480776p-13, 0x1.43e1786cb63bfp-14, -0x1.0e3d66a4c3967p-16,
};
static const double K(vlog_table)[LOG_TERMS] = {
    0x1.5555555555592p-1, 0x1.999999997fd77p-2, 0x1.24924941f4fbdp-2, 0x1.c71c52060767dp-3,
    0x1.74663fa24a503p-3, 0x1.39a1a6f336767p-3, 0x1.2f0634b02d29bp-3,
};
#endif

/* Most vectors that functions with this word in their names take side by side. Such a function is one long chain, each
 * operation of which waits for the one before; the others of the chains beside it fill the time. */
#define FM_ABREAST 4

/* The first n terms, 4 at most, of c[0] + c[1] x + ... */
static inline V(t) K(vpolynomial4)(const REAL *c, int n, V(t) x, V(t) x2)
{
    const V(t) low = n == 1 ? V(set1)(c[0]) : V(fma)(V(set1)(c[1]), x, V(set1)(c[0]));
    if (n <= 2)
        return low;
    const V(t) high = n == 3 ? V(set1)(c[2]) : V(fma)(V(set1)(c[3]), x, V(set1)(c[2]));
    return V(fma)(high, x2, low);
}

/* c[0] + c[1] x + ..., n terms, in groups of 4: the chain of dependent FMAs is shorter than with Horner's rule, which
 * makes exp and tanh 8 % faster in f64 and no slower in f32 (Zen 5). n is a constant, so the loop unrolls. */
static inline V(t) K(vpolynomial)(const REAL *c, int n, V(t) x)
{
    const V(t) x2 = V(mul)(x, x);
    const V(t) x4 = V(mul)(x2, x2);
    int i = (n - 1) / 4 * 4;
    V(t) p = K(vpolynomial4)(c + i, n - i, x, x2);
    for (i -= 4; i >= 0; i -= 4)
        p = V(fma)(p, x4, K(vpolynomial4)(c + i, 4, x, x2));
    return p;
}

/* x = n ln2 + r with |r| <= ln2 / 2, for x in a range where n + bias is not negative, or NaN: returns exp(r) - 1 as
 * r + r^2 P(r). The low bits of *field are those of n + bias. */
static inline V(t) K(vexp_reduce)(V(t) x, int bias, V(int) * field)
{
    const V(t) magic = V(set1)((REAL)1.5 * MAGIC + (REAL)bias);
    const V(t) t = V(fma)(x, V(set1)(LOG2E), magic);
    const V(t) n = V(sub)(t, magic);
    const V(t) r = V(fma)(n, V(set1)(-LN2_LOW), V(fma)(n, V(set1)(-LN2_HIGH), x));
    *field = V(bits)(t);
    return V(fma)(V(mul)(r, r), K(vpolynomial)(K(vexp_table), EXP_TERMS, r), r);
}

/* 2^n, from an integer with the biased exponent in its low bits. */
static inline V(t) K(vpower)(V(int) field) { return V(real)(V(ishl)(field, MANTISSA_BITS)); }

/* 2^n exp(r) with |r| <= ln2 / 2, exp(r) = 1 + r + r^2 P(r). The power is applied in two halves, so that results below
 * the normal range are rounded once and those above it overflow.
 *
 * ulp: exp f32 fma 1.084 at -0x1.76647ep+2, got 0x1.7984ap-9, want 0x1.7984a2p-9
 * ulp: exp f32 scalar 1.043 at 0x1.abb6c8p+4, got 0x1.7b10cp+38, want 0x1.7b10c2p+38
 * ulp: exp f64 fma 1.077 at 0x1.0d07930c50761p+5, got 0x1.6e10ab28c1962p+48, want 0x1.6e10ab28c1961p+48
 * ulp: exp f64 scalar 1.042 at 0x1.0d109612f2206p+5, got 0x1.6fadf0f8bb4d8p+48, want 0x1.6fadf0f8bb4d7p+48 */
static inline V(t) K(vexp)(V(t) x)
{
    V(int) field;
    const V(t) q = K(vexp_reduce)(V(min)(V(set1)(EXP_MAX), V(max)(V(set1)(EXP_MIN), x)), 2 * EXPONENT_BIAS, &field);
    const V(int) half = V(ishr)(field, 1);
    const V(t) power = K(vpower)(half);
    return V(mul)(V(fma)(q, power, power), K(vpower)(V(isub)(field, half)));
}

/* 1 / (1 + E) with E = exp(-x), reduced as in exp. Where x is not negative E is rounded before the sum, as in the formula
 * written out in floating point: the probabilities that 1 / (1 + exp(-x)) leaves out next to 1, every other one, are left
 * out here as well, and a loss log(1 - p) is that of libraries that compute so (SciPy, scikit-learn). Where x is negative
 * E must not be rounded: where it is just above a power of two, the quotient is just below one and the error counts
 * twice. The fraction is extended by a power of two near 1 / sqrt(E), so that the denominator does not overflow where the
 * quotient is denormal.
 *
 * ulp: logistic f32 fma 1.753 at -0x1.19d4b8p+0, got 0x1.ff1f0cp-3, want 0x1.ff1f08p-3
 * ulp: logistic f32 scalar 1.776 at -0x1.1a605p+0, got 0x1.fe4e02p-3, want 0x1.fe4dfep-3
 * ulp: logistic f64 fma 1.767 at -0x1.1ad540697ae07p+0, got 0x1.fd9f0d2d1ec8fp-3, want 0x1.fd9f0d2d1ec8dp-3
 * ulp: logistic f64 scalar 1.801 at -0x1.1af07541405a9p+0, got 0x1.fd765f6e5d1e7p-3, want 0x1.fd765f6e5d1e5p-3 */
static inline V(t) K(vlogistic)(V(t) x)
{
    V(int) field;
    const V(t) y = V(max)(V(set1)(EXPM1_MIN), V(min)(V(set1)(-EXP_MIN), V(neg)(x)));
    const V(t) q = K(vexp_reduce)(y, 2 * EXPONENT_BIAS, &field);
    const V(int) half = V(ishr)(field, 1);
    const V(t) numerator = K(vpower)(V(isub)(BITS(2 * EXPONENT_BIAS), half));
    const V(t) power = K(vpower)(V(isub)(field, half));
    const V(t) rounded = V(add)(numerator, V(fma)(q, power, power));
    /* low is what power + numerator loses. */
    const V(t) sum = V(add)(power, numerator);
    const V(t) low = V(sub)(numerator, V(sub)(sum, power));
    const V(t) denominator = V(add)(sum, V(fma)(q, power, low));
    return V(div)(numerator, V(select)(V(lt)(x, V(zero)()), denominator, rounded));
}

#if FM_REAL_BITS == 32
/* One polynomial in |x| - c for each of 8 intervals, which the upper bits of u = 3.125 |x| + 2 tell: two to an octave of u,
 * of which the lowest three bits are 0 where u is 2 and 7 in the last interval. The centers c are such that the constant
 * coefficient is a number of the type to a thousandth of its last place; the first is 0, with the polynomial x + ..., the
 * last the end, with 1 + ...: 1 is reached from 8.9874 on, where the exact function is 0.52 ulp below it.
 *
 * ulp: tanh f32 fma 1.432 at 0x1.a169aep+2, got 0x1.ffff6cp-1, want 0x1.ffff6ep-1
 * ulp: tanh f32 scalar 1.432 at 0x1.a169bp+2, got 0x1.ffff6cp-1, want 0x1.ffff6ep-1 */
FM_INLINE void K(vtanh_abreast)(const int vectors, const V(t) * x, V(t) * y)
{
    V(t) t[FM_ABREAST];
    V(int) interval[FM_ABREAST];
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++) {
        t[j] = V(min)(V(set1)(TANH_MAX), V(abs)(x[j]));
        const V(t) u = V(fma)(t[j], V(set1)(TANH_SCALE), V(set1)(TANH_OFFSET));
        interval[j] = V(ishr)(V(bits)(u), TANH_HALF_OCTAVE);
    }
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++) {
        t[j] = V(sub)(t[j], V(lookup)(K(vtanh_table)[0], interval[j]));
        y[j] = V(lookup)(K(vtanh_table)[TANH_DEGREE + 1], interval[j]);
    }
    FM_UNROLL(8)
    for (int k = TANH_DEGREE; k > 0; k--) {
        FM_UNROLL(4)
        for (int j = 0; j < vectors; j++)
            y[j] = V(fma)(y[j], t[j], V(lookup)(K(vtanh_table)[k], interval[j]));
    }
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++)
        y[j] = V(copysign)(y[j], x[j]);
}
static inline V(t) K(vtanh)(V(t) x)
{
    V(t) y;
    K(vtanh_abreast)(1, &x, &y);
    return y;
}
#else
/* |x| < 0.625: x + x^3 P(x^2). Beyond, where the quotient is smaller than the result and so are its errors:
 * 1 - 2 / (1 + exp(2 |x|)) with the sign of x, exp reduced as above.
 *
 * ulp: tanh f64 fma 1.235 at 0x1.40399497fcf36p-1, got 0x1.1c1c5ada74a8cp-1, want 0x1.1c1c5ada74a8dp-1
 * ulp: tanh f64 scalar 1.240 at 0x1.401ef9ba36e52p-1, got 0x1.1c09f0a56f8bap-1, want 0x1.1c09f0a56f8bbp-1 */
static inline V(t) K(vtanh)(V(t) x)
{
    const V(t) one = V(set1)((REAL)1);
    const V(t) a = V(min)(V(set1)(TANH_MAX), V(abs)(x));
    const V(t) x2 = V(mul)(a, a);
    const V(t) small = V(fma)(V(mul)(a, x2), K(vpolynomial)(K(vtanh_table), TANH_TERMS, x2), a);
    V(int) field;
    const V(t) q = K(vexp_reduce)(V(add)(a, a), EXPONENT_BIAS, &field);
    const V(t) power = K(vpower)(field);
    const V(t) ratio = V(div)(V(set1)((REAL)2), V(fma)(q, power, V(add)(power, one)));
    return V(copysign)(V(select)(V(lt)(a, V(set1)((REAL)0.625)), small, V(sub)(one, ratio)), x);
}
FM_INLINE void K(vtanh_abreast)(const int vectors, const V(t) * x, V(t) * y)
{
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++)
        y[j] = K(vtanh)(x[j]);
}
#endif

/* With n, r and P as in exp, and c the part of r lost to rounding: 2^n - 1 + 2^n r + 2^n (r^2 P(r) + c). The first sum
 * cancels if n is 1 and r negative; its rounding error is carried along. All in halves, so that 2^n and the sum do not
 * overflow before the result does. Near 0, x itself, which keeps denormals and the sign of 0.
 *
 * ulp: expm1 f32 fma 1.269 at 0x1.63c3e4p-2, got 0x1.a9641cp-2, want 0x1.a9641ap-2
 * ulp: expm1 f32 scalar 1.436 at 0x1.631786p-2, got 0x1.a87038p-2, want 0x1.a87036p-2
 * ulp: expm1 f64 fma 1.483 at 0x1.630a4032ddb17p-2, got 0x1.a85d6f17d552ap-2, want 0x1.a85d6f17d552bp-2
 * ulp: expm1 f64 scalar 1.433 at 0x1.62ee69281d104p-2, got 0x1.a8360f015b558p-2, want 0x1.a8360f015b559p-2 */
static inline V(t) K(vexpm1)(V(t) x)
{
    const V(t) half = V(set1)((REAL)0.5);
    const V(t) clamped = V(min)(V(set1)(EXP_MAX), V(max)(V(set1)(EXPM1_MIN), x));
    const V(t) magic = V(set1)((REAL)1.5 * MAGIC + (EXPONENT_BIAS - 1));
    const V(t) t = V(fma)(clamped, V(set1)(LOG2E), magic);
    const V(t) n = V(sub)(t, magic);
    const V(t) r1 = V(fma)(n, V(set1)(-LN2_HIGH), clamped);
    const V(t) r = V(fma)(n, V(set1)(-LN2_LOW), r1);
    const V(t) c = V(fma)(n, V(set1)(-LN2_LOW), V(sub)(r1, r));
    const V(t) w = V(fma)(V(mul)(r, r), K(vpolynomial)(K(vexp_table), EXP_TERMS, r), c);
    const V(t) power = K(vpower)(V(bits)(t));
    /* d_low, what the first difference loses, makes the result reach -1 where it should. */
    const V(t) d = V(sub)(power, half);
    const V(t) d_low = V(sub)(power, V(add)(d, half));
    const V(t) high = V(fma)(power, r, d);
    const V(t) low = V(add)(V(fma)(power, r, V(sub)(d, high)), d_low);
    const V(t) y = V(add)(high, V(fma)(power, w, low));
    return V(select)(V(lt)(V(abs)(x), V(set1)(TINY)), x, V(add)(y, y));
}

/* log(1 + f) - f + small, for sqrt(1/2) <= 1 + f <= sqrt(2). With s = f / (2 + f) and h = f^2 / 2: log(1 + f) = f - h +
 * s (h + s^2 Q(s^2)), for 2 atanh(s) = 2 s + s^3 Q(s^2); all but f is small, and so are the rounding errors. */
static inline V(t) K(vlog_rest)(V(t) f, V(t) small)
{
    const V(t) s = V(div)(f, V(add)(f, V(set1)((REAL)2)));
    const V(t) h = V(mul)(V(mul)(f, f), V(set1)((REAL)0.5));
    const V(t) z = V(mul)(s, s);
    const V(t) q = K(vpolynomial)(K(vlog_table), LOG_TERMS, z);
    return V(sub)(V(fma)(s, V(fma)(z, q, h), small), h);
}

/* k ln2 + log(1 + f) + small, exponent = the biased k, as an integer. What k ln2 + f loses is carried along. */
static inline V(t) K(vlog_sum)(V(int) exponent, V(t) offset, V(t) f, V(t) small)
{
    const V(t) k = V(sub)(V(real)(V(ior)(exponent, BITS(MAGIC_BITS))), offset);
    const V(t) high = V(fma)(k, V(set1)(LN2_HIGH), f);
    const V(t) low = V(sub)(f, V(fma)(k, V(set1)(-LN2_HIGH), high));
    return V(add)(high, K(vlog_rest)(f, V(fma)(k, V(set1)(LN2_LOW), V(add)(low, small))));
}

/* y, where 0 < x < infinity; else log(x). */
static inline V(t) K(vlog_limits)(V(t) x, V(t) y)
{
    const V(t) infinity = V(set1)((REAL)__builtin_inf());
    const V(t) outside = V(select)(V(eq)(x, V(zero)()), V(neg)(infinity), V(set1)((REAL)__builtin_nan("")));
    return V(select)(V(lt)(V(zero)(), x), V(select)(V(eq)(x, infinity), x, y), outside);
}

/* x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2): k ln2 + log(1 + f), with the polynomial Q in
 * (f / (2 + f))^2 < 0.0295.
 *
 * ulp: log f32 fma 0.830 at 0x1.6679e2p+0, got 0x1.58c3d8p-2, want 0x1.58c3d6p-2
 * ulp: log f32 scalar 0.840 at 0x1.69cf3ep+0, got 0x1.623e38p-2, want 0x1.623e3ap-2
 * ulp: log f64 fma 0.857 at 0x1.698151535e1dbp-1, got -0x1.6466c90f46accp-2, want -0x1.6466c90f46acbp-2
 * ulp: log f64 scalar 0.882 at 0x1.697754c8611a7p-1, got -0x1.6483131e19fb6p-2, want -0x1.6483131e19fb5p-2 */
static inline V(t) K(vlog)(V(t) x)
{
    const V(mask) denormal = V(lt)(x, V(set1)(NORMAL_MIN));
    const V(t) scaled = V(select)(denormal, V(mul)(x, V(set1)(NORMAL_SCALE)), x);
    /* The exponent field of i is k + bias: it steps at the powers of two times sqrt(1/2). */
    const V(int) i = V(iadd)(V(bits)(scaled), BITS(ONE_BITS - SQRT_HALF_BITS));
    const V(int) mantissa = V(iand)(i, BITS(((int64_t)1 << MANTISSA_BITS) - 1));
    const V(t) f = V(sub)(V(real)(V(iadd)(mantissa, BITS(SQRT_HALF_BITS))), V(set1)((REAL)1));
    const V(t) offset =
        V(select)(denormal, V(set1)(MAGIC + EXPONENT_BIAS + NORMAL_SHIFT), V(set1)(MAGIC + EXPONENT_BIAS));
    return K(vlog_limits)(x, K(vlog_sum)(V(ishr)(i, MANTISSA_BITS), offset, f, V(zero)()));
}

/* log(x) as above where sqrt(1/2) <= x <= sqrt(2), which makes k 0; of NaN, NaN. */
static inline V(t) K(vlog_near_1)(V(t) x)
{
    const V(t) f = V(sub)(x, V(set1)((REAL)1));
    return V(add)(f, K(vlog_rest)(f, V(zero)()));
}

/* 1 + x = 2^k (1 + f), then as log. k is that of the rounded sum; f = (2^-k - 1) + 2^-k x, which is x itself for k = 0.
 * The rounding of f matters only for k = 1 and f < -1/4, where 1 / (1 + f), the weight of its error, is 4/3 to
 * sqrt(2); 11/8 is near enough. Near 0, x itself.
 *
 * ulp: log1p f32 fma 0.834 at 0x1.a6533ap-2, got 0x1.6198c8p-2, want 0x1.6198cap-2
 * ulp: log1p f32 scalar 0.840 at 0x1.a73cf8p-2, got 0x1.623e38p-2, want 0x1.623e3ap-2
 * ulp: log1p f64 fma 0.860 at -0x1.2cd4607fe2d42p-2, got -0x1.642cbdacd4354p-2, want -0x1.642cbdacd4353p-2
 * ulp: log1p f64 scalar 0.876 at -0x1.2cbbe8beb2292p-2, got -0x1.640a18dd74198p-2, want -0x1.640a18dd74197p-2 */
static inline V(t) K(vlog1p)(V(t) x)
{
    const V(t) one = V(set1)((REAL)1);
    const V(t) u = V(add)(x, one);
    const V(int) i = V(iadd)(V(bits)(u), BITS(ONE_BITS - SQRT_HALF_BITS));
    const V(int) exponent = V(ishr)(i, MANTISSA_BITS);
    /* 2^(2 - k), as 2^-k may be denormal. */
    const V(t) power = V(real)(V(ishl)(V(isub)(BITS(2 * EXPONENT_BIAS + 2), exponent), MANTISSA_BITS));
    const V(t) quarter = V(mul)(x, V(set1)((REAL)0.25));
    const V(t) d = V(fma)(power, V(set1)((REAL)0.25), V(neg)(one));
    const V(t) f = V(fma)(quarter, power, d);
    const V(t) f_low = V(fma)(quarter, power, V(sub)(d, f));
    const V(t) y = K(vlog_sum)(exponent, V(set1)(MAGIC + EXPONENT_BIAS), f, V(mul)(f_low, V(set1)((REAL)1.375)));
    return V(select)(V(lt)(V(abs)(x), V(set1)(TINY)), x, K(vlog_limits)(u, y));
}

#undef BITS
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef ONE_BITS
#undef SQRT_HALF_BITS
#undef MAGIC
#undef MAGIC_BITS
#undef LOG2E
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_MIN
#undef EXP_MAX
#undef EXPM1_MIN
#undef TANH_MAX
#undef TINY
#undef NORMAL_MIN
#undef NORMAL_SHIFT
#undef NORMAL_SCALE
#undef EXP_TERMS
#undef TANH_TERMS
#undef TANH_DEGREE
#undef TANH_SCALE
#undef TANH_OFFSET
#undef TANH_HALF_OCTAVE
#undef LOG_TERMS
