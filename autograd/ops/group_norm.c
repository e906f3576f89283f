/* Group normalisation (Wu, He 2018, arXiv:1803.08494), alone or with silu behind it, fused:
 * the pixels of an image in chunks whose size depends on the number of channels alone. Their
 * sums are added in order, so results depend on neither threads nor batch. Works channels-last, and
 * the result lies channels-last too.
 *
 * With silu, y = silu(z) of the normalised z: z is never in memory. Backward makes it again from x
 * and the statistics.
 */
#include "autograd/ops/group_norm.h"
#include "autograd/ops/params.h"
#include "tensor/kernels/kernels.h"

#include <math.h>
#include <string.h>

/* Memory is [images][pixels][channels]. */
typedef struct norm_size {
    const kernel_table *kernels;
    int64_t images, pixels, channels, groups;
    int64_t image; /* bytes of an image */
    int64_t pixel; /* bytes of a pixel */
    int64_t line;  /* bytes of a real for each channel: parameters, sums, scratch */
    bool silu;     /* follows */
} norm_size;

/* Sums are taken over chunks of so many pixels: a number that depends on the channels alone. */
static int64_t chunk_pixels(const norm_size *s)
{
    enum { ELEMENTS = 1 << 15 };
    return s->channels >= ELEMENTS ? 1 : ELEMENTS / (s->channels > 0 ? s->channels : 1);
}

static int64_t chunk_count(const norm_size *s)
{
    int64_t step = chunk_pixels(s);
    return (s->pixels + step - 1) / step;
}

/* The pixels of chunk i: from *first on. */
static int64_t chunk_at(const norm_size *s, int64_t i, int64_t *first)
{
    int64_t step = chunk_pixels(s);
    *first = i * step;
    return s->pixels - *first < step ? s->pixels - *first : step;
}

/* Elements of a group in an image. */
static int64_t group_count(const norm_size *s)
{
    return s->pixels * (s->channels / s->groups);
}

static norm_size size_of(ito_shape x, ito_dtype dtype, const group_norm_params *p)
{
    norm_size s = {.kernels = kernels(dtype),
                   .images = x.dim[0],
                   .pixels = 1,
                   .channels = x.dim[1],
                   .groups = p->groups,
                   .pixel = x.dim[1] * (int64_t)ito_dtype_size(dtype),
                   .line = x.dim[1] * (dtype == ITO_F64 ? 8 : 4),
                   .silu = p->silu};
    for (int i = 2; i < x.ndim; i++)
        s.pixels *= x.dim[i];
    s.image = s.pixels * s.pixel;
    return s;
}

/* Whether there is anything to compute: sizes of 0 leave no group to take a mean of. */
static bool is_empty(const norm_size *s)
{
    return s->images == 0 || s->pixels == 0 || s->channels == 0;
}

/* ---- layout ---- */

/* t [N, C, ...] as [N, C, P, 1] lying as N P C; a copy if need be. */
static ito_tensor *as_pixels(const ito_tensor *t, const norm_size *s)
{
    int64_t stride = 1, expected = 0;
    bool collapses = true, seen = false;
    for (int i = t->ndim - 1; i >= 2; i--) {
        if (t->shape[i] == 1)
            continue;
        if (!seen)
            stride = expected = t->stride[i];
        seen = true;
        collapses = collapses && t->stride[i] == expected;
        expected *= t->shape[i];
    }
    if (!collapses) {
        t = tensor_contiguous(t);
        stride = 1;
    }
    ito_shape flat = ITO_SHAPE(s->images, s->channels, s->pixels, 1);
    if (t == NULL)
        return NULL;
    ito_tensor *view =
        tensor_view(t, flat, (int64_t[]){t->stride[0], t->stride[1], stride, 1}, t->offset);
    return view == NULL ? NULL : tensor_channels_last(view);
}

