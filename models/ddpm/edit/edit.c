/* Encoding, interpolation, image to image and inpainting, on the driver of the samplers.
 * Invariant: image i takes random numbers from its own generator only. */
#include "models/ddpm/edit/edit.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/sampler/run.h"
#include "models/ddpm/random.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>

static ito_ddpm_level level_at(const ito_ddpm_walk *w, int64_t t)
{
    return ito_ddpm_step_at(w->d->schedule, t, -1).at;
}

/* ---- encode ---- */

/* From `from` up to told, where the network is asked. */
static ito_tensor *step_up(ito_ddpm_walk *w, ito_tensor *x, ito_ddpm_level from, int64_t told)
{
    network_heads heads;
    ito_ddpm_step step = ito_ddpm_step_at(w->d->schedule, told, -1);
    ito_ddpm_pair q = ito_ddpm_eps_of(w->d->prediction, &step);
    if (!ask_heads(w, x, &step, &heads))
        return NULL;
    ito_tensor *eps = ito_axpby(q.a, x, q.b, heads.prediction);
    ito_tensor *x_0 =
        limit_x_0(&w->o, ito_axpby(1.0 / from.signal, x, -from.noise / from.signal, eps));
    if (w->o.rederive_eps && from.noise > 0.0)
        eps = ito_axpby(1.0 / from.noise, x, -from.signal / from.noise, x_0);
    return ito_axpby(step.at.signal, x_0, step.at.noise, eps);
}

static ito_tensor *walk_up(ito_ddpm_drive *drive, ito_tensor *x)
{
    ito_ddpm_walk *w = &drive->walk;
    bool go_on = true;
    ito_retain(x);
    for (int64_t i = w->n - 1; x != NULL && go_on && i >= 0; i--) {
        ito_scope_begin();
        ito_tensor *next = step_up(w, x, level_at(w, drive->nodes[i + 1]), drive->nodes[i]);
        ito_retain(next);
        go_on = next == NULL || w->o.progress == NULL ||
                w->o.progress(w->n - i, w->n, next, w->o.progress_context);
        ito_release(x);
        x = next;
        ito_scope_end();
    }
    if (x != NULL && go_on)
        return tensor_adopt(x);
    ito_release(x);
    return NULL;
}

