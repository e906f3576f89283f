/* The variational bound, term by term, and its evaluation over all steps.
 * Invariant: example i takes random numbers from its own stream only; sums run in f64. */
#include "models/ddpm/likelihood/bound_internal.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- L_0 ---- */

/* Beyond 40 deviations the mass is 0 or 1 to every digit, and z cubed would overflow. */
static ito_tensor *normal_mass_below(ito_tensor *z, ito_decoder decoder)
{
    z = ito_clamp(z, -40.0, 40.0);
    if (decoder == ITO_DECODER_ERF)
        return ito_add_scalar(ito_mul_scalar(ito_erf(ito_mul_scalar(z, M_SQRT1_2)), 0.5), 0.5);
    ito_tensor *inner = ito_axpby(1.0, z, 0.044715, ito_pow_scalar(z, 3.0));
    return ito_add_scalar(ito_mul_scalar(ito_tanh(ito_mul_scalar(inner, sqrt(M_2_PI))), 0.5), 0.5);
}

/* 1 where the interval around x is open on that side: for 8-bit images, at the last value. */
static ito_tensor *beyond(ito_tensor *x, double bound, bool above)
{
    ito_tensor *limit = ito_full_like(x, bound);
    return above ? ito_gt(x, limit) : ito_lt(x, limit);
}

ito_tensor *ito_decoder_bits(ito_tensor *x, ito_tensor *mean, ito_tensor *log_variance,
                             ito_decoder decoder)
{
    static const double half = 1.0 / 255.0, last = 0.999, floor = 1e-12;
    /* More than e^80 changes no mass, since the ends are rounded to 1e-19 at best. It would become
     * infinite, and its gradient infinity times 0. */
    static const double most = 80.0;
    ito_tensor *off = ito_sub(x, mean), *power = ito_mul_scalar(log_variance, -0.5);
    ito_tensor *precision = ito_exp(ito_clamp(power, -(double)INFINITY, most));
    ito_tensor *below_right =
        normal_mass_below(ito_mul(ito_add_scalar(off, half), precision), decoder);
    ito_tensor *below_left =
        normal_mass_below(ito_mul(ito_add_scalar(off, -half), precision), decoder);
    if (below_right == NULL || below_left == NULL)
        return NULL;
    ito_tensor *right = ito_where(beyond(x, last, true), ito_ones_like(below_right), below_right);
    ito_tensor *left = ito_where(beyond(x, -last, false), ito_zeros_like(below_left), below_left);
    ito_tensor *mass = ito_clamp(ito_sub(right, left), floor, (double)INFINITY);
    return ito_mul_scalar(ito_log(mass), -1.0 / M_LN2);
}

/* ---- L_{t-1} ---- */

static double log_variance_offset(const ito_diffusion *d, const ito_step *step)
{
    return d->variance->log_variance(step).offset;
}

static double log_variance_slope(const ito_diffusion *d, const ito_step *step)
{
    return d->variance->log_variance(step).slope;
}

/* log beta~, floored as the fixed variance is. */
static double posterior_log_variance(const ito_diffusion *d, const ito_step *step)
{
    (void)d;
    return ito_variance_fixedsmall.log_variance(step).offset;
}

/* mu~ - mu = b (x_0 - x_0-hat): b^2. */
static double squared_share(const ito_diffusion *d, const ito_step *step)
{
    (void)d;
    double b = ito_step_posterior(step).x_0;
    return b * b;
}

/* KL between normals, in bits: (w - u - 1 + exp(u - w) + (mu~ - mu)^2 exp(-w)) / 2 with
 * u = log beta~, w = the model's log variance. */
static ito_tensor *divergence(const ito_diffusion *d, ito_tensor *x_0, ito_tensor *x_0_hat,
                              ito_tensor *log_variance, const ito_tensor *t)
{
    ito_tensor *posterior = number_per_example(d, posterior_log_variance, x_0, t);
    ito_tensor *excess = ito_sub(log_variance, posterior);
    ito_tensor *variances = ito_add(excess, ito_exp(ito_neg(excess)));
    ito_tensor *gap =
        ito_mul(ito_square(ito_sub(x_0, x_0_hat)), number_per_example(d, squared_share, x_0, t));
    ito_tensor *means = ito_mul(gap, ito_exp(ito_neg(log_variance)));
    return ito_mul_scalar(ito_add_scalar(ito_add(variances, means), -1.0), 0.5 / M_LN2);
}

/* Which examples are at t = 0: bool, [N, 1, ...]. */
static ito_tensor *at_the_end(const ito_tensor *like, const ito_tensor *t, int64_t *n)
{
    ito_shape shape = {.ndim = like->ndim, .dim = {like->shape[0], 1, 1, 1, 1, 1, 1, 1}};
    ito_tensor *mask = tensor_empty(shape, ITO_BOOL);
    *n = 0;
    for (int64_t i = 0; mask != NULL && i < t->shape[0]; i++) {
        bool last = vector_at(t, i) == 0.0;
        ((bool *)tensor_data(mask))[i] = last;
        *n += last;
    }
    return mask;
}