/* What as_pixels made, or something like it, in the shape it came from. */
static ito_tensor *from_pixels(ito_tensor *flat, ito_shape shape)
{
    if (flat == NULL)
        return NULL;
    ito_shape stride = {.ndim = shape.ndim};
    int64_t step = flat->stride[2];
    for (int i = shape.ndim - 1; i >= 2; i--) {
        stride.dim[i] = step;
        step *= shape.dim[i];
    }
    stride.dim[1] = flat->stride[1];
    stride.dim[0] = flat->stride[0];
    return tensor_view(flat, shape, stride.dim, flat->offset);
}

static ito_tensor *empty_pixels(const norm_size *s, ito_dtype dtype)
{
    return tensor_empty_channels_last(ITO_SHAPE(s->images, s->channels, s->pixels, 1), dtype);
}

/* ---- who works on what ----
 *
 * With as many images as threads each works on images of its own, from the first pass to the last,
 * while they are in its cache. With fewer, all of them work on the chunks of all images, one pass
 * after the other. The sums and their order are the same. */

static int64_t work_of(const norm_size *s)
{
    return s->images * s->pixels * s->channels;
}

static bool by_images(const norm_size *s)
{
    return s->images >= ito_threads() || threads_for(work_of(s)) == 1;
}

/* ---- forward ---- */

static size_t forward_scratch(const norm_size *s)
{
    return (size_t)((chunk_count(s) * 2 + 3) * s->line);
}

/* What the passes over images need. Scratch of an image: center, then sums of chunks while it is
 * measured, scale and shift in their place when it is applied. */
typedef struct norm_forward {
    norm_size size;
    const char *x;
    char *y;             /* NULL: only the statistics are wanted */
    double *mean, *rstd; /* of each image's groups */
    bool measured;       /* they are known */
    double eps;
    const void *weight, *bias;
    char *scratch;
    size_t scratch_bytes; /* for one image */
} norm_forward;

static char *forward_scratch_of(const norm_forward *f, int64_t image)
{
    return f->scratch + (size_t)image * f->scratch_bytes;
}

static void center_image(const norm_forward *f, int64_t image)
{
    enum { SAMPLE = 16 };
    const norm_size *s = &f->size;
    int64_t sample = s->pixels < SAMPLE ? s->pixels : SAMPLE;
    s->kernels->group_norm_center(forward_scratch_of(f, image), f->mean + image * s->groups,
                                  f->x + image * s->image, sample, s->pixels / sample, s->channels,
                                  s->groups);
}

static void measure_chunk(const norm_forward *f, int64_t image, int64_t chunk)
{
    const norm_size *s = &f->size;
    int64_t first, pixels = chunk_at(s, chunk, &first);
    char *center = forward_scratch_of(f, image), *sums = center + s->line;
    s->kernels->group_norm_squares(sums + chunk * 2 * s->line,
                                   f->x + image * s->image + first * s->pixel, pixels, s->channels,
                                   center);
}

/* Mean and rstd, unless they are known, and what follows from them for each channel. */
static void finish_image(const norm_forward *f, int64_t image)
{
    const norm_size *s = &f->size;
    double *mean = f->mean + image * s->groups, *rstd = f->rstd + image * s->groups;
    char *center = forward_scratch_of(f, image), *scale = center + s->line;
    if (!f->measured)
        s->kernels->group_norm_moments(mean, rstd, scale, chunk_count(s), s->channels, s->groups,
                                       group_count(s), f->eps, center);
    s->kernels->group_norm_affine(center, scale, scale + s->line, s->channels, s->groups, mean,
                                  rstd, f->weight, f->bias);
}

static void apply_chunk(const norm_forward *f, int64_t image, int64_t chunk)
{
    const norm_size *s = &f->size;
    int64_t first, pixels = chunk_at(s, chunk, &first);
    int64_t at = image * s->image + first * s->pixel;
    char *center = forward_scratch_of(f, image), *scale = center + s->line;
    s->kernels->group_norm_apply(f->y + at, f->x + at, pixels, s->channels, center, scale,
                                 scale + s->line, s->silu);
}

