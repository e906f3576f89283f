/* The loops of optimisers, averages and clipping: one pass over flat memory each.
 * Everything is element by element but square_sum, whose order is fixed below. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/optim.def"
#undef KERNEL_ROW

/* average += w (p - average), if there is an average. */
V_FN void follow(real *average, vec w, vec p, int64_t n)
{
    if (average != NULL) {
        vec a = v_load(average, n);
        v_store(average, v_fma(w, p - a, a), n);
    }
}

V_FN real *at(void *array, int64_t i)
{
    return array == NULL ? NULL : (real *)array + i;
}

/* Stores go through the caches, where the lines are already, having been read: past them a step
 * took two thirds longer. */
void KERNEL(adam_step)(const step_arrays *s, double beta1, double beta2, double eps, double decay,
                       double shrink, double step, double root)
{
    real *p = s->p, *m = s->state[0], *v = s->state[1], *most = s->state[2];
    const real *g = s->g;
    vec new1 = v_set1((real)(1 - beta1)), keep2 = v_set1((real)beta2);
    vec new2 = v_set1((real)(1 - beta2)), veps = v_set1((real)eps), vdecay = v_set1((real)decay);
    vec vshrink = v_set1((real)shrink), vstep = v_set1((real)step);
    vec inverse_root = v_set1((real)(1 / root)), weight = v_set1((real)s->weight);
    vec scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), mi = v_load(m + i, n - i), vi = v_load(v + i, n - i);
        vec gi = v_fma(vdecay, pi, scale * v_load(g + i, n - i));
        mi = v_fma(new1, gi - mi, mi);
        vi = v_fma(new2 * gi, gi, keep2 * vi);
        v_store(m + i, mi, n - i);
        v_store(v + i, vi, n - i);
        if (most != NULL) {
            vi = v_max_nan(v_load(most + i, n - i), vi);
            v_store(most + i, vi, n - i);
        }
        vec update = mi / v_fma(v_sqrt(vi), inverse_root, veps);
        pi = v_fnma(vstep, update, vshrink * pi);
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

void KERNEL(sgd_step)(const step_arrays *s, double lr, double momentum, double add, double decay,
                      double shrink, bool nesterov)
{
    real *p = s->p, *b = s->state[0];
    const real *g = s->g;
    vec vlr = v_set1((real)lr), vmomentum = v_set1((real)momentum), vdecay = v_set1((real)decay);
    vec vadd = v_set1((real)add), vshrink = v_set1((real)shrink);
    vec weight = v_set1((real)s->weight), scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), gi = v_fma(vdecay, pi, scale * v_load(g + i, n - i));
        if (b != NULL) {
            vec bi = v_fma(vmomentum, v_load(b + i, n - i), vadd * gi);
            v_store(b + i, bi, n - i);
            gi = nesterov ? v_fma(vmomentum, bi, gi) : bi;
        }
        pi = v_fnma(vlr, gi, vshrink * pi);
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

void KERNEL(rmsprop_step)(const step_arrays *s, double lr, double alpha, double eps,
                          double momentum, double decay)
{
    real *p = s->p, *v = s->state[0], *m = s->state[1], *b = s->state[2];
    const real *g = s->g;
    vec vlr = v_set1((real)lr), keep = v_set1((real)alpha), fresh = v_set1((real)(1 - alpha));
    vec veps = v_set1((real)eps), vmomentum = v_set1((real)momentum);
    vec vdecay = v_set1((real)decay), weight = v_set1((real)s->weight);
    vec scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), vi = v_load(v + i, n - i);
        vec gi = v_fma(vdecay, pi, scale * v_load(g + i, n - i));
        vi = v_fma(fresh * gi, gi, keep * vi);
        v_store(v + i, vi, n - i);
        if (m != NULL) {
            vec mi = v_load(m + i, n - i);
            mi = v_fma(fresh, gi - mi, mi);
            v_store(m + i, mi, n - i);
            vi = v_max(v_zero(), v_fnma(mi, mi, vi));
        }
        vec update = gi / (v_sqrt(vi) + veps);
        if (b != NULL) {
            update = v_fma(vmomentum, v_load(b + i, n - i), update);
            v_store(b + i, update, n - i);
        }
        pi = v_fnma(vlr, update, pi);
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

void KERNEL(adagrad_step)(const step_arrays *s, double lr, double eps, double decay)
{
    real *p = s->p, *v = s->state[0];
    const real *g = s->g;
    vec vlr = v_set1((real)lr), veps = v_set1((real)eps), vdecay = v_set1((real)decay);
    vec weight = v_set1((real)s->weight), scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), gi = v_fma(vdecay, pi, scale * v_load(g + i, n - i));
        vec vi = v_fma(gi, gi, v_load(v + i, n - i));
        v_store(v + i, vi, n - i);
        pi = v_fnma(vlr, gi / (v_sqrt(vi) + veps), pi);
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

/* 1, -1, or a itself if it is 0 or NaN. */
V_FN vec sign(vec a)
{
    vec one = v_set1((real)1);
    return v_select(v_lt(v_zero(), a), one, v_select(v_lt(a, v_zero()), v_zero() - one, a));
}

