/* The loops of optimisers, averages and clipping: one pass over flat memory each.
 * Everything is element by element but square_sum, whose order is fixed below. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/optim.def"
#undef KERNEL_ROW

void KERNEL(adam_step)(void *p_, const void *g_, void *m_, void *v_, int64_t n, double beta1,
                       double beta2, double eps, double decay, double shrink, double step,
                       double root)
{
    real *p = p_, *m = m_, *v = v_;
    const real *g = g_;
    vec new1 = v_set1((real)(1 - beta1)), keep2 = v_set1((real)beta2);
    vec new2 = v_set1((real)(1 - beta2)), veps = v_set1((real)eps), vdecay = v_set1((real)decay);
    vec vshrink = v_set1((real)shrink), vstep = v_set1((real)step);
    vec inverse_root = v_set1((real)(1 / root));
    for (int64_t i = 0; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), mi = v_load(m + i, n - i), vi = v_load(v + i, n - i);
        vec gi = v_fma(vdecay, pi, v_load(g + i, n - i));
        mi = v_fma(new1, gi - mi, mi);
        vi = v_fma(new2 * gi, gi, keep2 * vi);
        vec update = mi / v_fma(v_sqrt(vi), inverse_root, veps);
        v_store(p + i, v_fnma(vstep, update, vshrink * pi), n - i);
        v_store(m + i, mi, n - i);
        v_store(v + i, vi, n - i);
    }
}

void KERNEL(sgd_step)(void *p_, const void *g_, void *b_, int64_t n, double lr, double momentum,
                      double decay, bool nesterov)
{
    real *p = p_, *b = b_;
    const real *g = g_;
    vec vlr = v_set1((real)lr), vmomentum = v_set1((real)momentum), vdecay = v_set1((real)decay);
    for (int64_t i = 0; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), gi = v_fma(vdecay, pi, v_load(g + i, n - i));
        if (b != NULL) {
            vec bi = v_fma(vmomentum, v_load(b + i, n - i), gi);
            v_store(b + i, bi, n - i);
            gi = nesterov ? v_fma(vmomentum, bi, gi) : bi;
        }
        v_store(p + i, v_fnma(vlr, gi, pi), n - i);
    }
}

void KERNEL(ema_step)(void *average_, const void *p_, int64_t n, double weight)
{
    real *average = average_;
    const real *p = p_;
    vec w = v_set1((real)weight);
    for (int64_t i = 0; i < n; i += VL) {
        vec a = v_load(average + i, n - i);
        v_store(average + i, v_fma(w, v_load(p + i, n - i) - a, a), n - i);
    }
}

void KERNEL(exchange)(void *a_, void *b_, int64_t n)
{
    real *a = a_, *b = b_;
    for (int64_t i = 0; i < n; i += VL) {
        vec ai = v_load(a + i, n - i);
        v_store(a + i, v_load(b + i, n - i), n - i);
        v_store(b + i, ai, n - i);
    }
}

/* Sixteen running sums, element i going to sum i mod 16, added up by halving: the same for every
 * width of vectors, and there is no fused multiply-add, which base would not have. */
double KERNEL(square_sum)(const void *x_, int64_t n)
{
    enum { SUMS = 16 };
    const real *x = x_;
    double sum[SUMS] = {0};
    int64_t whole = n - n % SUMS;
    for (int64_t i = 0; i < whole; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sum[k] += (double)x[i + k] * (double)x[i + k];
    for (int64_t i = whole; i < n; i++)
        sum[i - whole] += (double)x[i] * (double)x[i];
    for (int half = SUMS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            sum[k] += sum[k + half];
    return sum[0];
}

void KERNEL(scale)(void *x_, int64_t n, double c)
{
    real *x = x_;
    vec vc = v_set1((real)c);
    for (int64_t i = 0; i < n; i += VL)
        v_store(x + i, vc * v_load(x + i, n - i), n - i);
}

/* x - x is 0 for finite x and NaN for all else; NaN stays in the sum. */
bool KERNEL(all_finite)(const void *x_, int64_t n)
{
    const real *x = x_;
    vec sum = v_zero();
    for (int64_t i = 0; i < n; i += VL) {
        vec xi = v_load(x + i, n - i);
        sum = sum + (xi - xi);
    }
    return v_hsum(sum) == (real)0;
}
