/* The passes of a transform in one type of numbers, `real`; names end in SUFFIX. Included twice by
 * fft.c. Internal.
 *
 * A pass of radix r takes s sequences of length n, stored as x[q + s (p + m j)] with m = n / r, to
 * r s sequences of length m: y[q + s (r p + j)] is the j-th output of the butterfly over x[q + s (p
 * + m i)], i < r, times w^(p j), w = exp(-2 pi i / n). Real and imaginary parts are apart. */

#define NAME_(name, suffix) name##_##suffix
#define NAME(name, suffix) NAME_(name, suffix)
#define PASS(name) NAME(name, SUFFIX)

typedef struct PASS(lanes) {
    const real *restrict xr, *restrict xi;
    real *restrict yr, *restrict yi;
} PASS(lanes);

/* w^(p j) of this pass. */
typedef struct PASS(root) {
    real r, i;
} PASS(root);

static inline PASS(root) PASS(root_at)(const fft_plan *plan, int64_t k)
{
    const double *root = plan->root + 2 * k * plan->root_stride;
    return (PASS(root)){(real)root[0], (real)root[1]};
}

#define TIMES(re, im, w, to)                                                                       \
    do {                                                                                           \
        real tr = (re), ti = (im);                                                                 \
        yr[to] = tr * (w).r - ti * (w).i;                                                          \
        yi[to] = tr * (w).i + ti * (w).r;                                                          \
    } while (0)

static void PASS(radix2)(const PASS(lanes) * l, int64_t s, int64_t m, PASS(root) w)
{
    const real *restrict xr = l->xr, *restrict xi = l->xi;
    real *restrict yr = l->yr, *restrict yi = l->yi;
    for (int64_t q = 0; q < s; q++) {
        int64_t b = q + s * m;
        yr[q] = xr[q] + xr[b];
        yi[q] = xi[q] + xi[b];
        TIMES(xr[q] - xr[b], xi[q] - xi[b], w, q + s);
    }
}

static void PASS(radix3)(const PASS(lanes) * l, int64_t s, int64_t m, const PASS(root) * w)
{
    const real *restrict xr = l->xr, *restrict xi = l->xi;
    real *restrict yr = l->yr, *restrict yi = l->yi;
    const real sine = (real)0.86602540378443864676; /* of 60 degrees */
    for (int64_t q = 0; q < s; q++) {
        int64_t b = q + s * m, c = q + 2 * s * m;
        real sr = xr[b] + xr[c], si = xi[b] + xi[c];
        real dr = sine * (xi[b] - xi[c]), di = sine * (xr[c] - xr[b]);
        real hr = xr[q] - (real)0.5 * sr, hi = xi[q] - (real)0.5 * si;
        yr[q] = xr[q] + sr;
        yi[q] = xi[q] + si;
        TIMES(hr + dr, hi + di, w[1], q + s);
        TIMES(hr - dr, hi - di, w[2], q + 2 * s);
    }
}

static void PASS(radix4)(const PASS(lanes) * l, int64_t s, int64_t m, const PASS(root) * w)
{
    const real *restrict xr = l->xr, *restrict xi = l->xi;
    real *restrict yr = l->yr, *restrict yi = l->yi;
    for (int64_t q = 0; q < s; q++) {
        int64_t b = q + s * m, c = q + 2 * s * m, d = q + 3 * s * m;
        real apr = xr[q] + xr[c], api = xi[q] + xi[c], amr = xr[q] - xr[c], ami = xi[q] - xi[c];
        real bpr = xr[b] + xr[d], bpi = xi[b] + xi[d], bmr = xr[b] - xr[d], bmi = xi[b] - xi[d];
        yr[q] = apr + bpr;
        yi[q] = api + bpi;
        TIMES(amr + bmi, ami - bmr, w[1], q + s);
        TIMES(apr - bpr, api - bpi, w[2], q + 2 * s);
        TIMES(amr - bmi, ami + bmr, w[3], q + 3 * s);
    }
}

static void PASS(radix5)(const PASS(lanes) * l, int64_t s, int64_t m, const PASS(root) * w)
{
    const real *restrict xr = l->xr, *restrict xi = l->xi;
    real *restrict yr = l->yr, *restrict yi = l->yi;
    const real c1 = (real)0.30901699437494742410, c2 = (real)-0.80901699437494742410;
    const real s1 = (real)0.95105651629515357212, s2 = (real)0.58778525229247312917;
    for (int64_t q = 0; q < s; q++) {
        int64_t b = q + s * m, c = q + 2 * s * m, d = q + 3 * s * m, e = q + 4 * s * m;
        real t1r = xr[b] + xr[e], t1i = xi[b] + xi[e], t4r = xr[b] - xr[e], t4i = xi[b] - xi[e];
        real t2r = xr[c] + xr[d], t2i = xi[c] + xi[d], t3r = xr[c] - xr[d], t3i = xi[c] - xi[d];
        real ar = xr[q] + c1 * t1r + c2 * t2r, ai = xi[q] + c1 * t1i + c2 * t2i;
        real br = xr[q] + c2 * t1r + c1 * t2r, bi = xi[q] + c2 * t1i + c1 * t2i;
        real er = s1 * t4i + s2 * t3i, ei = s1 * t4r + s2 * t3r;
        real fr = s2 * t4i - s1 * t3i, fi = s2 * t4r - s1 * t3r;
        yr[q] = xr[q] + t1r + t2r;
        yi[q] = xi[q] + t1i + t2i;
        TIMES(ar + er, ai - ei, w[1], q + s);
        TIMES(br + fr, bi - fi, w[2], q + 2 * s);
        TIMES(br - fr, bi + fi, w[3], q + 3 * s);
        TIMES(ar - er, ai + ei, w[4], q + 4 * s);
    }
}

