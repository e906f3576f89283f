/* The U-Net against PyTorch: the same weights, images and noise (tests/reference) give the same
 * output, loss, gradients and training. Expected values are float64 results of PyTorch; what
 * PyTorch's own float32 deviates from them is in tests/reference/README.md. */
#include "ito.h"
#include "tests/reference/formula.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static ito_safetensors *fixture;

static double *values(const char *name, int64_t *n)
{
    ito_tensor *t = ito_safetensors_read(fixture, name);
    cr_assert_not_null(t, "%s", ito_error());
    double *v = malloc((size_t)(ito_numel(t) + 1) * sizeof *v);
    cr_assert_eq(ito_to_data(t, v, ITO_F64), ITO_OK);
    if (n != NULL)
        *n = ito_numel(t);
    return v;
}

/* Parameters in strcmp order, as the fixture numbers them. */
typedef struct parameter {
    const char *name;
    ito_tensor *tensor;
    float *start;
} parameter;

typedef struct model {
    ito_unet *unet;
    ito_named_tensors *list;
    parameter *p;
    int64_t n;
} model;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const parameter *)a)->name, ((const parameter *)b)->name);
}

static float *row_major(const ito_tensor *t)
{
    float *v = malloc((size_t)ito_numel(t) * sizeof *v);
    cr_assert_eq(ito_to_data(t, v, ITO_F32), ITO_OK);
    return v;
}

static model make_model(void)
{
    ito_unet_config config;
    cr_assert_eq(ito_unet_preset("cifar10", 3, 32, 32, &config), ITO_OK, "%s", ito_error());
    config.channels = 32;
    config.dropout = 0;
    ito_generator g = ito_generator_make(0, 0);
    model m = {.unet = ito_unet_create(&config, &g)};
    cr_assert_not_null(m.unet, "%s", ito_error());
    m.list = ito_module_parameters(&m.unet->base);
    m.n = m.list->n;
    m.p = malloc((size_t)m.n * sizeof *m.p);
    for (int64_t i = 0; i < m.n; i++)
        m.p[i] = (parameter){m.list->names[i], m.list->tensors[i], NULL};
    qsort(m.p, (size_t)m.n, sizeof *m.p, by_name);
    for (int64_t i = 0; i < m.n; i++) {
        ito_tensor *t = m.p[i].tensor;
        ito_shape shape = ito_shape_of(t);
        float *v = malloc((size_t)ito_numel(t) * sizeof *v);
        for (int64_t k = 0; k < ito_numel(t); k++)
            v[k] = formula_parameter(i, m.p[i].name, shape.ndim, shape.dim, (uint32_t)k);
        ITO_NO_GRAD
        {
            cr_assert_not_null(ito_copy_(t, ito_from_data(v, shape, ITO_F32)), "%s", ito_error());
        }
        m.p[i].start = v;
    }
    return m;
}

static void free_model(model *m)
{
    for (int64_t i = 0; i < m->n; i++)
        free(m->p[i].start);
    free(m->p);
    ito_named_tensors_free(m->list);
    ito_module_free(&m->unet->base);
}

static void open_fixture(void)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/unet.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
}

TestSuite(unet_reference, .init = open_fixture, .fini = close_fixture);

static void make_batch(int64_t batch, int64_t images, ito_tensor **x_0, ito_tensor **eps,
                       ito_tensor **t)
{
    *x_0 = ito_empty(ITO_SHAPE(images, 3, 32, 32), ITO_F32);
    *eps = ito_empty(ITO_SHAPE(images, 3, 32, 32), ITO_F32);
    *t = ito_empty(ITO_SHAPE(images), ITO_I64);
    for (int64_t i = 0; i < ito_numel(*x_0); i++) {
        ((float *)ito_data(*x_0))[i] = formula_x_0(batch, (uint32_t)i);
        ((float *)ito_data(*eps))[i] = formula_eps(batch, (uint32_t)i);
    }
    for (int64_t i = 0; i < images; i++)
        ((int64_t *)ito_data(*t))[i] = formula_t(batch, (uint32_t)i);
}