static void forward_image(const norm_forward *f, int64_t image)
{
    int64_t chunks = chunk_count(&f->size);
    if (!f->measured) {
        center_image(f, image);
        for (int64_t i = 0; i < chunks; i++)
            measure_chunk(f, image, i);
    }
    finish_image(f, image);
    for (int64_t i = 0; i < chunks && f->y != NULL; i++)
        apply_chunk(f, image, i);
}

static void forward_together(const norm_forward *f)
{
    int64_t images = f->size.images, chunks = chunk_count(&f->size);
#pragma omp parallel num_threads(threads_for(work_of(&f->size)))
    {
        if (!f->measured) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < images; i++)
                center_image(f, i);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < images * chunks; i++)
                measure_chunk(f, i / chunks, i % chunks);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images; i++)
            finish_image(f, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (f->y != NULL ? images * chunks : 0); i++)
            apply_chunk(f, i / chunks, i % chunks);
    }
}

static bool run_forward(norm_forward *f)
{
    const norm_size *s = &f->size;
    f->scratch_bytes = (forward_scratch(s) + 63) / 64 * 64;
    f->scratch = mem_alloc((size_t)s->images * f->scratch_bytes);
    if (f->scratch == NULL)
        return false;
    if (by_images(s)) {
        PARALLEL_FOR(i, s->images, work_of(s), forward_image(f, i));
    } else {
        forward_together(f);
    }
    mem_free(f->scratch);
    return true;
}

bool group_norm_measure(const ito_tensor *x, int64_t groups, ito_tensor **mean,
                        ito_tensor **variance)
{
    group_norm_params p = {.groups = groups};
    norm_size s = size_of(ito_shape_of(x), x->dtype, &p);
    x = as_pixels(x, &s);
    *mean = tensor_empty(ITO_SHAPE(s.images, groups), ITO_F64);
    *variance = tensor_empty(ITO_SHAPE(s.images, groups), ITO_F64);
    if (x == NULL || *mean == NULL || *variance == NULL)
        return false;
    double *v = tensor_data(*variance);
    norm_forward f = {.size = s, .x = tensor_data(x), .mean = tensor_data(*mean), .rstd = v};
    if (!run_forward(&f))
        return false;
    for (int64_t i = 0; i < s.images * groups; i++)
        v[i] = 1 / (v[i] * v[i]); /* of 0, with no eps, rstd is infinite */
    return true;
}

static bool group_norm_fits(const op_call *c, int64_t groups)
{
    const ito_shape *x = &c->shape[0];
    const char *op = c->info->name;
    if (x->ndim < 2)
        return error_false(ITO_ERR_SHAPE, "%s: x %s is not [N, C, ...]", op, shape_str(*x));
    if (groups < 1 || x->dim[1] % groups != 0)
        return error_false(ITO_ERR_SHAPE, "%s: %" PRId64 " channels do not form %" PRId64 " groups",
                           op, x->dim[1], groups);
    for (int i = 1; i < 3; i++)
        if (c->in[i] != NULL && !shape_equal(c->shape[i], ITO_SHAPE(x->dim[1])))
            return error_false(ITO_ERR_SHAPE, "%s: %s %s does not fit %" PRId64 " channels", op,
                               i == 1 ? "weight" : "bias", shape_str(c->shape[i]), x->dim[1]);
    return true;
}

/* The data of a vector of channels, dense; NULL if there is none or, with an error, no memory. */
static const void *channel_data(const ito_tensor *t)
{
    const ito_tensor *dense = tensor_contiguous(t);
    return dense == NULL ? NULL : tensor_data(dense);
}

