/* Samplers: the move of one step, respacing, and the loop from noise to images.
 * Invariant: image i takes random numbers from its own generator only, and every operation here
 * treats elements alike, so a batch changes no image. */
#include "models/ddpm/sampler.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- moves ---- */

/* Eq. (7) with the step's own alpha = alpha_bar_t / alpha_bar_s, which respacing may have made of
 * several. */
static ito_ddpm_move ancestral_move(const ito_diffusion *d, const ito_ddpm_step *step, double eta)
{
    (void)eta;
    double ab = step->alpha_bar, to = step->alpha_bar_to, alpha = ab / to;
    return (ito_ddpm_move){
        .x_t = sqrt(alpha) * (1.0 - to) / (1.0 - ab),
        .x_0 = sqrt(to) * (1.0 - alpha) / (1.0 - ab),
        .noise = to < 1.0 ? sqrt(d->variance->variance(step)) : 0.0,
    };
}

static ito_ddpm_move ddim_move(const ito_diffusion *d, const ito_ddpm_step *step, double eta)
{
    (void)d;
    double ab = step->alpha_bar, to = step->alpha_bar_to;
    double sigma = eta * sqrt((1.0 - to) / (1.0 - ab) * (1.0 - ab / to));
    return (ito_ddpm_move){
        .x_0 = sqrt(to),
        .eps = sqrt(fmax(1.0 - to - sigma * sigma, 0.0)),
        .noise = sigma,
    };
}

const ito_ddpm_sampler ito_ddpm_ancestral = {"ddpm", ancestral_move};
const ito_ddpm_sampler ito_ddpm_ddim = {"ddim", ddim_move};

static const ito_ddpm_sampler *const samplers[] = {&ito_ddpm_ancestral, &ito_ddpm_ddim};

const ito_ddpm_sampler *ito_ddpm_sampler_find(const char *name)
{
    for (size_t i = 0; i < sizeof samplers / sizeof samplers[0]; i++)
        if (strcmp(samplers[i]->name, name) == 0)
            return samplers[i];
    return error_null(ITO_ERR_ARGUMENT, "sampler: there is no \"%s\"; there are ddpm and ddim",
                      name);
}

/* ---- respacing ---- */

ito_status ito_ddpm_spacing_find(const char *name, ito_ddpm_spacing *out)
{
    static const char *const names[] = {"linspace", "leading", "trailing"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (ito_ddpm_spacing)i;
            return ITO_OK;
        }
    }
    return error_status(ITO_ERR_ARGUMENT,
                        "spacing: there is no \"%s\"; there are linspace, leading and trailing",
                        name);
}

ito_status ito_ddpm_timesteps(ito_ddpm_spacing spacing, int64_t T, int64_t S, int64_t *times)
{
    if (S < 1 || S > T)
        return error_status(ITO_ERR_RANGE,
                            "timesteps: %" PRId64 " steps; the schedule has 1 to %" PRId64, S, T);
    for (int64_t i = 0; i < S; i++) {
        double t = nearbyint((double)(i + 1) * (double)T / (double)S) - 1.0;
        if (spacing == ITO_SPACING_LEADING)
            t = (double)(i * T / S);
        else if (spacing == ITO_SPACING_LINSPACE && S > 1)
            t = nearbyint((double)i * (double)(T - 1) / (double)(S - 1));
        times[S - 1 - i] = (int64_t)t;
    }
    return ITO_OK;
}

/* ---- a step ---- */

/* eps-hat: what the output says, or what the image it implies says. */
static ito_tensor *eps_of(const ito_diffusion *d, const ito_ddpm_step *step, ito_tensor *x_t,
                          ito_tensor *x_0, ito_tensor *output, ito_ddpm_sample_options o)
{
    double ab = step->alpha_bar;
    if (o.rederive_eps)
        return ito_axpby(1.0 / sqrt(1.0 - ab), x_t, -sqrt(ab / (1.0 - ab)), x_0);
    ito_ddpm_pair p = d->prediction->eps(step);
    return p.a == 0.0 && p.b == 1.0 ? output : ito_axpby(p.a, x_t, p.b, output);
}

