/* The choices that there are: predictions, variances, weightings and losses, each a small function
 * of one step.
 * Invariant: none divides by the signal, which a last step may have lost, unless what it asks for
 * truly is infinite there. */
#include "models/ddpm/choices.h"
#include "models/ddpm/diffusion_internal.h"
#include "tensor/internal.h"

#include <math.h>

/* ---- what the output stands for: a x_0 + b eps ---- */

typedef const ito_ddpm_prediction prediction;
typedef const ito_ddpm_step step;

static ito_ddpm_pair eps_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_ddpm_pair){0.0, 1.0};
}

static ito_ddpm_pair x_0_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_ddpm_pair){1.0, 0.0};
}

/* mu~ = a x_t + b x_0, with x_t put in. The step is the schedule's, however sampling is spaced. */
static ito_ddpm_pair x_prev_target(prediction *p, step *s)
{
    (void)p;
    ito_ddpm_step one = *s;
    one.to = s->before;
    ito_ddpm_pair mean = ito_ddpm_posterior(&one, NULL);
    return (ito_ddpm_pair){mean.b + mean.a * s->at.signal, mean.a * s->at.noise};
}

static ito_ddpm_pair v_target(prediction *p, step *s)
{
    (void)p;
    return (ito_ddpm_pair){-s->at.noise, s->at.signal};
}

static ito_ddpm_pair score_target(prediction *p, step *s)
{
    (void)p;
    return (ito_ddpm_pair){0.0, -1.0 / s->at.noise};
}

/* The standard deviation of x_t. */
static double deviation(prediction *p, step *s)
{
    return hypot(s->at.noise, s->at.signal * p->sigma_data);
}

/* F = (x_0 - c_skip x) / c_out for x = x_t / signal, with c_skip and c_out put in. */
static ito_ddpm_pair edm_target(prediction *p, step *s)
{
    double D = deviation(p, s);
    return (ito_ddpm_pair){s->at.noise / (p->sigma_data * D), -s->at.signal * p->sigma_data / D};
}

static double edm_input(prediction *p, step *s)
{
    return 1.0 / deviation(p, s);
}

static ito_ddpm_pair flow_target(prediction *p, step *s)
{
    (void)p, (void)s;
    return (ito_ddpm_pair){-1.0, 1.0};
}

const ito_ddpm_prediction ito_ddpm_predict_eps = {"eps", eps_target, NULL, 0.0};
const ito_ddpm_prediction ito_ddpm_predict_x_0 = {"x_0", x_0_target, NULL, 0.0};
const ito_ddpm_prediction ito_ddpm_predict_x_prev = {"x_prev", x_prev_target, NULL, 0.0};
const ito_ddpm_prediction ito_ddpm_predict_v = {"v", v_target, NULL, 0.0};
const ito_ddpm_prediction ito_ddpm_predict_score = {"score", score_target, NULL, 0.0};
const ito_ddpm_prediction ito_ddpm_predict_edm = {"edm", edm_target, edm_input, 0.5};
const ito_ddpm_prediction ito_ddpm_predict_flow = {"flow", flow_target, NULL, 0.0};

static const ito_ddpm_prediction *const predictions[] = {
    &ito_ddpm_predict_eps,   &ito_ddpm_predict_x_0, &ito_ddpm_predict_x_prev, &ito_ddpm_predict_v,
    &ito_ddpm_predict_score, &ito_ddpm_predict_edm, &ito_ddpm_predict_flow,
};

const ito_ddpm_prediction *ito_ddpm_prediction_find(const char *name)
{
    return CHOICE_FIND("prediction", predictions, name);
}

ito_ddpm_pair target_pair(const ito_diffusion *d, const ito_ddpm_step *s)
{
    return d->prediction->target(d->prediction, s);
}

ito_ddpm_pair x_0_pair(const ito_diffusion *d, const ito_ddpm_step *s)
{
    return ito_ddpm_x_0_of(d->prediction, s);
}

ito_ddpm_pair eps_pair(const ito_diffusion *d, const ito_ddpm_step *s)
{
    return ito_ddpm_eps_of(d->prediction, s);
}

/* ---- log variance: a + b v ---- */

/* beta of the step, which respacing may have made of several. */
static double log_large(step *s)
{
    double kept = s->at.signal / s->to.signal * s->to.noise;
    return log(s->at.noise * s->at.noise - kept * kept);
}

/* beta~; where it is 0, as the paper's code has it, that of t = 1 (the noise of t = 0 itself if
 * there is no such step). */
static double log_small(step *s)
{
    double variance;
    ito_ddpm_posterior(s, &variance);
    if (variance > 0.0)
        return log(variance);
    const ito_ddpm_schedule *all = s->schedule;
    return log(all->steps > 1 ? all->beta_tilde[1] : all->beta[0]);
}

static ito_ddpm_pair fixedsmall(step *s)
{
    return (ito_ddpm_pair){log_small(s), 0.0};
}

