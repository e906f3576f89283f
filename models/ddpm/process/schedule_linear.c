/* Schedules whose betas go from beta_start to beta_end: linear, quadratic, constant, warm-up,
 * sigmoid. */
#include "models/ddpm/process/process.h"

#include <math.h>

/* Value i of n from a to b in equal steps; a alone if n is 1. */
static double between(double a, double b, int64_t i, int64_t n)
{
    return n == 1 ? a : a + (double)i * ((b - a) / (double)(n - 1));
}

static double linear_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    return between(o->beta_start, o->beta_end, t, T);
}

static double quad_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    double root = between(sqrt(o->beta_start), sqrt(o->beta_end), t, T);
    return root * root;
}

static double const_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    (void)t, (void)T;
    return o->beta_end;
}

static double warmup_beta(int64_t t, int64_t T, const ito_process_options *o, double share)
{
    int64_t warm = (int64_t)((double)T * share);
    return t < warm ? between(o->beta_start, o->beta_end, t, warm) : o->beta_end;
}

static double warmup10_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    return warmup_beta(t, T, o, 0.1);
}

static double warmup50_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    return warmup_beta(t, T, o, 0.5);
}

static double sigmoid_beta(int64_t t, int64_t T, const ito_process_options *o)
{
    double share = 1.0 / (1.0 + exp(-between(-6.0, 6.0, t, T)));
    return o->beta_start + (o->beta_end - o->beta_start) * share;
}

#define BETAS(words, paper, function)                                                              \
    .help = words, .source = paper, .uses = ITO_USES_BETAS, .beta = function

#define HO_2020 "Ho, Jain, Abbeel 2020, arXiv:2006.11239"

const ito_schedule_family ito_schedule_linear = {
    .name = "linear",
    BETAS("beta from beta_start to beta_end in equal steps, whatever T is", HO_2020 ", section 4",
          linear_beta)};
const ito_schedule_family ito_schedule_quad = {
    .name = "quad",
    BETAS("sqrt(beta) in equal steps; also called scaled linear", HO_2020 ", code", quad_beta)};
const ito_schedule_family ito_schedule_const = {
    .name = "const", BETAS("beta_end throughout", HO_2020 ", code", const_beta)};
const ito_schedule_family ito_schedule_warmup10 = {
    .name = "warmup10",
    BETAS("beta_end, but for the first 10 % of the steps, which rise to it", HO_2020 ", code",
          warmup10_beta)};
const ito_schedule_family ito_schedule_warmup50 = {
    .name = "warmup50",
    BETAS("beta_end, but for the first 50 % of the steps, which rise to it", HO_2020 ", code",
          warmup50_beta)};
const ito_schedule_family ito_schedule_sigmoid = {
    .name = "sigmoid",
    BETAS("beta from beta_start to beta_end along 1 / (1 + exp(-u)), u from -6 to 6",
          "Xu et al. 2022, arXiv:2203.02923, code", sigmoid_beta)};