ito_tensor *bound_terms(const ito_diffusion *d, ito_tensor *x_0, ito_tensor *x_0_hat, ito_tensor *v,
                        const ito_tensor *t, ito_decoder decoder)
{
    if (x_0 == NULL || x_0_hat == NULL)
        return NULL;
    int64_t ended;
    ito_tensor *mask = at_the_end(x_0, t, &ended), *decoded = NULL, *kl = NULL;
    ito_tensor *log_variance = number_per_example(d, log_variance_offset, x_0, t);
    if (v != NULL)
        log_variance =
            ito_add(log_variance, ito_mul(number_per_example(d, log_variance_slope, x_0, t), v));
    if (mask == NULL || log_variance == NULL)
        return NULL;
    if (ended > 0) {
        decoded = ito_decoder_bits(x_0, x_0_hat, log_variance, decoder);
        if (decoded == NULL || ended == t->shape[0])
            return example_mean(decoded);
    }
    if (ended > 0) /* what overflows there would be NaN in the gradient, though it is not chosen */
        log_variance = ito_where(mask, ito_zeros_like(log_variance), log_variance);
    kl = divergence(d, x_0, x_0_hat, log_variance, t);
    return example_mean(ended > 0 ? ito_where(mask, decoded, kl) : kl);
}

/* ---- L_T ---- */

/* The level of x_T in units of the deviation that sampling starts from: 1 where variance is
 * preserved. */
static ito_level prior_level(const ito_process *p)
{
    ito_level end = ito_process_level(p, p->t_max);
    double start = prior_deviation(p);
    return (ito_level){end.signal / start, end.noise / start};
}

ito_tensor *ito_prior_bits(const ito_diffusion *d, ito_tensor *x_0)
{
    if (d == NULL) {
        error_missing("prior_bits", "the diffusion");
        return NULL;
    }
    ito_level end = prior_level(d->process);
    double variance = end.noise * end.noise;
    ito_tensor *mean_square = example_mean(ito_square(ito_mul_scalar(x_0, end.signal)));
    return ito_mul_scalar(ito_add_scalar(mean_square, variance - 1.0 - log(variance)), 0.5 / M_LN2);
}

/* ---- evaluation ---- */

typedef struct evaluation {
    const ito_diffusion *d;
    ito_network *network;
    ito_bits_options o;
    ito_generator *generators;
    double *reach;           /* of steps that are drawn: [T] probability of 1 .. t; else NULL */
    double *shift;           /* the same: [N] each image's number of [0, 1) */
    ito_tensor *x_0, *exact; /* as given; in f64 */
    ito_tensor *noise;
    double *share;               /* [N] of the round of evaluations under way */
    ito_tensor *terms, *squares; /* [N, T] f64 */
    ito_tensor *decoded;         /* [2, N] f64 */
} evaluation;

/* The divergence at step t for data of independent pixels N(0, 1/4) and the best x_0-hat, up to a
 * factor: (mu~ - mu)^2 / beta~. */
static double expected_divergence(const ito_diffusion *d, int64_t t)
{
    static const double pixels = 0.25;
    ito_step step = ito_step_between(d->process, (double)t, (double)t - 1.0);
    double known = step.at.signal * step.at.signal * pixels;
    double noise = step.at.noise * step.at.noise;
    double unknown = pixels * noise / (known + noise); /* Var[x_0 | x_t] */
    double term = unknown * squared_share(d, &step) / exp(posterior_log_variance(d, &step));
    return isfinite(term) ? term : 0.0;
}

/* The probabilities of all steps but 0, added up. Where real terms are larger than expected ones,
 * their weights would be as large: a tenth that is uniform bounds them. */
static void add_up_probabilities(evaluation *e)
{
    static const double uniform = 0.1;
    int64_t T = e->d->process->steps;
    double sum = 0.0;
    for (int64_t t = 1; t < T; t++)
        sum += expected_divergence(e->d, t);
    e->reach[0] = 0.0;
    for (int64_t t = 1; t < T; t++) {
        double share = sum > 0.0 ? expected_divergence(e->d, t) / sum : 1.0 / (double)(T - 1);
        e->reach[t] = e->reach[t - 1] + (1.0 - uniform) * share + uniform / (double)(T - 1);
    }
}

/* The step that an example has in a round of evaluations, and what its term counts there. Rounds
 * count down to 0, which is t = 0 for all. */