ito_tensor *ito_ddpm_sample_step(const ito_diffusion *d, const ito_ddpm_step *step, ito_tensor *x_t,
                                 ito_tensor *output, ito_tensor *noise, ito_ddpm_sample_options o)
{
    if (x_t == NULL || output == NULL)
        return NULL;
    if (!shape_equal(ito_shape_of(x_t), ito_shape_of(output)))
        return error_null(ITO_ERR_SHAPE, "sample: the network made %s of %s",
                          tensor_shape_str(output), tensor_shape_str(x_t));
    const ito_ddpm_sampler *sampler = o.sampler != NULL ? o.sampler : &ito_ddpm_ancestral;
    ito_ddpm_move move = sampler->move(d, step, o.eta);
    if (move.noise != 0.0 && noise == NULL)
        return error_null(ITO_ERR_ARGUMENT, "sample: the step from %" PRId64 " needs noise",
                          step->t);

    ito_ddpm_pair p = d->prediction->x_0(step);
    ito_tensor *x_0 = ito_axpby(p.a, x_t, p.b, output);
    if (!o.no_clip)
        x_0 = ito_clamp(x_0, -1.0, 1.0);
    ito_tensor *x = ito_mul_scalar(x_0, move.x_0);
    if (move.x_t != 0.0)
        x = ito_axpby(1.0, x, move.x_t, x_t);
    if (move.eps != 0.0)
        x = ito_axpby(1.0, x, move.eps, eps_of(d, step, x_t, x_0, output, o));
    return move.noise != 0.0 ? ito_axpby(1.0, x, move.noise, noise) : x;
}

/* ---- the loop ---- */

/* What a run of the loop holds; made and freed by sample_run. */
typedef struct sampling {
    const ito_diffusion *d;
    ito_ddpm_network *network;
    void *context;
    ito_ddpm_sample_options o;
    int64_t *times;            /* [o.steps] */
    ito_generator *generators; /* one for each image */
    ito_tensor *x, *noise;     /* rewritten step by step */
} sampling;

static ito_status check_options(const ito_diffusion *d, ito_shape shape, ito_ddpm_sample_options *o)
{
    int64_t T = d->schedule->steps;
    if (shape.ndim != 4)
        return error_status(ITO_ERR_SHAPE, "sample: %s is not [N, C, H, W]", shape_str(shape));
    if (o->dtype != ITO_F32 && o->dtype != ITO_F64)
        return error_status(ITO_ERR_DTYPE, "sample: images are f32 or f64, not %s",
                            ito_dtype_name(o->dtype));
    if (!(o->eta >= 0.0 && o->eta <= 1.0))
        return error_status(ITO_ERR_RANGE, "sample: eta is %g; it must be in [0, 1]", o->eta);
    if (o->steps == 0 && o->times == NULL)
        o->steps = T;
    if (o->steps < 1 || o->steps > T)
        return error_status(ITO_ERR_RANGE,
                            "sample: %" PRId64 " steps; the schedule has 1 to %" PRId64, o->steps,
                            T);
    for (int64_t i = 0; o->times != NULL && i < o->steps; i++)
        if (o->times[i] < 0 || o->times[i] >= (i == 0 ? T : o->times[i - 1]))
            return error_status(ITO_ERR_RANGE,
                                "sample: step %" PRId64 " of the list is %" PRId64
                                "; they must fall from at most %" PRId64 " to at least 0",
                                i, o->times[i], T - 1);
    return ITO_OK;
}

/* Standard normal numbers for image i of dst from generator i. */
static ito_status draw(const sampling *s, ito_tensor *dst)
{
    ito_status status = ITO_OK;
    ito_shape image = ITO_SHAPE(dst->shape[1], dst->shape[2], dst->shape[3]);
    for (int64_t i = 0; i < dst->shape[0] && status == ITO_OK; i++) {
        ito_scope_begin();
        ito_tensor *values = ito_randn(&s->generators[i], image, dst->dtype);
        ito_tensor *place =
            tensor_view(dst, image, dst->stride + 1, dst->offset + i * dst->stride[0]);
        if (values != NULL && place != NULL)
            tensor_copy(place, values);
        else
            status = ito_error_code();
        ito_scope_end();
    }
    return status;
}