ito_tensor *ito_ddpm_encode_with(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                 ito_tensor *x_0, ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    if (x_0 == NULL)
        return NULL;
    options.dtype = x_0->dtype;
    options.sampler = &ito_ddpm_ddim;
    if (drive_begin(&drive, d, network, context, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_no_grad_begin();
    ito_tensor *x = walk_up(&drive, x_0);
    ito_no_grad_end();
    drive_end(&drive);
    return x;
}

ito_status ito_ddpm_round_trip_with(const ito_diffusion *d, ito_ddpm_network *network,
                                    void *context, ito_tensor *x_0, ito_ddpm_sample_options options,
                                    ito_ddpm_round_trip *out)
{
    if (options.sampler == NULL)
        options.sampler = &ito_ddpm_ddim;
    ito_tensor *noise = ito_ddpm_encode_with(d, network, context, x_0, options);
    ito_tensor *image = ito_ddpm_sample_from_with(d, network, context, noise, options);
    ito_tensor *error =
        image == NULL ? NULL : ito_sqrt(image_mean(ito_square(ito_sub(image, ito_detach(x_0)))));
    if (error == NULL)
        return ito_error_code() == ITO_OK ? ITO_ERR_ARGUMENT : ito_error_code();
    *out = (ito_ddpm_round_trip){noise, image, error};
    return ITO_OK;
}

/* ---- from noised images down ---- */

/* x_0 noised to the first node, by numbers of the images' streams. */
static ito_tensor *noised(ito_ddpm_drive *drive, ito_tensor *x_0)
{
    ito_ddpm_level level = level_at(&drive->walk, drive->nodes[0]);
    ito_tensor *z = tensor_empty_channels_last(ito_shape_of(x_0), x_0->dtype);
    if (z == NULL || draw_images(drive->generators, z) != ITO_OK)
        return NULL;
    return ito_axpby(level.signal, x_0, level.noise, z);
}

static bool check_interpolation(const ito_diffusion *d, const ito_tensor *a, const ito_tensor *b,
                                const ito_tensor *lambda, int64_t t)
{
    if (d == NULL) {
        error_missing("interpolate", "the diffusion");
        return false;
    }
    int64_t T = d->schedule->steps;
    if (a->ndim != 4 || a->shape[0] != 1 || !shape_equal(ito_shape_of(a), ito_shape_of(b)) ||
        a->dtype != b->dtype || lambda->ndim != 1)
        return error_status(ITO_ERR_SHAPE,
                            "interpolate: the images are %s and %s and lambda is %s; they must be "
                            "[1, C, H, W], equal, and [K]",
                            tensor_shape_str(a), tensor_shape_str(b),
                            tensor_shape_str(lambda)) == ITO_OK;
    if (t < 1 || t >= T)
        return error_status(ITO_ERR_RANGE,
                            "interpolate: t is %" PRId64 "; it must be 1 to %" PRId64, t,
                            T - 1) == ITO_OK;
    return true;
}

/* The mixtures at the first node. The second image's noise has a stream of its own. */
static ito_tensor *mixtures(ito_ddpm_drive *drive, ito_tensor *a, ito_tensor *b, ito_tensor *lambda)
{
    int64_t K = lambda->shape[0];
    ito_tensor *first = noised(drive, a);
    ito_generator after = drive->generators[0];
    drive->generators[0] = ito_generator_make(after.seed, after.stream + 1);
    ito_tensor *second = noised(drive, b);
    for (int64_t i = 0; i < K; i++) /* all go on from the same place */
        drive->generators[i] = after;
    ito_tensor *share = ito_cast(ito_reshape_to(lambda, ITO_SHAPE(K, 1, 1, 1)), a->dtype);
    if (first == NULL || second == NULL)
        return NULL;
    return ito_add(first, ito_mul(share, ito_sub(second, first)));
}

ito_tensor *ito_ddpm_interpolate_with(const ito_diffusion *d, ito_ddpm_network *network,
                                      void *context, ito_tensor *x_a, ito_tensor *x_b,
                                      ito_tensor *lambda, int64_t t,
                                      ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    if (x_a == NULL || x_b == NULL || lambda == NULL ||
        !check_interpolation(d, x_a, x_b, lambda, t))
        return NULL;
    ito_shape shape = ITO_SHAPE(lambda->shape[0], x_a->shape[1], x_a->shape[2], x_a->shape[3]);
    options.dtype = x_a->dtype;
    options.start = t;
    if (drive_begin(&drive, d, network, context, shape, options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = ito_keep(drive_walk(&drive, mixtures(&drive, x_a, x_b, lambda)));
    ito_no_grad_end();
    ito_scope_end();
    drive_end(&drive);
    return x;
}

ito_tensor *ito_ddpm_edit_with(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                               ito_tensor *x_0, double strength, ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    if (d == NULL) {
        error_missing("edit", "the diffusion");
        return NULL;
    }
    if (x_0 == NULL)
        return NULL;
    if (!(strength > 0.0 && strength <= 1.0))
        return error_null(ITO_ERR_RANGE, "edit: the strength is %g; it must be in (0, 1]",
                          strength);
    double start = nearbyint(strength * (double)d->schedule->steps) - 1.0;
    options.start = start < 1.0 ? 1 : (int64_t)start;
    options.dtype = x_0->dtype;
    if (drive_begin(&drive, d, network, context, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *x = ito_keep(drive_walk(&drive, noised(&drive, x_0)));
    ito_no_grad_end();
    ito_scope_end();
    drive_end(&drive);
    return x;
}

/* ---- inpainting ---- */

/* RePaint's walk over n steps: places in the list of nodes, or their number alone if out is NULL.
 * left [n] counts the returns that a place still has. */
static int64_t repaint_places(int64_t n, ito_ddpm_resampling r, int64_t *left, int64_t *out)
{
    int64_t count = 0;
    for (int64_t k = 0; k < n; k++)
        left[k] = k % r.jump == 0 && k < n - r.jump ? r.repeats - 1 : 0;
    for (int64_t t = n - 1; t >= 0; t--) {
        if (out != NULL)
            out[count] = n - 1 - t;
        count++;
        if (left[t] == 0)
            continue;
        left[t]--;
        for (int64_t k = 0; k < r.jump; k++) {
            t++;
            if (out != NULL)
                out[count] = n - 1 - t;
            count++;
        }
    }
    return count;
}

/* The driver's nodes with RePaint's returns put in. */
static ito_status add_returns(ito_ddpm_drive *drive, ito_ddpm_resampling r)
{
    int64_t n = drive->walk.n, *nodes = NULL, *places = NULL, count = 0;
    int64_t *left = struct_alloc((size_t)n * sizeof *left);
    if (left != NULL)
        count = repaint_places(n, r, left, NULL);
    if (count > 0)
        nodes = struct_alloc(((size_t)count + 1) * sizeof *nodes);
    if (nodes != NULL)
        places = struct_alloc(((size_t)count + 1) * sizeof *places);
    if (places != NULL) {
        repaint_places(n, r, left, places);
        for (int64_t i = 0; i < count; i++)
            nodes[i] = drive->nodes[places[i]];
        nodes[count] = drive->nodes[n];
        free(drive->nodes);
        drive->nodes = nodes;
        drive->walk.n = count;
    } else {
        free(nodes);
    }
    free(left);
    free(places);
    return places == NULL ? ito_error_code() : ITO_OK;
}

static bool check_inpainting(const ito_tensor *x_0, const ito_tensor *mask, ito_ddpm_resampling r)
{
    ito_shape both;
    if (!shape_broadcast(ito_shape_of(mask), ito_shape_of(x_0), &both) ||
        !shape_equal(both, ito_shape_of(x_0)))
        return error_status(ITO_ERR_SHAPE, "inpaint: a mask %s does not fit images %s",
                            tensor_shape_str(mask), tensor_shape_str(x_0)) == ITO_OK;
    if (r.jump < 1 || r.repeats < 1 || r.repeats > 1000000)
        return error_status(ITO_ERR_RANGE,
                            "inpaint: jumps of %" PRId64 " steps, %" PRId64
                            " times; both must be at least 1, and repeats at most 1000000",
                            r.jump, r.repeats) == ITO_OK;
    return true;
}

ito_tensor *ito_ddpm_inpaint_with(const ito_diffusion *d, ito_ddpm_network *network, void *context,
                                  ito_tensor *x_0, ito_tensor *mask, ito_ddpm_resampling r,
                                  ito_ddpm_sample_options options)
{
    ito_ddpm_drive drive;
    r.jump = r.jump == 0 ? 10 : r.jump;
    r.repeats = r.repeats == 0 ? 1 : r.repeats;
    if (x_0 == NULL || mask == NULL || !check_inpainting(x_0, mask, r))
        return NULL;
    options.dtype = x_0->dtype;
    if (drive_begin(&drive, d, network, context, ito_shape_of(x_0), options) != ITO_OK)
        return NULL;
    ito_tensor *x = NULL, *start = NULL;
    ito_scope_begin();
    ito_no_grad_begin();
    ito_tensor *given = ito_cast(mask, ITO_F32);
    drive.known = ito_detach(x_0);
    drive.mask = given == NULL ? NULL : ito_gt(given, ito_full_like(given, 0.5));
    if (drive.mask != NULL && drive.known != NULL && add_returns(&drive, r) == ITO_OK)
        start = tensor_empty_channels_last(ito_shape_of(x_0), x_0->dtype);
    if (start != NULL && draw_images(drive.generators, start) == ITO_OK)
        x = ito_keep(drive_walk(&drive, ito_mul_scalar(start, prior_deviation(d->schedule))));
    ito_no_grad_end();
    ito_scope_end();
    drive_end(&drive);
    return x;
}
