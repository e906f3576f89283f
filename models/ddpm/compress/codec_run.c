/* The steps of progressive coding.
 * Invariant: x and its distributions depend only on the file's settings and on symbols coded
 * before; the images determine only symbols. */
#include "models/ddpm/compress/codec_internal.h"

#include "autograd/ops.h"
#include "models/ddpm/diffusion_internal.h"
#include "models/ddpm/likelihood/bound_internal.h"
#include "models/ddpm/random.h"
#include "models/ddpm/sampler/sampler.h"
#include "tensor/internal.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

/* A step of fewer bits is not worth a sample: x_s is taken from p(x_s | x_t). */
static const double worth_bits = 0.1;

/* Streams of random numbers are (image, step, what for); blocks are numbered from 0. */
enum { FOR_ORDER = (1 << 20) - 1, STEP_OF_START = (1 << 20) - 1 };

/* The network's estimate at a step for all images; of the scope of that step. */
typedef struct code_estimate {
    ito_tensor *x_0_hat, *v;
    const float *x_0;       /* [N, D] */
    const float *deviation; /* [N, D] of p, or NULL: */
    double fixed;           /* of all */
} code_estimate;

/* ---- what is expected ---- */

static uint64_t stream_of(int64_t image, int64_t step, int64_t purpose)
{
    return (uint64_t)image << 40 | (uint64_t)step << 20 | (uint64_t)purpose;
}

static ito_status plan(codec *c)
{
    const ito_process *s = c->d->process;
    int64_t S = c->S, T = s->steps;
    double *times = mem_alloc((size_t)S * sizeof *times);
    c->steps = mem_alloc((size_t)S * sizeof *c->steps);
    ito_status status = times == NULL || c->steps == NULL ? ITO_ERR_MEMORY : ITO_OK;
    if (status == ITO_OK)
        status = ito_timesteps(s, &ito_spacing_rate, S, times);
    if (status == ITO_OK && S == 1 && T > 1)
        times[0] = 0.0; /* nothing is sent but the pixels */
    for (int64_t i = 0; status == ITO_OK && i < S; i++) {
        code_step k = {.step = ito_step_between(s, times[i], i + 1 < S ? times[i + 1] : -1.0)};
        k.mean = ito_step_posterior(&k.step);
        k.log_variance = c->d->variance->log_variance(&k.step);
        c->steps[i] = k;
    }
    mem_free(times);
    if (status != ITO_OK)
        return status;
    if (!isfinite(ito_prediction_to_x_0(c->d->prediction, &c->steps[0].step).c_skip))
        return error_status(ITO_ERR_ARGUMENT, "codec: %s does not tell x_0 at step %g (signal %g)",
                            c->d->prediction->name, c->steps[0].step.t, c->steps[0].step.at.signal);
    return ITO_OK;
}

uint32_t codec_fingerprint(const codec *c, uint32_t model)
{
    uLong sum = crc32(model, (const uint8_t *)c->d->prediction->name,
                      (unsigned)strlen(c->d->prediction->name));
    for (int64_t i = 0; i < c->S; i++) {
        const code_step *k = &c->steps[i];
        ito_preconditioning x_0 = ito_prediction_to_x_0(c->d->prediction, &k->step);
        const double numbers[] = {k->step.t,
                                  k->mean.x_t,
                                  k->mean.x_0,
                                  k->mean.variance,
                                  k->log_variance.offset,
                                  k->log_variance.slope,
                                  x_0.c_skip,
                                  x_0.c_out};
        sum = crc32(sum, (const uint8_t *)numbers, sizeof numbers);
    }
    return (uint32_t)sum;
}

/* ---- the network ---- */