void KERNEL(lion_step)(const step_arrays *s, double lr, double beta1, double beta2, double shrink)
{
    real *p = s->p, *m = s->state[0];
    const real *g = s->g;
    vec vlr = v_set1((real)lr), keep1 = v_set1((real)beta1), new1 = v_set1((real)(1 - beta1));
    vec keep2 = v_set1((real)beta2), new2 = v_set1((real)(1 - beta2));
    vec vshrink = v_set1((real)shrink), weight = v_set1((real)s->weight);
    vec scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec pi = v_load(p + i, n - i), mi = v_load(m + i, n - i);
        vec gi = scale * v_load(g + i, n - i);
        pi = v_fnma(vlr, sign(v_fma(keep1, mi, new1 * gi)), vshrink * pi);
        v_store(m + i, v_fma(keep2, mi, new2 * gi), n - i);
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

void KERNEL(schedule_free_step)(const step_arrays *s, double lr, double beta2, double eps,
                                double root, double decay, double c, double back, double out)
{
    real *y = s->p, *z = s->state[0], *v = s->state[1];
    const real *g = s->g;
    vec vlr = v_set1((real)lr), keep2 = v_set1((real)beta2), new2 = v_set1((real)(1 - beta2));
    vec veps = v_set1((real)eps), inverse_root = v_set1((real)(1 / root));
    vec vdecay = v_set1((real)decay), vc = v_set1((real)c), vback = v_set1((real)back);
    vec vout = v_set1((real)out), weight = v_set1((real)s->weight), scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec yi = v_load(y + i, n - i), zi = v_load(z + i, n - i);
        vec update = scale * v_load(g + i, n - i);
        if (v != NULL) {
            vec vi = v_fma(new2 * update, update, keep2 * v_load(v + i, n - i));
            v_store(v + i, vi, n - i);
            update = update / v_fma(v_sqrt(vi), inverse_root, veps);
        }
        update = v_fma(vdecay, yi, update);
        yi = v_fma(vback, update, v_fma(vc, zi - yi, yi));
        zi = v_fnma(vlr, update, zi);
        v_store(y + i, yi, n - i);
        v_store(z + i, zi, n - i);
        follow(at(s->average, i), weight, v_fma(vout, zi - yi, yi), n - i);
    }
}

void KERNEL(muon_momentum)(void *to_, const void *b_, const void *g_, int64_t n, double scale,
                           double momentum, bool nesterov)
{
    real *to = to_;
    const real *b = b_, *g = g_;
    vec fresh = v_set1((real)(1 - momentum)), vmomentum = v_set1((real)momentum);
    vec vscale = v_set1((real)scale);
    for (int64_t i = 0; i < n; i += VL) {
        vec gi = vscale * v_load(g + i, n - i), bi = v_load(b + i, n - i);
        bi = v_fma(fresh, gi - bi, bi);
        v_store(to + i, nesterov ? v_fma(vmomentum, bi - gi, gi) : bi, n - i);
    }
}

void KERNEL(muon_step)(const step_arrays *s, double momentum, double shrink, double step)
{
    real *p = s->p, *b = s->state[0], *d = s->state[1];
    const real *g = s->g;
    vec fresh = v_set1((real)(1 - momentum)), vshrink = v_set1((real)shrink);
    vec vstep = v_set1((real)step), weight = v_set1((real)s->weight);
    vec scale = v_set1((real)s->scale);
    for (int64_t i = 0, n = s->n; i < n; i += VL) {
        vec bi = v_load(b + i, n - i);
        v_store(b + i, v_fma(fresh, scale * v_load(g + i, n - i) - bi, bi), n - i);
        vec pi = v_fnma(vstep, v_load(d + i, n - i), vshrink * v_load(p + i, n - i));
        v_store(p + i, pi, n - i);
        follow(at(s->average, i), weight, pi, n - i);
    }
}

void KERNEL(ema_step)(void *average_, const void *p_, int64_t n, double weight)
{
    real *average = average_;
    const real *p = p_;
    vec w = v_set1((real)weight);
    for (int64_t i = 0; i < n; i += VL)
        follow(average + i, w, v_load(p + i, n - i), n - i);
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

/* Sixteen running sums, added up by halving: the same for every width of vectors, and there is no
 * fused multiply-add, which base would not have. Four quarters are read side by side, sixteen
 * elements of each in turn: a processor fetches ahead in each of them, and one alone leaves a third
 * of the memory's rate unused. */
double KERNEL(square_sum)(const void *x_, int64_t n)
{
    enum { SUMS = 16, STREAMS = 4 };
    const real *x = x_;
    double sum[SUMS] = {0};
    int64_t quarter = n / (SUMS * STREAMS) * SUMS;
    for (int64_t i = 0; i < quarter; i += SUMS)
        for (int s = 0; s < STREAMS; s++)
            for (int k = 0; k < SUMS; k++)
                sum[k] += (double)x[s * quarter + i + k] * (double)x[s * quarter + i + k];
    for (int64_t i = STREAMS * quarter, k = 0; i < n; i++, k = (k + 1) % SUMS)
        sum[k] += (double)x[i] * (double)x[i];
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