Test(unet_reference, has_the_same_parameters)
{
    model m = make_model();
    ito_tensor *names = ito_safetensors_read(fixture, "parameter/names");
    char *text = calloc(1, (size_t)ito_numel(names) + 1), *rest = text;
    ito_to_data(names, text, ITO_U8);
    double *numel = values("parameter/numel", NULL);
    for (int64_t i = 0; i < m.n; i++) {
        const char *name = strsep(&rest, "\n");
        cr_assert_not_null(name);
        cr_assert_str_eq(m.p[i].name, name);
        cr_assert_eq((double)ito_numel(m.p[i].tensor), numel[i], "%s", name);
    }
    free(numel);
    free(text);
    free_model(&m);
}

Test(unet_reference, gives_the_same_output)
{
    model m = make_model();
    ito_tensor *x_t = ito_safetensors_read(fixture, "forward/x_t");
    ito_tensor *t = ito_safetensors_read(fixture, "forward/t");
    ito_tensor *y = NULL;
    ITO_NO_GRAD
    {
        y = ito_unet_forward(m.unet, x_t, t);
    }
    cr_assert_not_null(y, "%s", ito_error());
    int64_t n;
    double *want = values("forward/output", &n), largest = 0, worst = 0;
    float *got = row_major(y);
    cr_assert_eq(ito_numel(y), n);
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs(want[i] - (double)got[i]));
    }
    cr_assert_lt(worst, 1e-4 * largest, "worst %g of %g", worst, largest);
    free(want);
    free(got);
    free_model(&m);
}

static ito_tensor *loss_of(model *m, const ito_diffusion *d, int64_t batch, int64_t images)
{
    ito_tensor *x_0, *eps, *t;
    make_batch(batch, images, &x_0, &eps, &t);
    ito_tensor *loss = ito_diffusion_loss(d, &m->unet->network, x_0, t, eps);
    cr_assert_not_null(loss, "%s", ito_error());
    return loss;
}

/* Norm, projections and single elements of one parameter's gradient, each within 1e-3 of its norm
 * (of its largest element for the elements); a gradient that cancels exactly, within 1e-6 of the
 * whole. */
static void check_gradient(const model *m, int64_t i, const double *norms, const double *largest,
                           const double *projections, const double *samples, const double *offset,
                           bool is_zero, double whole)
{
    ito_tensor *grad = ito_grad_of(m->p[i].tensor);
    cr_assert_not_null(grad, "%s has no gradient", m->p[i].name);
    float *g = row_major(grad);
    int64_t n = ito_numel(grad);
    double norm = 0, projection[FORMULA_PROJECTIONS] = {0};
    for (int64_t k = 0; k < n; k++) {
        norm += (double)g[k] * (double)g[k];
        for (int64_t j = 0; j < FORMULA_PROJECTIONS; j++)
            projection[j] +=
                (double)g[k] * (double)formula_sign(formula_stream_projection(i, j), (uint32_t)k);
    }
    norm = sqrt(norm);
    if (is_zero) {
        cr_assert_lt(norm, 1e-6 * whole, "%s: norm %g should cancel", m->p[i].name, norm);
        free(g);
        return;
    }
    cr_assert_lt(fabs(norm - norms[i]), 1e-3 * norms[i], "%s: norm %g, not %g", m->p[i].name, norm,
                 norms[i]);
    for (int64_t j = 0; j < FORMULA_PROJECTIONS; j++)
        cr_assert_lt(fabs(projection[j] - projections[i * FORMULA_PROJECTIONS + j]),
                     1e-3 * norms[i], "%s: projection %lld", m->p[i].name, (long long)j);
    int64_t stored = (int64_t)offset[i + 1] - (int64_t)offset[i];
    for (int64_t s = 0; s < stored; s++) {
        double want = samples[(int64_t)offset[i] + s], got = (double)g[formula_sample(i, n, s)];
        cr_assert_lt(fabs(got - want), 1e-3 * largest[i], "%s: sample %lld is %g, not %g",
                     m->p[i].name, (long long)s, got, want);
    }
    free(g);
}