static bool forward_images(const norm_size *s, ito_tensor *y, const ito_tensor *x, const op_call *c,
                           bool measured)
{
    const group_norm_params *p = c->params;
    norm_forward f = {.size = *s,
                      .x = tensor_data(x),
                      .y = tensor_data(y),
                      .mean = tensor_data(c->extra[0]),
                      .rstd = tensor_data(c->extra[1]),
                      .measured = measured,
                      .eps = p->eps,
                      .weight = channel_data(c->in[1]),
                      .bias = channel_data(c->in[2])};
    return (c->in[1] == NULL || f.weight != NULL) && (c->in[2] == NULL || f.bias != NULL) &&
           run_forward(&f);
}

ito_tensor *op_group_norm_forward(op_call *c)
{
    const group_norm_params *p = c->params;
    if (!group_norm_fits(c, p->groups))
        return NULL;
    norm_size s = size_of(c->shape[0], c->dtype[0], p);
    ito_tensor *x = as_pixels(c->in[0], &s), *y = empty_pixels(&s, c->dtype[0]);
    bool measured = c->extra[0] != NULL; /* the first time */
    for (int i = 0; i < 2 && !measured; i++)
        c->extra[i] = tensor_empty(ITO_SHAPE(s.images, s.groups), ITO_F64);
    if (x == NULL || y == NULL || c->extra[0] == NULL || c->extra[1] == NULL)
        return NULL;
    if (!is_empty(&s) && !forward_images(&s, y, x, c, measured))
        return NULL;
    return from_pixels(y, c->shape[0]);
}

/* ---- backward ---- */

/* What the loop over images needs. */
typedef struct norm_backward {
    norm_size size;
    const char *x, *dy;
    char *dx;     /* or NULL */
    double *grad; /* [images][2][channels]: each image's part of dbias and dweight */
    const double *mean, *rstd;
    const void *weight, *bias;
    char *scratch;
    size_t scratch_bytes; /* for one image */
} norm_backward;

/* Of an image's scratch: a line each, then the chunks' sums. */
enum { CENTER, SCALE, SHIFT, A, SLOPE, LEVEL, SUMS };

static char *line_of(const norm_backward *b, int64_t image, int64_t line)
{
    return b->scratch + (size_t)image * b->scratch_bytes + line * b->size.line;
}

static void prepare_backward(const norm_backward *b, int64_t image)
{
    const norm_size *s = &b->size;
    s->kernels->group_norm_affine(
        line_of(b, image, CENTER), line_of(b, image, SCALE), line_of(b, image, SHIFT), s->channels,
        s->groups, b->mean + image * s->groups, b->rstd + image * s->groups, b->weight, b->bias);
}

static void sum_chunk(const norm_backward *b, int64_t image, int64_t chunk)
{
    const norm_size *s = &b->size;
    int64_t first, pixels = chunk_at(s, chunk, &first), at = image * s->image + first * s->pixel;
    char *sums = line_of(b, image, SUMS + 2 * chunk), *center = line_of(b, image, CENTER);
    if (s->silu)
        s->kernels->group_norm_silu_sums(sums, b->dx == NULL ? NULL : b->dx + at, b->x + at,
                                         b->dy + at, pixels, s->channels, center,
                                         line_of(b, image, SCALE), line_of(b, image, SHIFT));
    else
        s->kernels->group_norm_sums(sums, b->x + at, b->dy + at, pixels, s->channels, center);
}

static void finish_sums(const norm_backward *b, int64_t image)
{
    const norm_size *s = &b->size;
    s->kernels->group_norm_coefficients(
        b->grad + image * 2 * s->channels, line_of(b, image, A), line_of(b, image, SLOPE),
        line_of(b, image, LEVEL), line_of(b, image, SUMS), chunk_count(s), s->channels, s->groups,
        group_count(s), b->mean + image * s->groups, b->rstd + image * s->groups, b->weight);
}

static void dx_chunk(const norm_backward *b, int64_t image, int64_t chunk)
{
    const norm_size *s = &b->size;
    int64_t first, pixels = chunk_at(s, chunk, &first), at = image * s->image + first * s->pixel;
    const char *dz = s->silu ? b->dx : b->dy;
    s->kernels->group_norm_dx(b->dx + at, b->x + at, dz + at, pixels, s->channels,
                              line_of(b, image, CENTER), line_of(b, image, A),
                              line_of(b, image, SLOPE), line_of(b, image, LEVEL));
}