/* Any radix: r^2 products. rot[k] = exp(-2 pi i k / r). */
static void PASS(radix_any)(const PASS(lanes) * l, int64_t s, int64_t m, int r,
                            const PASS(root) * w, const PASS(root) * rot)
{
    const real *restrict xr = l->xr, *restrict xi = l->xi;
    real *restrict yr = l->yr, *restrict yi = l->yi;
    for (int j = 0; j < r; j++) {
        real *restrict tr = yr + s * j, *restrict ti = yi + s * j;
        for (int64_t q = 0; q < s; q++) {
            tr[q] = xr[q];
            ti[q] = xi[q];
        }
        for (int i = 1; i < r; i++) {
            PASS(root) k = rot[i * j % r];
            const real *restrict ar = xr + s * m * i, *restrict ai = xi + s * m * i;
            for (int64_t q = 0; q < s; q++) {
                tr[q] += ar[q] * k.r - ai[q] * k.i;
                ti[q] += ar[q] * k.i + ai[q] * k.r;
            }
        }
        for (int64_t q = 0; q < s && j > 0; q++) {
            real vr = tr[q], vi = ti[q];
            tr[q] = vr * w[j].r - vi * w[j].i;
            ti[q] = vr * w[j].i + vi * w[j].r;
        }
    }
}

static void PASS(pass)(const fft_plan *plan, int r, int64_t n, int64_t s, int64_t lanes,
                       const PASS(lanes) * all)
{
    int64_t m = n / r, step = plan->n / n; /* w^k is the plan's root k step */
    PASS(root) rot[FFT_LARGEST_RADIX], w[FFT_LARGEST_RADIX];
    for (int k = 0; k < r; k++)
        rot[k] = PASS(root_at)(plan, k * (plan->n / r));
    s *= lanes;
    for (int64_t p = 0; p < m; p++) {
        PASS(lanes)
        l = {all->xr + s * p, all->xi + s * p, all->yr + s * r * p, all->yi + s * r * p};
        for (int j = 1; j < r; j++)
            w[j] = PASS(root_at)(plan, p * j * step);
        if (r == 2)
            PASS(radix2)(&l, s, m, w[1]);
        else if (r == 3)
            PASS(radix3)(&l, s, m, w);
        else if (r == 4)
            PASS(radix4)(&l, s, m, w);
        else if (r == 5)
            PASS(radix5)(&l, s, m, w);
        else
            PASS(radix_any)(&l, s, m, r, w, rot);
    }
}

/* The transforms of `lanes` rows, row b at a[b + lanes k] (real parts) and a[size + ..] (imaginary
 * ones), size = lanes n; b is room for as much. Where the result is: a or b. */
static real *PASS(transform)(const fft_plan *plan, int64_t lanes, real *a, real *b)
{
    int64_t size = lanes * plan->n, n = plan->n;
    for (int i = 0; i < plan->factors; i++) {
        PASS(lanes) l = {a, a + size, b, b + size};
        PASS(pass)(plan, plan->factor[i], n, plan->n / n, lanes, &l);
        n /= plan->factor[i];
        real *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

/* Complex numbers between rows, which begin at these offsets, and planes of real and imaginary
 * parts (exchanged if `swap`): as gather and scatter of fft.c do for any kind and dtype. */
static void PASS(load)(real *to, int64_t size, bool swap, const real *x, const int64_t *row,
                       int64_t lanes, int64_t n, int64_t along, int64_t part)
{
    real *re = swap ? to + size : to, *im = swap ? to : to + size;
    for (int64_t k = 0; k < n; k++)
        for (int64_t b = 0; b < lanes; b++) {
            *re++ = x[row[b] + k * along];
            *im++ = x[row[b] + k * along + part];
        }
}

static void PASS(store)(real *y, const int64_t *row, int64_t along, double scale, const real *from,
                        int64_t size, bool swap, int64_t lanes, int64_t n)
{
    const real *re = swap ? from + size : from, *im = swap ? from : from + size;
    for (int64_t k = 0; k < n; k++)
        for (int64_t b = 0; b < lanes; b++) {
            real *to = y + row[b] + k * along;
            to[0] = (real)(scale * (double)*re++);
            to[1] = (real)(scale * (double)*im++);
        }
}

#undef TIMES
#undef PASS
#undef NAME
#undef NAME_