static int64_t choose_step(const evaluation *e, int64_t round, int64_t example, double *share)
{
    *share = 1.0;
    if (e->reach == NULL || round == 0)
        return round;
    double n = (double)e->o.monte_carlo, u = ((double)(round - 1) + e->shift[example]) / n;
    int64_t t = 1;
    while (t < e->d->process->steps - 1 && e->reach[t] <= u)
        t++;
    *share = 1.0 / (n * (e->reach[t] - e->reach[t - 1]));
    return t;
}

/* Row i of a table [N, ...] has image i's values in a row of its own: adds its share of values[i]
 * there, in the column of its step. */
static bool add_shares(const evaluation *e, ito_tensor *table, const ito_tensor *t,
                       const ito_tensor *values)
{
    for (int64_t i = 0; values != NULL && i < values->shape[0]; i++) {
        int64_t column = ((const int64_t *)tensor_data(t))[i];
        double value = ((const double *)tensor_data(values))[i * values->stride[0]];
        ((double *)tensor_data(table))[i * table->shape[1] + column] += e->share[i] * value;
    }
    return values != NULL;
}

/* Adds one noising to terms and squares. */
static ito_status evaluate_once(evaluation *e, ito_tensor *t, int64_t round)
{
    network_heads heads;
    if (draw_images(e->generators, e->noise) != ITO_OK)
        return ito_error_code();
    ito_tensor *x_t = ito_q_sample(e->d->process, e->x_0, e->noise, t);
    if (!evaluate_noised("bits_per_dim", e->d, e->network, x_t, t, &heads))
        return ito_error_code();
    ito_tensor *x_0_hat =
        weighted_sum(e->d->process, x_0_coefficients, e->d->prediction, ito_cast(x_t, ITO_F64),
                     ito_cast(heads.prediction, ITO_F64), t);
    if (!e->o.no_clip)
        x_0_hat = ito_clamp(x_0_hat, -1.0, 1.0);
    ito_tensor *v = heads.v == NULL ? NULL : ito_cast(heads.v, ITO_F64);
    ito_tensor *terms = bound_terms(e->d, e->exact, x_0_hat, v, t, e->o.decoder);
    ito_tensor *squares = example_mean(ito_square(ito_sub(x_0_hat, e->exact)));
    bool good = add_shares(e, e->terms, t, terms) && add_shares(e, e->squares, t, squares);
    for (int k = 0; good && k < 2 && round == 0; k++) {
        ito_tensor *bits = bound_terms(e->d, e->exact, x_0_hat, v, t, (ito_decoder)k);
        good = ito_add_(ito_select(e->decoded, 0, k), bits, 1.0 / (double)e->o.draws) != NULL;
    }
    return good ? ITO_OK : ito_error_code();
}

static ito_status evaluate_step(evaluation *e, int64_t round)
{
    ito_status status = ITO_OK;
    for (int64_t k = 0; k < e->o.draws && status == ITO_OK; k++) {
        ito_scope_begin();
        ito_tensor *t = ito_empty(ITO_SHAPE(e->x_0->shape[0]), ITO_I64);
        for (int64_t i = 0; t != NULL && i < t->shape[0]; i++) {
            ((int64_t *)tensor_data(t))[i] = choose_step(e, round, i, &e->share[i]);
            e->share[i] /= (double)e->o.draws;
        }
        status = t == NULL ? ito_error_code() : evaluate_once(e, t, round);
        ito_scope_end();
    }
    return status;
}

static ito_status evaluate_check(const evaluation *e)
{
    const ito_process *s = e->d->process;
    if (s->steps == 0)
        return error_status(
            ITO_ERR_ARGUMENT,
            "bits_per_dim: the bound is that of a process in steps, and this one is "
            "in continuous time");
    if (e->x_0->ndim < 1 || (e->x_0->dtype != ITO_F32 && e->x_0->dtype != ITO_F64))
        return error_status(ITO_ERR_SHAPE,
                            "bits_per_dim: the images are %s of %s; they must be "
                            "[N, ...] of f32 or f64",
                            tensor_shape_str(e->x_0), ito_dtype_name(e->x_0->dtype));
    if (e->o.draws < 1)
        return error_status(ITO_ERR_RANGE, "bits_per_dim: %" PRId64 " draws; at least 1 is needed",
                            e->o.draws);
    if (e->o.monte_carlo < 0 || e->o.monte_carlo >= s->steps)
        return error_status(ITO_ERR_RANGE,
                            "bits_per_dim: %" PRId64 " steps cannot be drawn of %" PRId64,
                            e->o.monte_carlo, s->steps - 1);
    ito_step last = ito_step_between(s, s->t_max, s->t_max - 1.0);
    if (!isfinite(ito_prediction_to_x_0(e->d->prediction, &last).c_skip))
        return error_status(ITO_ERR_ARGUMENT,
                            "bits_per_dim: %s does not tell x_0 at step %g (signal %g)",
                            e->d->prediction->name, last.t, last.at.signal);
    return ITO_OK;
}