static void backward_image(const norm_backward *b, int64_t image)
{
    int64_t chunks = chunk_count(&b->size);
    prepare_backward(b, image);
    for (int64_t i = 0; i < chunks; i++)
        sum_chunk(b, image, i);
    finish_sums(b, image);
    for (int64_t i = 0; i < chunks && b->dx != NULL; i++)
        dx_chunk(b, image, i);
}

static void backward_together(const norm_backward *b)
{
    int64_t images = b->size.images, chunks = chunk_count(&b->size);
#pragma omp parallel num_threads(threads_for(work_of(&b->size)))
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images; i++)
            prepare_backward(b, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images * chunks; i++)
            sum_chunk(b, i / chunks, i % chunks);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images; i++)
            finish_sums(b, i);
        if (b->dx != NULL) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < images * chunks; i++)
                dx_chunk(b, i / chunks, i % chunks);
        }
    }
}

/* The images' parts of dbias or dweight, added up in order. */
static ito_tensor *total(const norm_size *s, ito_dtype dtype, const double *grad)
{
    ito_tensor *t = tensor_empty(ITO_SHAPE(s->channels), dtype);
    if (t != NULL)
        s->kernels->group_norm_total(tensor_data(t), grad, s->images, 2 * s->channels, s->channels);
    return t;
}

static bool backward_images(norm_backward *b, const op_call *c, ito_tensor **dx)
{
    const norm_size *s = &b->size;
    size_t grad_bytes = (size_t)(s->images * 2 * s->channels) * sizeof(double);
    b->scratch_bytes = (size_t)((SUMS + 2 * chunk_count(s)) * s->line + 63) / 64 * 64;
    b->grad = mem_alloc(grad_bytes);
    b->scratch = b->grad == NULL ? NULL : mem_alloc((size_t)s->images * b->scratch_bytes);
    bool done = b->scratch != NULL;
    if (done && !is_empty(s) && by_images(s)) {
        PARALLEL_FOR(i, s->images, work_of(s), backward_image(b, i));
    } else if (done && !is_empty(s)) {
        backward_together(b);
    } else if (done) {
        memset(b->grad, 0, grad_bytes);
    }
    if (done && c->needs[1])
        done = (dx[1] = total(s, c->dtype[1], b->grad + s->channels)) != NULL;
    if (done && c->needs[2])
        done = (dx[2] = total(s, c->dtype[2], b->grad)) != NULL;
    mem_free(b->grad);
    mem_free(b->scratch);
    return done;
}

bool op_group_norm_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    const group_norm_params *p = c->params;
    norm_backward b = {.size = size_of(c->shape[0], c->dtype[0], p)};
    ito_tensor *x = as_pixels(c->in[0], &b.size), *g = as_pixels(dy, &b.size), *out = NULL;
    if (c->needs[0] && g != NULL) /* over dy, or over its copy */
        out = c->own_dy || g->storage != dy->storage ? g : empty_pixels(&b.size, c->dtype[0]);
    b.weight = channel_data(c->in[1]);
    b.bias = channel_data(c->in[2]);
    if (x == NULL || g == NULL || (c->needs[0] && out == NULL) ||
        (c->in[1] != NULL && b.weight == NULL) || (c->in[2] != NULL && b.bias == NULL))
        return false;
    b.x = tensor_data(x);
    b.dy = tensor_data(g);
    b.dx = out == NULL ? NULL : tensor_data(out);
    b.mean = tensor_data(c->extra[0]);
    b.rstd = tensor_data(c->extra[1]);
    if (!backward_images(&b, c, dx))
        return false;
    if (c->needs[0])
        dx[0] = from_pixels(out, c->shape[0]);
    return !c->needs[0] || dx[0] != NULL;
}