Test(unet_reference, gives_the_same_loss_and_gradients)
{
    model m = make_model();
    ito_diffusion *d = ito_diffusion_create();
    ito_scope_begin();
    ito_tensor *loss = loss_of(&m, d, 0, 2);
    double *want = values("forward/loss", NULL);
    cr_assert_float_eq(ito_item(loss), *want, 1e-5 * *want);
    cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
    double *norms = values("grad/norm", NULL), *largest = values("grad/max_abs", NULL);
    double *projections = values("grad/projection", NULL), *samples = values("grad/sample", NULL);
    double *offset = values("grad/sample_offset", NULL), *zero = values("grad/is_zero", NULL);
    double whole = 0;
    for (int64_t i = 0; i < m.n; i++)
        whole += norms[i] * norms[i];
    for (int64_t i = 0; i < m.n; i++)
        check_gradient(&m, i, norms, largest, projections, samples, offset, zero[i] != 0,
                       sqrt(whole));
    free(want), free(norms), free(largest), free(projections), free(samples), free(offset),
        free(zero);
    ito_scope_end();
    ito_diffusion_free(d);
    free_model(&m);
}

/* Norm and two projections of a parameter, minus its start if `moved`. Of how far it has moved they
 * agree within 1e-2, Adam making full steps of small differences; as they stand within 5e-5. */
static void check_parameter(const model *m, int64_t i, bool moved, const double *norms,
                            const double *projections)
{
    float *now = row_major(m->p[i].tensor);
    double norm = 0, projection[2] = {0}, tolerance = (moved ? 1e-2 : 5e-5) * norms[i];
    for (int64_t k = 0; k < ito_numel(m->p[i].tensor); k++) {
        double v = (double)now[k] - (moved ? (double)m->p[i].start[k] : 0);
        norm += v * v;
        for (int64_t j = 0; j < 2; j++)
            projection[j] += v * (double)formula_sign(formula_stream_projection(i, j), (uint32_t)k);
    }
    free(now);
    cr_assert_lt(fabs(sqrt(norm) - norms[i]), tolerance, "%s: %g, not %g", m->p[i].name, sqrt(norm),
                 norms[i]);
    for (int64_t j = 0; j < 2; j++)
        cr_assert_lt(fabs(projection[j] - projections[2 * i + j]), tolerance, "%s, projection %lld",
                     m->p[i].name, (long long)j);
}

Test(unet_reference, trains_the_same_for_twenty_steps)
{
    model m = make_model();
    ito_diffusion *d = ito_diffusion_create();
    ito_optimizer *adam = ito_adam_create(&m.unet->base);
    ito_ema *ema = ito_ema_create(&m.unet->base, .decay = 0.9);
    double *losses = values("train_f64/loss", NULL), *norms = values("train_f64/grad_norm", NULL);
    for (int64_t step = 0; step < 20; step++) {
        ito_scope_begin();
        ito_module_zero_grad(&m.unet->base);
        ito_tensor *loss = loss_of(&m, d, step + 1, 4);
        cr_assert_lt(fabs(ito_item(loss) - losses[step]), 1e-3 * losses[step],
                     "step %lld: loss %g, not %g", (long long)step, ito_item(loss), losses[step]);
        cr_assert_eq(ito_backward(loss), ITO_OK, "%s", ito_error());
        double norm = ito_clip_grad_norm(&m.unet->base, 1.0);
        cr_assert_lt(fabs(norm - norms[step]), 1e-3 * norms[step], "step %lld: norm %g, not %g",
                     (long long)step, norm, norms[step]);
        cr_assert_eq(ito_optimizer_step(adam, 2e-4), ITO_OK, "%s", ito_error());
        cr_assert_eq(ito_ema_update(ema), ITO_OK, "%s", ito_error());
        ito_scope_end();
    }
    double *zero = values("grad/is_zero", NULL);
    const char *const arrays[2][2] = {
        {"train_f64/moved_norm", "train_f64/moved_projection"},
        {"train_f64/ema_fast_norm", "train_f64/ema_fast_projection"},
    };
    for (int averaged = 0; averaged < 2; averaged++) {
        if (averaged == 1)
            ito_ema_swap(ema);
        double *size = values(arrays[averaged][0], NULL),
               *along = values(arrays[averaged][1], NULL);
        for (int64_t i = 0; i < m.n; i++)
            if (zero[i] == 0)
                check_parameter(&m, i, averaged == 0, size, along);
        free(size), free(along);
    }
    free(zero), free(losses), free(norms);
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_diffusion_free(d);
    free_model(&m);
}
