/* The convolutional VAE: its shapes, gradients, files and refusals. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/vae/vae.h"
#include "tests/expect.h"
#include "tests/german.h"

#include <math.h>

static char path[300];

static void make_path(void)
{
    snprintf(path, sizeof path, "%s/vae.safetensors", temporary_directory());
}

static void remove_path(void)
{
    *strrchr(path, '/') = '\0';
    remove_tree(path);
}

TestSuite(vae_network, .init = make_path, .fini = remove_path);

static ito_tensor *pixels(int64_t n, int64_t channels, int64_t side, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(9, 0);
    return ito_add_scalar(
        ito_mul_scalar(ito_rand(&g, ITO_SHAPE(n, channels, side, side), dtype), 0.8), 0.1);
}

static ito_vae *small(bool spatial, ito_dtype dtype)
{
    ito_generator g = ito_generator_make(1, 0);
    ito_vae *vae = ito_vae_create(2, 8, 8, .latent = 3, .spatial = spatial, .width = 4,
                                  .generator = &g, .dtype = dtype);
    cr_assert_not_null(vae, "%s", ito_error());
    return vae;
}

static void has_shape(ito_tensor *t, ito_shape want)
{
    cr_assert_not_null(t, "%s", ito_error());
    cr_assert_eq(ito_ndim(t), want.ndim);
    for (int i = 0; i < want.ndim; i++)
        cr_expect_eq(ito_size(t, i), want.dim[i], "axis %d", i);
}

Test(vae_network, codes_are_rows_or_images)
{
    for (int spatial = 0; spatial < 2; spatial++) {
        ito_vae *vae = small(spatial, ITO_F32);
        ito_tensor *x = pixels(5, 2, 8, ITO_F32), *mean, *log_variance;
        ito_generator g = ito_generator_make(2, 0);
        ito_shape code = spatial ? ITO_SHAPE(5, 3, 2, 2) : ITO_SHAPE(5, 3);
        cr_assert_eq(ito_vae_encode(vae, x, &mean, &log_variance), ITO_OK, "%s", ito_error());
        has_shape(mean, code);
        has_shape(log_variance, code);
        has_shape(ito_vae_decode(vae, mean), ITO_SHAPE(5, 2, 8, 8));
        has_shape(ito_vae_elbo(vae, x, &g), ITO_SHAPE(5));
        has_shape(ito_vae_bound(vae, x, 2, &g), ITO_SHAPE(5));
        ito_module_free(&vae->base);
    }
}

static bool same(ito_tensor *a, ito_tensor *b)
{
    ito_tensor *x = ito_contiguous(a), *y = ito_contiguous(b);
    return ito_numel(x) == ito_numel(y) &&
           memcmp(ito_const_data(x), ito_const_data(y),
                  (size_t)ito_numel(x) * ito_dtype_size(ito_dtype_of(x))) == 0;
}

Test(vae_network, bits_depend_on_neither_threads_nor_the_batch)
{
    ito_vae *vae = small(true, ITO_F32);
    ito_tensor *x = pixels(6, 2, 8, ITO_F32), *mean, *alone, *l, *first = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        ito_generator g = ito_generator_make(2, 0);
        cr_assert_eq(ito_set_threads(threads), ITO_OK);
        ito_tensor *bound = ito_vae_bound(vae, x, 5, &g);
        first = first != NULL ? first : bound;
        cr_expect(same(bound, first), "%d threads", threads);
    }
    cr_assert_eq(ito_vae_encode(vae, x, &mean, &l), ITO_OK);
    cr_assert_eq(ito_vae_encode(vae, ito_narrow(x, 0, 4, 1), &alone, &l), ITO_OK);
    cr_expect(same(alone, ito_narrow(mean, 0, 4, 1)));
    cr_expect(same(ito_vae_decode(vae, alone), ito_narrow(ito_vae_decode(vae, mean), 0, 4, 1)));
    ito_module_free(&vae->base);
}

/* ---- gradients ---- */

typedef struct with_noise {
    ito_vae *vae;
    int64_t k; /* 0: the ELBO */
} with_noise;

/* inputs[0] is x; the others are the parameters. The noise is the same each time. */
static ito_tensor *bound_of(ito_tensor *const *inputs, int64_t n, void *context)
{
    (void)n;
    with_noise *w = context;
    ito_generator g = ito_generator_make(3, 0);
    return w->k == 0 ? ito_vae_elbo(w->vae, inputs[0], &g, .beta = 0.5)
                     : ito_vae_bound(w->vae, inputs[0], w->k, &g);
}

Test(vae_network, gradients_are_those_of_differences)
{
    const ito_vae_likelihood *likelihoods[] = {&ito_vae_bernoulli, &ito_vae_gaussian};
    for (int i = 0; i < 4; i++) {
        with_noise w = {.vae = small(i % 2 == 0, ITO_F64), .k = i < 2 ? 0 : 3};
        w.vae->likelihood = *likelihoods[i % 2];
        w.vae->likelihood.sigma = 0.5;
        ito_named_tensors *p = ito_module_parameters(&w.vae->base);
        ito_tensor *in[128] = {ito_requires_grad(pixels(2, 2, 8, ITO_F64), true)};
        cr_assert_lt(p->n, 127);
        memcpy(in + 1, p->tensors, (size_t)p->n * sizeof *in);
        cr_expect_eq(ito_gradcheck(bound_of, &w, in, p->n + 1, .elements = 4), ITO_OK, "%d: %s", i,
                     ito_error());
        ito_error_clear();
        ito_named_tensors_free(p);
        ito_module_free(&w.vae->base);
    }
}