/* ---- the definition ---- */

/* A vector of channels as [1, C, 1, ...]. */
static ito_tensor *along_channels(ito_tensor *v, ito_shape x)
{
    ito_shape s = {.ndim = x.ndim};
    for (int i = 0; i < x.ndim; i++)
        s.dim[i] = i == 1 ? x.dim[1] : 1;
    return ito_reshape_to(v, s);
}

ito_tensor *op_group_norm_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    (void)n;
    const group_norm_params *p = params;
    ito_shape shape = ito_shape_of(in[0]);
    norm_size s = size_of(shape, in[0]->dtype, p);
    int64_t count = s.channels / s.groups * s.pixels;
    bool narrow = in[0]->dtype == ITO_BF16; /* beside f32 parameters */
    ito_tensor *x = narrow ? ito_cast(in[0], ITO_F32) : in[0];
    x = ito_reshape_to(x, ITO_SHAPE(s.images, s.groups, count));
    ito_tensor *d = ito_sub(x, ito_mean(x, .dims = ITO_DIMS(2), .keepdim = true));
    ito_tensor *var = ito_mean(ito_square(d), .dims = ITO_DIMS(2), .keepdim = true);
    ito_tensor *y = ito_mul(d, ito_rsqrt(ito_add_scalar(var, p->eps)));
    y = ito_reshape_to(y, shape);
    if (in[1] != NULL)
        y = ito_mul(y, along_channels(in[1], shape));
    if (in[2] != NULL)
        y = ito_add(y, along_channels(in[2], shape));
    y = p->silu ? ito_silu(y) : y;
    return narrow ? ito_cast(y, ITO_BF16) : y;
}

/* ---- forward mode ---- */

/* The tangent of the norm's result z = w x_hat + b along t, t_w and t_b is w S t + t_w x_hat + t_b,
 * where x_hat has the Jacobian S, which is symmetric: the coefficients of backward without a weight
 * apply it. All of it is linear in t and in x, channel by channel, and so one pass after the sums.
 */
typedef struct norm_tangent {
    norm_backward of;            /* dy is t, or NULL for zero; dx the tangent of the result */
    const void *dweight, *dbias; /* or NULL */
} norm_tangent;

static void tangent_image(const norm_tangent *n, int64_t image)
{
    const norm_backward *b = &n->of;
    const norm_size *s = &b->size;
    int64_t chunks = chunk_count(s);
    char *a = line_of(b, image, A), *slope = line_of(b, image, SLOPE);
    char *level = line_of(b, image, LEVEL), *center = line_of(b, image, CENTER);
    const double *mean = b->mean + image * s->groups, *rstd = b->rstd + image * s->groups;
    prepare_backward(b, image);
    for (int64_t i = 0; i < chunks && b->dy != NULL; i++) {
        int64_t first, pixels = chunk_at(s, i, &first), at = image * s->image + first * s->pixel;
        s->kernels->group_norm_sums(line_of(b, image, SUMS + 2 * i), b->x + at, b->dy + at, pixels,
                                    s->channels, center);
    }
    if (b->dy != NULL)
        s->kernels->group_norm_coefficients(b->grad + image * 2 * s->channels, a, slope, level,
                                            line_of(b, image, SUMS), chunks, s->channels, s->groups,
                                            group_count(s), mean, rstd, NULL);
    else
        memset(a, 0, (size_t)(3 * s->line)); /* the three lie side by side */
    s->kernels->group_norm_tangent_coefficients(a, slope, level, s->channels, s->groups, mean, rstd,
                                                b->weight, n->dweight, n->dbias);
    for (int64_t i = 0; i < chunks; i++) {
        int64_t first, pixels = chunk_at(s, i, &first), at = image * s->image + first * s->pixel;
        const char *t = b->dy == NULL ? b->x : b->dy;
        s->kernels->group_norm_tangent(b->dx + at, b->x + at, t + at, pixels, s->channels, center,
                                       a, slope, level, line_of(b, image, SCALE),
                                       line_of(b, image, SHIFT), s->silu);
    }
}