static bool all_finite(const float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static bool evaluate(codec *c, int64_t i, code_estimate *out)
{
    const code_step *k = &c->steps[i];
    network_heads heads;
    ito_tensor *t = ito_full(ITO_SHAPE(c->N), k->step.t, ITO_I64);
    if (t == NULL || !evaluate_noised("codec", c->d, c->network, c->x, t, &heads))
        return false;
    ito_tensor *deviation = NULL, *x_0 = weighted_sum(c->d->process, x_0_coefficients,
                                                      c->d->prediction, c->x, heads.prediction, t);
    x_0 = ito_contiguous(c->header.no_clip ? x_0 : ito_clamp(x_0, -1.0, 1.0));
    if (heads.v != NULL)
        deviation = ito_contiguous(ito_exp(ito_add_scalar(
            ito_mul_scalar(heads.v, 0.5 * k->log_variance.slope), 0.5 * k->log_variance.offset)));
    if (x_0 == NULL || (heads.v != NULL && deviation == NULL))
        return false;
    *out = (code_estimate){.x_0_hat = x_0,
                           .v = heads.v,
                           .x_0 = tensor_data(x_0),
                           .deviation = deviation != NULL ? tensor_data(deviation) : NULL,
                           .fixed = exp(0.5 * k->log_variance.offset)};
    if (all_finite(out->x_0, c->N * c->D) &&
        (deviation == NULL || all_finite(out->deviation, c->N * c->D)))
        return true;
    ito_error_set(ITO_ERR_NUMERIC, "codec: what the network says at step %g is not finite",
                  k->step.t);
    return false;
}

/* ---- a step of one image ---- */

static double deviation_of(const code_estimate *g, int64_t at)
{
    return g->deviation != NULL ? (double)g->deviation[at] : g->fixed;
}

/* In units of the expected distribution, the true one of number `at` is N(shift, ratio^2). */
static double shift_of(const codec *c, const code_step *k, const code_estimate *g, int64_t at,
                       double *ratio)
{
    double deviation = deviation_of(g, at);
    const double *clean = tensor_data(c->clean);
    *ratio = sqrt(k->mean.variance) / deviation;
    if (fabs(*ratio - 1.0) < 1e-6) /* fixedsmall, in whose logarithm the last bits are lost */
        *ratio = 1.0;
    return k->mean.x_0 * (clean[at] - (double)g->x_0[at]) / deviation;
}

/* The divergence of the true from the expected distribution, in bits. */
static double divergence(const codec *c, const code_step *k, const code_estimate *g, int64_t image)
{
    double sum = 0.0;
    for (int64_t j = 0; j < c->D; j++) {
        double ratio, shift = shift_of(c, k, g, image * c->D + j, &ratio);
        sum += 0.5 * (shift * shift + ratio * ratio - 1.0) - log(ratio);
    }
    return sum / M_LN2;
}

/* The weights of a block's candidates: the log of N(z; shift, ratio^2) / N(z; 0, 1). */
static bool weigh(codec *c, const code_step *k, const code_estimate *g, int64_t image, int64_t from,
                  int64_t n)
{
    const int64_t *order = tensor_data(c->order);
    bool quadratic = false;
    memset(c->linear, 0, (size_t)candidate_room(n) * sizeof *c->linear);
    memset(c->quadratic, 0, (size_t)candidate_room(n) * sizeof *c->quadratic);
    for (int64_t j = 0; j < n; j++) {
        double ratio, shift = shift_of(c, k, g, image * c->D + order[from + j], &ratio);
        c->linear[j] = (float)(shift / (ratio * ratio));
        c->quadratic[j] = (float)(0.5 - 0.5 / (ratio * ratio));
        quadratic = quadratic || c->quadratic[j] != 0;
    }
    return quadratic;
}

/* The number of blocks of a step of so many bits; 0: nothing is sent. */
static int64_t code_count(codec *c, int64_t image, double bits)
{
    int64_t count = 0;
    int length = 0;
    if (!c->coder.reading && bits > worth_bits) {
        double wanted = nearbyint(bits / c->header.info.block_bits);
        count = wanted < 1.0 ? 1 : wanted > (double)c->D ? c->D : (int64_t)wanted;
        while (length < COUNT_LENGTHS - 1 && count >> length != 0)
            length++;
    }
    length = coder_symbol(&c->coder, &c->counts[c->lengths[image]], length);
    c->lengths[image] = (uint8_t)length;
    if (length == 0)
        return 0;
    int64_t first = (int64_t)1 << (length - 1);
    return first + coder_bits(&c->coder, (uint32_t)(count - first) & 0xffffff, length - 1);
}

/* x becomes x_s where these numbers are normal. */
static void update(codec *c, const code_step *k, const code_estimate *g, int64_t image,
                   int64_t from, int64_t n)
{
    const int64_t *order = tensor_data(c->order);
    float *x = tensor_data(c->x);
    for (int64_t j = 0; j < n; j++) {
        int64_t at = image * c->D + order[from + j];
        x[at] = (float)(k->mean.x_t * (double)x[at] + k->mean.x_0 * (double)g->x_0[at] +
                        deviation_of(g, at) * (double)c->normals[j]);
    }
}

static void code_sample(codec *c, int64_t i, const code_estimate *g, int64_t image)
{
    const code_step *k = &c->steps[i];
    bool writing = !c->coder.reading;
    double bits = writing ? divergence(c, k, g, image) : 0.0;
    if (writing)
        ((double *)tensor_data(c->out.bound))[image * c->S + i] = bits;
    int64_t count = code_count(c, image, bits), blocks = count == 0 ? 1 : count;
    if (blocks > c->D) {
        c->coder.ended = true; /* such a stream was never written */
        return;
    }
    for (int64_t b = 0; b < blocks && !c->coder.ended; b++) {
        int64_t from = b * c->D / blocks, n = (b + 1) * c->D / blocks - from, number = 0;
        candidates all = {c->header.info.seed, stream_of(image, i, b), n,
                          c->header.info.candidate_bits};
        if (writing && count > 0) {
            bool quadratic = weigh(c, k, g, image, from, n);
            number = candidate_pick(&all, c->linear, quadratic ? c->quadratic : NULL, c->scores);
        }
        if (count > 0)
            number = number_code_next(&c->coder, &c->numbers[count > 1], number);
        candidate_draw(&all, number, c->normals);
        update(c, k, g, image, from, n);
    }
}

static void code_pixels(codec *c, const code_estimate *g, int64_t image)
{
    for (int64_t j = 0; j < c->D && !c->coder.ended; j++) {
        int64_t at = image * c->D + j;
        double mean = ((double)g->x_0[at] + 1.0) * 127.5, deviation = deviation_of(g, at) * 127.5;
        int value = pixel_code_next(&c->pixels, &c->coder, mean, deviation, c->images[at]);
        if (!c->coder.ended)
            c->images[at] = (uint8_t)value;
    }
}

/* ---- all steps ---- */

/* The 8-bit images nearest to x_0-hat. */
static void show(codec *c, const code_estimate *g)
{
    for (int64_t i = 0; i < c->N * c->D; i++)
        c->images[i] =
            (uint8_t)fmin(fmax(nearbyint(((double)g->x_0[i] + 1.0) * 127.5), 0.0), 255.0);
}

/* The bound's term of the pixels, and the error of x_0-hat. */
static bool measure(codec *c, int64_t i, const code_estimate *g)
{
    ito_tensor *x_0 = ito_cast(g->x_0_hat, ITO_F64);
    if (ito_copy_(ito_select(c->out.squares, 1, i),
                  example_mean(ito_square(ito_sub(x_0, c->clean)))) == NULL)
        return false;
    if (i < c->S - 1)
        return true;
    ito_tensor *t = ito_full(ITO_SHAPE(c->N), c->steps[i].step.t, ITO_I64);
    ito_tensor *v = g->v != NULL ? ito_cast(g->v, ITO_F64) : NULL;
    if (t == NULL || (g->v != NULL && v == NULL))
        return false;
    ito_tensor *bits = bound_terms(c->d, c->clean, x_0, v, t, ITO_DECODER_ERF);
    return ito_copy_(ito_select(c->out.bound, 1, i), ito_mul_scalar(bits, (double)c->D)) != NULL;
}

static uint16_t check_of(const code_estimate *g, int64_t n)
{
    return (uint16_t)crc32(0, (const uint8_t *)g->x_0, (unsigned)(n * (int64_t)sizeof *g->x_0));
}

/* Step i of all images. False after an error; when the stream has ended, the images are the
 * network's estimate there. */
static bool code_step_of_all(codec *c, int64_t i)
{
    code_estimate g;
    bool writing = !c->coder.reading;
    if (!evaluate(c, i, &g) || (writing && !measure(c, i, &g)))
        return false;
    if (i == 0 && writing)
        c->header.first_estimate = check_of(&g, c->N * c->D);
    if (i == 0 && c->header.first_estimate != check_of(&g, c->N * c->D)) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "codec: the network says something else here than where the images were "
                      "compressed; another version or build of the program may have made the file");
        return false;
    }
    if (!writing)
        show(c, &g);
    if (c->steps[i].step.t <= (double)c->until)
        c->coder.ended = c->stopped = true;
    for (int64_t n = 0; n < c->N && !c->coder.ended; n++) {
        double before = coder_written(&c->coder);
        if (i < c->S - 1)
            code_sample(c, i, &g, n);
        else
            code_pixels(c, &g, n);
        if (writing)
            ((double *)tensor_data(c->out.written))[n * c->S + i] =
                coder_written(&c->coder) - before;
    }
    return true;
}