/* From step i of the list to the next; s->x is rewritten on success. */
static ito_status advance(sampling *s, int64_t i)
{
    int64_t to = i + 1 < s->o.steps ? s->times[i + 1] : -1;
    ito_ddpm_step step = ito_ddpm_step_at(s->d->schedule, s->times[i], to);
    const ito_ddpm_sampler *sampler = s->o.sampler != NULL ? s->o.sampler : &ito_ddpm_ancestral;
    if (sampler->move(s->d, &step, s->o.eta).noise != 0.0 && draw(s, s->noise) != ITO_OK)
        return ito_error_code();
    ito_tensor *t = ito_full(ITO_SHAPE(s->x->shape[0]), (double)step.t, ITO_I64);
    ito_tensor *output = t == NULL ? NULL : s->network(s->x, t, s->context);
    ito_tensor *x = ito_ddpm_sample_step(s->d, &step, s->x, output, s->noise, s->o);
    if (x == NULL) {
        ito_error_set(ITO_ERR_ARGUMENT,
                      "sample: the network gave nothing"); /* if it said nothing */
        return ito_error_code();
    }
    tensor_copy(s->x, x);
    ito_touch(s->x);
    return ITO_OK;
}

static ito_status sample_loop(sampling *s)
{
    for (int64_t i = 0; i < s->o.steps; i++) {
        ito_scope_begin();
        ito_status status = advance(s, i);
        bool go_on =
            status == ITO_OK && (s->o.progress == NULL ||
                                 s->o.progress(i + 1, s->o.steps, s->x, s->o.progress_context));
        ito_scope_end();
        if (status != ITO_OK)
            return status;
        if (!go_on)
            return ITO_ERR_ARGUMENT;
    }
    return ITO_OK;
}

static ito_status sample_prepare(sampling *s, ito_shape shape)
{
    s->times = struct_alloc((size_t)s->o.steps * sizeof *s->times);
    s->generators = struct_alloc(((size_t)shape.dim[0] + 1) * sizeof *s->generators);
    s->x = tensor_empty_channels_last(shape, s->o.dtype);
    s->noise = tensor_empty_channels_last(shape, s->o.dtype);
    if (s->times == NULL || s->generators == NULL || s->x == NULL || s->noise == NULL)
        return ito_error_code();
    for (int64_t i = 0; i < shape.dim[0]; i++)
        s->generators[i] = ito_generator_make(s->o.seed, (uint64_t)(s->o.first_image + i));
    if (s->o.times == NULL)
        return ito_ddpm_timesteps(s->o.spacing, s->d->schedule->steps, s->o.steps, s->times);
    memcpy(s->times, s->o.times, (size_t)s->o.steps * sizeof *s->times);
    return ITO_OK;
}

/* From x_T, or from noise of the streams if it is NULL. */
static ito_tensor *sample_run(sampling *s, ito_shape shape, const ito_tensor *x_T)
{
    if (check_options(s->d, shape, &s->o) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_status status = sample_prepare(s, shape);
    if (status == ITO_OK && x_T != NULL)
        tensor_copy(s->x, x_T);
    else if (status == ITO_OK)
        status = draw(s, s->x);
    if (status == ITO_OK)
        status = sample_loop(s);
    ito_no_grad_end();
    free(s->times);
    free(s->generators);
    ito_tensor *x = status == ITO_OK ? ito_keep(s->x) : NULL;
    ito_scope_end();
    return x;
}

ito_tensor *ito_ddpm_sample_with(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                 ito_shape shape, ito_ddpm_sample_options options)
{
    sampling s = {.d = d, .network = network, .context = context, .o = options};
    return sample_run(&s, shape, NULL);
}

ito_tensor *ito_ddpm_sample_from_with(const ito_diffusion *d, ito_ddpm_network *network,
                                      void *context, ito_tensor *x_T,
                                      ito_ddpm_sample_options options)
{
    if (x_T == NULL)
        return NULL;
    options.dtype = x_T->dtype;
    sampling s = {.d = d, .network = network, .context = context, .o = options};
    return sample_run(&s, ito_shape_of(x_T), x_T);
}