static ito_ddpm_pair fixedlarge(step *s)
{
    return (ito_ddpm_pair){s->to.noise > 0.0 ? log_large(s) : log_small(s), 0.0};
}

static ito_ddpm_pair learned(step *s)
{
    (void)s;
    return (ito_ddpm_pair){0.0, 1.0};
}

static ito_ddpm_pair learned_range(step *s)
{
    double large = log_large(s), small = log_small(s);
    return (ito_ddpm_pair){0.5 * (large + small), 0.5 * (large - small)};
}

const ito_ddpm_variance ito_ddpm_fixedsmall = {"fixedsmall", fixedsmall, false};
const ito_ddpm_variance ito_ddpm_fixedlarge = {"fixedlarge", fixedlarge, false};
const ito_ddpm_variance ito_ddpm_learned = {"learned", learned, true};
const ito_ddpm_variance ito_ddpm_learned_range = {"learned_range", learned_range, true};

static const ito_ddpm_variance *const variances[] = {
    &ito_ddpm_fixedsmall,
    &ito_ddpm_fixedlarge,
    &ito_ddpm_learned,
    &ito_ddpm_learned_range,
};

const ito_ddpm_variance *ito_ddpm_variance_find(const char *name)
{
    return CHOICE_FIND("variance", variances, name);
}

/* ---- weights ---- */

typedef const ito_ddpm_weighting weighting;

static double snr(step *s)
{
    double ratio = s->at.signal / s->at.noise;
    return ratio * ratio;
}

/* For x_0: mu~ - mu = b (x_0 - x_0-hat), so (b^2 / 2) / beta. */
static double bound_weight(weighting *w, step *s)
{
    (void)w;
    double b = ito_ddpm_posterior(s, NULL).b;
    return 0.5 * b * b / exp(fixedlarge(s).a);
}

/* min(SNR, gamma) for x_0 as a weight of eps, which stays finite without signal. */
static double min_snr_weight(weighting *w, step *s)
{
    return fmin(1.0, w->gamma / snr(s));
}

static double p2_weight(weighting *w, step *s)
{
    return pow(w->k + snr(s), -w->gamma);
}

static double edm_weight(weighting *w, step *s)
{
    return snr(s) + 1.0 / (w->sigma_data * w->sigma_data);
}

const ito_ddpm_weighting ito_ddpm_simple = {.name = "simple"};
const ito_ddpm_weighting ito_ddpm_bound_weights = {"bound", bound_weight, ITO_DDPM_X_0, 0, 0, 0};
const ito_ddpm_weighting ito_ddpm_min_snr = {"min_snr", min_snr_weight, ITO_DDPM_EPS, 5.0, 0, 0};
const ito_ddpm_weighting ito_ddpm_p2 = {"p2", p2_weight, ITO_DDPM_EPS, 1.0, 1.0, 0};
const ito_ddpm_weighting ito_ddpm_edm = {"edm", edm_weight, ITO_DDPM_X_0, 0, 0, 0.5};

static const ito_ddpm_weighting *const weightings[] = {
    &ito_ddpm_simple, &ito_ddpm_bound_weights, &ito_ddpm_min_snr, &ito_ddpm_p2, &ito_ddpm_edm,
};

const ito_ddpm_weighting *ito_ddpm_weighting_find(const char *name)
{
    return CHOICE_FIND("weighting", weightings, name);
}

/* An error of the output is one of x_0 (eps) times the output's coefficient in it. */
double output_weight(const ito_diffusion *d, const ito_ddpm_step *s)
{
    weighting *w = d->weighting;
    if (w->weight == NULL)
        return 1.0;
    double factor = w->of == ITO_DDPM_X_0   ? x_0_pair(d, s).b
                    : w->of == ITO_DDPM_EPS ? eps_pair(d, s).b
                                            : 1.0;
    return w->weight(w, s) * factor * factor;
}

/* ---- losses ---- */

const ito_ddpm_objective ito_ddpm_loss_simple = {.name = "simple", .simple = 1.0};
const ito_ddpm_objective ito_ddpm_loss_vlb = {.name = "vlb", .vlb = 1.0};
const ito_ddpm_objective ito_ddpm_loss_rescaled = {
    .name = "rescaled", .vlb = 1.0, .whole_bound = true};
const ito_ddpm_objective ito_ddpm_loss_hybrid = {
    .name = "hybrid", .simple = 1.0, .vlb = 1e-3, .whole_bound = true, .detach_mean = true};

static const ito_ddpm_objective *const objectives[] = {
    &ito_ddpm_loss_simple,
    &ito_ddpm_loss_vlb,
    &ito_ddpm_loss_rescaled,
    &ito_ddpm_loss_hybrid,
};

const ito_ddpm_objective *ito_ddpm_objective_find(const char *name)
{
    return CHOICE_FIND("loss", objectives, name);
}