/* Prepare the probabilities of the steps, if they are drawn. */
static bool prepare_draws(evaluation *e)
{
    int64_t N = e->x_0->shape[0];
    e->share = struct_alloc(((size_t)N + 1) * sizeof *e->share);
    if (e->share == NULL || e->o.monte_carlo == 0)
        return e->share != NULL;
    e->reach = struct_alloc((size_t)e->d->process->steps * sizeof *e->reach);
    e->shift = e->reach == NULL ? NULL : struct_alloc(((size_t)N + 1) * sizeof *e->shift);
    if (e->shift == NULL)
        return false;
    add_up_probabilities(e);
    for (int64_t i = 0; i < N; i++)
        e->shift[i] = ito_uniform(&e->generators[i]);
    return true;
}

/* All steps, from the noisiest; or those that are drawn. */
static ito_status evaluate_all(evaluation *e)
{
    int64_t N = e->x_0->shape[0], T = e->d->process->steps;
    int64_t rounds = e->o.monte_carlo != 0 ? 1 + e->o.monte_carlo : T;
    e->generators = image_generators("bits_per_dim", e->o.seed, e->o.first_image, N);
    e->exact = ito_cast(e->x_0, ITO_F64);
    e->noise = tensor_empty(ito_shape_of(e->x_0), e->x_0->dtype);
    e->terms = ito_zeros(ITO_SHAPE(N, T), ITO_F64);
    e->squares = ito_zeros(ITO_SHAPE(N, T), ITO_F64);
    e->decoded = ito_zeros(ITO_SHAPE(2, N), ITO_F64);
    if (e->generators == NULL || e->exact == NULL || e->noise == NULL || e->terms == NULL ||
        e->squares == NULL || e->decoded == NULL || !prepare_draws(e))
        return ito_error_code();
    for (int64_t round = rounds - 1; round >= 0; round--) {
        ito_status status = evaluate_step(e, round);
        if (status != ITO_OK)
            return status;
        if (e->o.progress != NULL && !e->o.progress(rounds - round, rounds, e->o.progress_context))
            return ITO_ERR_ARGUMENT;
    }
    return ITO_OK;
}

ito_status ito_bits_per_dim_with(const ito_diffusion *d, ito_network *network, ito_tensor *x_0,
                                 ito_bits_options options, ito_bits *out)
{
    if (d == NULL || x_0 == NULL)
        return error_missing("bits_per_dim", d == NULL ? "the diffusion" : "x_0");
    evaluation e = {.d = d, .network = network, .o = options, .x_0 = x_0};
    ito_bits b = {NULL, NULL, NULL, NULL, NULL};
    ito_status status = evaluate_check(&e);
    if (status != ITO_OK)
        return status;
    ito_scope_begin();
    ito_no_grad_begin();
    status = evaluate_all(&e);
    if (status == ITO_OK) {
        b = (ito_bits){NULL, ito_prior_bits(d, e.exact), e.terms, e.squares, e.decoded};
        b.total = ito_add(b.prior, ito_sum(b.terms, .dims = ITO_DIMS(1)));
        status = b.total == NULL ? ito_error_code() : ITO_OK;
    }
    ito_no_grad_end();
    free(e.generators);
    free(e.reach);
    free(e.shift);
    free(e.share);
    b = (ito_bits){ito_keep(b.total), ito_keep(b.prior), ito_keep(b.terms), ito_keep(b.squares),
                   ito_keep(b.decoded)};
    ito_scope_end();
    if (status != ITO_OK || b.total == NULL || b.prior == NULL || b.terms == NULL ||
        b.squares == NULL || b.decoded == NULL)
        return status != ITO_OK ? status : ito_error_code();
    *out = b;
    return ITO_OK;
}

ito_tensor *ito_rate_distortion(const ito_bits *bits)
{
    int64_t N = bits->terms->shape[0], T = bits->terms->shape[1];
    ito_tensor *table = ito_empty(ITO_SHAPE(T, 2), ITO_F64);
    if (table == NULL)
        return NULL;
    const double *terms = tensor_data(bits->terms), *squares = tensor_data(bits->squares);
    const double *prior = tensor_data(bits->prior);
    double rate = 0.0, *row = tensor_data(table);
    for (int64_t i = 0; i < N; i++)
        rate += prior[i] / (double)N;
    for (int64_t t = T - 1; t >= 0; t--) {
        double term = 0.0, square = 0.0;
        for (int64_t i = 0; i < N; i++) {
            term += terms[i * T + t] / (double)N;
            square += squares[i * T + t] / (double)N;
        }
        row[2 * t] = rate;
        row[2 * t + 1] = 127.5 * sqrt(square);
        rate += term;
    }
    return table;
}