/* ---- files ---- */

Test(vae_network, a_file_brings_its_settings)
{
    ito_generator g = ito_generator_make(4, 0);
    ito_vae_likelihood narrow = ito_vae_gaussian;
    narrow.sigma = 0.3;
    ito_vae *vae = ito_vae_create(3, 8, 16, .latent = 5, .spatial = true, .levels = 3, .width = 2,
                                  .likelihood = &narrow, .generator = &g);
    const char *dir = begin_german(); /* it is no matter */
    cr_assert_eq(ito_vae_save(vae, path), ITO_OK, "%s", ito_error());
    ito_vae *again = ito_vae_load(path);
    end_german(dir);
    cr_assert_not_null(again, "%s", ito_error());
    ito_safetensors *file = ito_safetensors_open(path);
    cr_expect_str_eq(ito_safetensors_metadata(file, "vae.sigma"), "0.29999999999999999");
    ito_safetensors_close(file);
    uint32_t a = 0, b = 1;
    ito_module_checksum(&vae->base, &a);
    ito_module_checksum(&again->base, &b);
    cr_expect_eq(a, b);
    cr_expect_eq(memcmp(&again->image, &vae->image, sizeof vae->image), 0);
    cr_expect_eq(memcmp(&again->code, &vae->code, sizeof vae->code), 0);
    cr_expect_eq(again->likelihood.sigma, 0.3);
    cr_expect_eq(again->likelihood.log_prob, ito_vae_gaussian.log_prob);
    cr_expect_eq(again->options.levels, 3);
    ito_module_free(&vae->base);
    ito_module_free(&again->base);
}

/* A file with the settings of a small model, the i-th one changed; `change` NULL leaves out all
 * from it on. */
static void write_settings(int i, const char *change)
{
    static const char *const keys[] = {"vae.channels",    "vae.height",  "vae.width",
                                       "vae.latent",      "vae.spatial", "vae.levels",
                                       "vae.level_width", "vae.sigma",   "vae.likelihood"};
    const char *values[] = {"1", "8", "8", "2", "0", "1", "4", "0.1", "gaussian"};
    ito_tensor *zero = ito_zeros(ITO_SHAPE(1), ITO_F32);
    const char *name = "weight";
    values[i] = change;
    cr_assert_eq(ito_safetensors_save(path, 1, &name, &zero, change != NULL ? 9 : i, keys, values),
                 ITO_OK, "%s", ito_error());
}

Test(vae_network, refuses_files_of_something_else)
{
    char sentence[400];
    snprintf(sentence, sizeof sentence, "%s: it holds no settings of a VAE", path);
    for (int i = 0; i < 9; i++) {
        write_settings(i, NULL);
        expect_refused(ito_vae_load(path), ITO_ERR_FORMAT, sentence);
        static const char *const bad[] = {"", "two", "4 5", "1e300", "nan"};
        for (int k = 0; k < 5; k++) {
            write_settings(i, bad[k]);
            expect_refused(ito_vae_load(path), ITO_ERR_FORMAT, sentence);
        }
    }
    write_settings(6, "9000");
    expect_refused(ito_vae_load(path), ITO_ERR_RANGE,
                   "vae: the width of a level is 9000; it must be 1 to 8192");
    write_settings(6, "8"); /* right, but the file has no weights */
    cr_expect_null(ito_vae_load(path));
    expect_error_with(ITO_ERR_FORMAT, "weight");
    expect_refused(ito_vae_load(NULL), ITO_ERR_ARGUMENT, "vae_load: path is NULL");
}