ito_status codec_run(codec *c, int64_t *done)
{
    for (int64_t i = 0; i < c->S && !c->coder.ended; i++) {
        ito_scope_begin();
        bool good = code_step_of_all(c, i);
        ito_scope_end();
        if (!good)
            return ito_error_code();
        *done = i;
        if (c->progress != NULL && !c->progress(i + 1, c->S, c->progress_context))
            return ITO_ERR_ARGUMENT;
    }
    return ITO_OK;
}

/* ---- beginning and end ---- */

/* x_T, and the order of an image's numbers. */
static ito_status draw_start(codec *c)
{
    ito_shape shape = c->header.info.shape;
    uint64_t seed = c->header.info.seed;
    ito_generator order = ito_generator_make(seed, stream_of(0, STEP_OF_START, FOR_ORDER));
    c->order = ito_randperm(&order, c->D);
    c->x = tensor_empty(shape, ITO_F32);
    ito_generator *g = mem_alloc((size_t)c->N * sizeof *g);
    bool good = c->order != NULL && c->x != NULL && g != NULL;
    for (int64_t i = 0; good && i < c->N; i++)
        g[i] = ito_generator_make(seed, stream_of(i, STEP_OF_START, 0));
    good = good && draw_images(g, c->x) == ITO_OK;
    double deviation = prior_deviation(c->d->process);
    if (good && deviation != 1.0)
        good = ito_mul_scalar_(c->x, deviation) != NULL;
    mem_free(g);
    return good ? ITO_OK : ito_error_code();
}