static bool tangent_images(norm_tangent *n)
{
    norm_backward *b = &n->of;
    const norm_size *s = &b->size;
    b->scratch_bytes = (size_t)((SUMS + 2 * chunk_count(s)) * s->line + 63) / 64 * 64;
    b->grad = mem_alloc((size_t)(s->images * 2 * s->channels) * sizeof(double));
    b->scratch = b->grad == NULL ? NULL : mem_alloc((size_t)s->images * b->scratch_bytes);
    bool done = b->scratch != NULL;
    if (done && !is_empty(s))
        PARALLEL_FOR(i, s->images, work_of(s), tangent_image(n, i));
    mem_free(b->grad);
    mem_free(b->scratch);
    return done;
}

bool tangent_group_norm(const op_call *c, ito_tensor *const *t, ito_tensor **dt)
{
    norm_tangent n = {.of = {.size = size_of(c->shape[0], c->dtype[0], c->params),
                             .weight = channel_data(c->in[1]),
                             .bias = channel_data(c->in[2])},
                      .dweight = channel_data(t[1]),
                      .dbias = channel_data(t[2])};
    norm_backward *b = &n.of;
    ito_tensor *x = as_pixels(c->in[0], &b->size), *out = empty_pixels(&b->size, c->dtype[0]);
    ito_tensor *along = t[0] == NULL ? NULL : as_pixels(t[0], &b->size);
    if (x == NULL || out == NULL || (t[0] != NULL && along == NULL) ||
        (c->in[1] != NULL && b->weight == NULL) || (c->in[2] != NULL && b->bias == NULL) ||
        (t[1] != NULL && n.dweight == NULL) || (t[2] != NULL && n.dbias == NULL))
        return false;
    b->x = tensor_data(x);
    b->dy = along == NULL ? NULL : tensor_data(along);
    b->dx = tensor_data(out);
    b->mean = tensor_data(c->extra[0]);
    b->rstd = tensor_data(c->extra[1]);
    *dt = tangent_images(&n) ? from_pixels(out, c->shape[0]) : NULL;
    return *dt != NULL;
}

ito_tensor *op_group_norm_silu_forward(op_call *c)
{
    return op_group_norm_forward(c);
}

bool op_group_norm_silu_backward(const op_call *c, ito_tensor *dy, ito_tensor **dx)
{
    return op_group_norm_backward(c, dy, dx);
}

ito_tensor *op_group_norm_silu_composite(ito_tensor *const *in, int64_t n, const void *params)
{
    return op_group_norm_composite(in, n, params);
}

static ito_tensor *norm_apply(op_id id, ito_tensor *x, int64_t groups, ito_tensor *weight,
                              ito_tensor *bias, double eps)
{
    enum { WEIGHT_AND_BIAS_MAY_BE_NULL = 6 };
    if (!(eps >= 0 && eps < HUGE_VAL))
        return error_null(ITO_ERR_ARGUMENT, "group_norm: eps is %g; it must be 0 or more, finite",
                          eps);
    group_norm_params p = {.groups = groups, .eps = eps, .silu = id == OP_group_norm_silu};
    return op_apply_optional(id, (ito_tensor *[]){x, weight, bias}, 3, WEIGHT_AND_BIAS_MAY_BE_NULL,
                             &p, sizeof p);
}

ito_tensor *ito_group_norm(ito_tensor *x, int64_t groups, ito_tensor *weight, ito_tensor *bias,
                           double eps)
{
    return norm_apply(OP_group_norm, x, groups, weight, bias, eps);
}

ito_tensor *ito_group_norm_silu(ito_tensor *x, int64_t groups, ito_tensor *weight, ito_tensor *bias,
                                double eps)
{
    return norm_apply(OP_group_norm_silu, x, groups, weight, bias, eps);
}