Test(vae_network, saves_what_it_can_restore)
{
    const char *sentence = "vae_save: a model with networks or a likelihood of your own is saved "
                           "by ito_module_save";
    ito_vae *own = ito_module_create(NULL, "", sizeof *own), *vae = small(false, ITO_F32);
    cr_expect_eq(ito_vae_save(own, path), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    ito_vae_likelihood before = vae->likelihood;
    vae->likelihood.mean = ito_vae_gaussian.mean;
    cr_expect_eq(ito_vae_save(vae, path), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    vae->likelihood = before;
    vae->likelihood.name = "mine";
    cr_expect_eq(ito_vae_save(vae, path), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    vae->likelihood.name = "gaussian"; /* of another function */
    cr_expect_eq(ito_vae_save(vae, path), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, sentence);
    cr_expect_eq(ito_vae_save(NULL, path), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "vae_save: vae is NULL");
    cr_expect_eq(ito_vae_save(vae, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "vae_save: path is NULL");
    ito_module_free(&own->base);
    ito_module_free(&vae->base);
}

/* ---- refusals and options ---- */

Test(vae_network, refuses_other_images_and_codes)
{
    ito_vae *vae = small(true, ITO_F32);
    ito_tensor *m, *l;
    cr_expect_eq(ito_vae_encode(vae, pixels(2, 1, 8, ITO_F32), &m, &l), ITO_ERR_SHAPE);
    expect_error(ITO_ERR_SHAPE, "vae: images of [2, 2, 8, 8] are expected, not [2, 1, 8, 8]");
    expect_refused(ito_vae_decode(vae, ito_zeros(ITO_SHAPE(2, 8, 2, 2), ITO_F32)), ITO_ERR_SHAPE,
                   "vae: codes of [2, 3, 2, 2] are expected, not [2, 8, 2, 2]");
    expect_refused(ito_vae_decode(vae, ito_zeros(ITO_SHAPE(), ITO_F32)), ITO_ERR_SHAPE,
                   "vae: codes of [0, 3, 2, 2] are expected, not []");
    ito_module_free(&vae->base);
}

Test(vae_network, refuses_settings_out_of_bounds)
{
    expect_refused(ito_vae_create(0, 8, 8), ITO_ERR_RANGE,
                   "vae: the number of channels is 0; it must be 1 to 8192");
    expect_refused(ito_vae_create(1, 0, 8), ITO_ERR_RANGE,
                   "vae: height is 0; it must be 1 to 8192");
    expect_refused(ito_vae_create(1, 8, 8200), ITO_ERR_RANGE,
                   "vae: width is 8200; it must be 1 to 8192");
    expect_refused(ito_vae_create(1, 8, 8, .latent = 0), ITO_ERR_RANGE,
                   "vae: latent is 0; it must be 1 to 8192");
    expect_refused(ito_vae_create(1, 8, 8, .levels = 0), ITO_ERR_RANGE,
                   "vae: levels is 0; it must be 1 to 8");
    expect_refused(ito_vae_create(1, 512, 512, .levels = 9), ITO_ERR_RANGE,
                   "vae: levels is 9; it must be 1 to 8");
    expect_refused(ito_vae_create(1, 8, 8, .width = 0), ITO_ERR_RANGE,
                   "vae: the width of a level is 0; it must be 1 to 8192");
    expect_refused(ito_vae_create(1, 28, 28, .levels = 3), ITO_ERR_SHAPE,
                   "vae: images of 28x28 cannot be halved 3 times; their sides must be multiples "
                   "of 8");
    expect_refused(ito_vae_create(1, 8, 8, .dtype = ITO_BF16), ITO_ERR_DTYPE,
                   "conv2d: parameters are f32 or f64, not bf16; bf16 inputs take f32 parameters");
}

Test(vae_network, options_mean_what_they_say)
{
    ito_vae *usual = ito_vae_create(1, 28, 28);
    cr_assert_not_null(usual, "%s", ito_error());
    cr_expect_eq(usual->code.dim[0], 20);
    cr_expect_eq(usual->likelihood.log_prob, ito_vae_bernoulli.log_prob);
    cr_expect_eq(ito_item(ito_max(ito_abs(ito_module_find(&usual->base, "encoder.0.weight")))), 0);
    ito_vae *least = ito_vae_create(1, 256, 256, .latent = 1, .levels = 8, .width = 1);
    cr_assert_not_null(least, "%s", ito_error());
    has_shape(ito_vae_decode(least, ito_zeros(ITO_SHAPE(1, 1), ITO_F32)),
              ITO_SHAPE(1, 1, 256, 256));
    ito_generator g = ito_generator_make(1, 0), before = g;
    ito_vae *drawn = ito_vae_create(1, 4, 4, .levels = 1, .width = 3, .generator = &g);
    cr_expect_neq(memcmp(&g, &before, sizeof g), 0, "the generator does not advance");
    cr_expect_null(drawn->options.generator);
    ito_module_free(&usual->base);
    ito_module_free(&least->base);
    ito_module_free(&drawn->base);
}

/* ---- memory ---- */

static ito_status try_all(void *context)
{
    (void)context;
    ito_generator g = ito_generator_make(1, 0);
    ito_vae *vae = ito_vae_create(1, 4, 4, .latent = 2, .levels = 1, .width = 2, .generator = &g);
    ito_tensor *x = vae != NULL ? ito_full(ITO_SHAPE(2, 1, 4, 4), 0.5, ITO_F32) : NULL;
    ito_tensor *elbo = x != NULL ? ito_vae_elbo(vae, x, &g) : NULL;
    ito_tensor *bound = elbo != NULL ? ito_vae_bound(vae, x, 2, &g) : NULL;
    ito_vae *again = bound != NULL && ito_vae_save(vae, path) == ITO_OK ? ito_vae_load(path) : NULL;
    if (vae != NULL)
        ito_module_free(&vae->base);
    if (again != NULL)
        ito_module_free(&again->base);
    return again != NULL ? ITO_OK : ito_error_code();
}

Test(vae_network, survives_every_failure_of_memory)
{
    /* Two models of at least a struct and a name for each of 23 modules, and 22 parameters. */
    cr_expect_geq(count_failed_allocations(try_all, NULL), 2 * (2 * 23 + 22));
}