ito_status codec_begin(codec *c, bool writing)
{
    const ito_compressed_info *info = &c->header.info;
    c->N = info->shape.dim[0];
    c->S = info->steps;
    c->D = shape_numel(info->shape) / c->N;
    ito_status status = plan(c);
    if (status != ITO_OK)
        return status;
    size_t room = (size_t)candidate_room(c->D);
    c->linear = mem_alloc(3 * room * sizeof *c->linear);
    c->scores = writing ? mem_alloc(sizeof *c->scores << info->candidate_bits) : NULL;
    c->lengths = mem_alloc((size_t)c->N);
    if (c->linear == NULL || c->lengths == NULL || (writing && c->scores == NULL))
        return ITO_ERR_MEMORY;
    c->quadratic = c->linear + room;
    c->normals = c->quadratic + room;
    memset(c->lengths, 0, (size_t)c->N);
    for (int k = 0; k < 2; k++)
        number_begin(&c->numbers[k], info->candidate_bits);
    for (int k = 0; k < COUNT_LENGTHS; k++) { /* much as before, at first */
        adaptive_begin(&c->counts[k], COUNT_LENGTHS, 1, 4);
        c->counts[k].counts[k] += 16;
        c->counts[k].total += 16;
    }
    pixel_begin(&c->pixels);
    return draw_start(c);
}

void codec_end(codec *c)
{
    mem_free(c->steps);
    mem_free(c->linear);
    mem_free(c->scores);
    mem_free(c->lengths);
    coder_free(&c->coder);
}

uint32_t codec_images_sum(const codec *c)
{
    uLong sum = crc32(0, NULL, 0);
    for (int64_t n = 0; n < c->N; n++)
        sum = crc32(sum, c->images + n * c->D, (unsigned)c->D);
    return (uint32_t)sum;
}
