/* Inception-v3 against pytorch-fid's and torchvision's in float64 at the same weights
 * (tests/reference/make_inception_fixture.py), its files, and what it refuses. */
#include "ito.h"
#include "tests/nn/nn_check.h"
#include "tests/reference/formula.h"

#include <math.h>

/* ---- weights of the formula ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* make_inception_fixture.py's numbers of the parameter or buffer that is the p-th by name. */
static void fill(ito_tensor *t, const char *name, int64_t p)
{
    ito_tensor *v = ito_empty(ito_shape_of(t), ITO_F32);
    float *values = ito_data(v);
    ito_shape s = ito_shape_of(t);
    int64_t fan_in = ito_numel(t) / s.dim[0];
    bool image = s.ndim == 4, bias = strstr(name, ".bias") != NULL;
    float mean = bias || strstr(name, ".running_mean") != NULL ? 0.0f : 1.0f;
    float weight = (float)sqrt(3.0 / (double)fan_in), root = image ? (float)sqrt(2.0) : 1.0f;
    for (int64_t i = 0; i < ito_numel(t); i++) {
        float u = formula_uniform(formula_stream_parameter(p), (uint32_t)i);
        values[i] = s.ndim > 1 ? root * (weight * u) : mean + 0.125f * u;
    }
    cr_assert_not_null(ito_copy_(t, v), "%s", ito_error());
}

static ito_inception *create(bool fid)
{
    ito_inception *net = ito_inception_create(.fid = fid, .classes = fid ? 1008 : 1000);
    cr_assert_not_null(net, "%s", ito_error());
    ito_named_tensors *state = ito_module_state(&net->base);
    const char *names[600];
    int64_t n = 0;
    for (int64_t i = 0; i < state->n; i++)
        if (ito_ndim(state->tensors[i]) > 0) /* not num_batches_tracked */
            names[n++] = state->names[i];
    cr_assert_eq(n, 94 * 5 + 2);
    qsort(names, (size_t)n, sizeof *names, by_name);
    ITO_NO_GRAD
    for (int64_t p = 0; p < n; p++)
        ITO_SCOPE
    fill(ito_module_find(&net->base, names[p]), names[p], p);
    ito_named_tensors_free(state);
    return net;
}

static ito_tensor *uniform(uint32_t stream, ito_shape shape)
{
    ito_tensor *x = ito_empty(shape, ITO_F32);
    for (int64_t i = 0; i < ito_numel(x); i++)
        ((float *)ito_data(x))[i] = formula_uniform(stream, (uint32_t)i);
    return x;
}

static ito_tensor *formula_images(void)
{
    return uniform(31000, ITO_SHAPE(2, 3, 48, 36));
}

static ito_tensor *grey_image(int64_t n)
{
    ito_tensor *x = ito_empty(ITO_SHAPE(n, 1, 28, 28), ITO_U8);
    for (uint32_t i = 0; i < n * 28 * 28; i++)
        ((uint8_t *)ito_data(x))[i] = (uint8_t)(formula_hash(31001, i) % 256);
    return x;
}

/* ---- the network ---- */

/* f32 against float64 through up to 40 convolutions of numbers near 1. Other pools are off by 2. */
#define CLOSE 2e-5

static void near(ito_tensor *t, const char *name, double bound)
{
    char path[4096];
    const char *source = getenv("ITO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/reference/inception.safetensors",
             source != NULL ? source : ".");
    ito_safetensors *file = ito_safetensors_open(path);
    ito_tensor *want = file != NULL ? ito_safetensors_read(file, name) : NULL;
    cr_assert(t != NULL && want != NULL, "%s", ito_error());
    cr_assert_eq(ito_numel(t), ito_numel(want));
    double apart = ito_item(ito_max(ito_abs(ito_sub(t, want))));
    cr_expect_leq(apart, bound, "%s: %g", name, apart);
    ito_safetensors_close(file);
}

Test(inception, is_that_of_pytorch_fid)
{
    ito_inception *net = create(true);
    ITO_NO_GRAD
    {
        ito_tensor *features = ito_inception_features(net, formula_images());
        near(features, "fid/features", CLOSE);
        near(ito_narrow(ito_inception_logits(net, features), 1, 0, 16), "fid/logits", CLOSE);
        near(ito_inception_features(net, grey_image(1)), "fid/features_of_grey", CLOSE);
    }
    ito_module_free(&net->base);
}

Test(inception, has_the_pools_of_torchvision_on_demand)
{
    ito_inception *net = create(false);
    ITO_NO_GRAD
    near(ito_inception_features(net, ito_narrow(formula_images(), 0, 0, 1)), "torchvision/features",
         CLOSE);
    ito_module_free(&net->base);
}

static bool same(ito_tensor *a, ito_tensor *b)
{
    a = ito_contiguous(a);
    b = ito_contiguous(b);
    return ito_numel(a) == ito_numel(b) &&
           memcmp(ito_const_data(a), ito_const_data(b), (size_t)ito_numel(a) * sizeof(float)) == 0;
}

Test(inception, features_depend_on_their_image_alone)
{
    ito_inception *net = create(true);
    ito_tensor *images = grey_image(9), *all = ito_inception_run(net, images); /* two batches */
    cr_assert_not_null(all, "%s", ito_error());
    cr_expect_eq(ito_size(all, 1), ITO_INCEPTION_WIDTH);
    static const int64_t some[] = {0, 5, 8};
    for (int i = 0; i < 3; i++)
        cr_expect(same(ito_narrow(all, 0, some[i], 1),
                       ito_inception_run(net, ito_narrow(images, 0, some[i], 1))));
    cr_expect_not(same(ito_narrow(all, 0, 0, 1), ito_narrow(all, 0, 1, 1)));
    ito_tensor *none = ito_inception_run(net, ito_narrow(images, 0, 0, 0));
    cr_expect(none != NULL && ito_size(none, 0) == 0 && ito_size(none, 1) == ITO_INCEPTION_WIDTH);
    ito_module_free(&net->base);
}

Test(inception, floats_count_as_the_bytes_of_their_file)
{
    ito_inception *net = create(true);
    ito_tensor *bytes = grey_image(1), *x = ito_cast(bytes, ITO_F32);
    x = ito_add_scalar(ito_mul_scalar(ito_add_scalar(x, 0.25), 1.0 / 127.5), -1.0);
    ((float *)ito_data(x))[0] = -3;
    ((uint8_t *)ito_data(bytes))[0] = 0;
    ito_tensor *f = ito_inception_run(net, x), *b = ito_inception_run(net, bytes);
    cr_assert(f != NULL && b != NULL, "%s", ito_error());
    cr_expect_leq(ito_item(ito_max(ito_abs(ito_sub(f, b)))), CLOSE);
    ITO_NO_GRAD /* as they are, they count for themselves */
        cr_expect_gt(ito_item(ito_max(ito_abs(ito_sub(ito_inception_features(net, x), b)))), 1e-3);
    ito_module_free(&net->base);
}

Test(inception, does_not_depend_on_the_number_of_threads)
{
    ito_inception *net = create(true);
    ito_tensor *first = NULL, *images = grey_image(2);
    for (int threads = 1; threads <= 3; threads++) {
        cr_assert_eq(ito_set_threads(threads), ITO_OK);
        ito_tensor *features = ito_inception_run(net, images);
        cr_assert_not_null(features, "%s", ito_error());
        first = threads == 1 ? features : first;
        cr_expect(same(first, features));
    }
    ito_module_free(&net->base);
}

Test(inception, is_differentiable_in_the_image)
{
    ito_inception *net = create(true);
    cr_assert_eq(ito_module_freeze(&net->base, true), ITO_OK);
    ito_tensor *x = ito_clone(ito_narrow(formula_images(), 0, 0, 1));
    ito_requires_grad(x, true);
    ito_tensor *weighted =
        ito_mul(uniform(31002, ITO_SHAPE(1, 2048)), ito_inception_features(net, x));
    cr_assert_eq(ito_backward(ito_sum(weighted)), ITO_OK, "%s", ito_error());
    ito_tensor *slopes = ito_mul(ito_grad_of(x), uniform(31003, ito_shape_of(x)));
    near(ito_reshape(ito_sum(slopes), 1), "fid/slope", 1e-4);
    ito_module_free(&net->base);
}

/* ---- files ---- */

/* The state dict of a network, with tensors of one element each in place of its own, if `tiny`;
 * without num_batches_tracked. */
typedef struct dict {
    ito_named_tensors *state;
    const char *names[700];
    ito_tensor *tensors[700];
    int64_t n;
} dict;

static void take(dict *d, ito_inception *net, bool tiny)
{
    ito_tensor *one = ito_zeros(ITO_SHAPE(1), ITO_F32);
    *d = (dict){.state = ito_module_state(&net->base)};
    for (int64_t i = 0; i < d->state->n; i++)
        if (strstr(d->state->names[i], "num_batches_tracked") == NULL) {
            d->names[d->n] = d->state->names[i];
            d->tensors[d->n++] = tiny ? one : d->state->tensors[i];
        }
}

static void put(const dict *d, const char *path)
{
    cr_assert_eq(ito_safetensors_save(path, d->n, d->names, d->tensors, 0, NULL, NULL), ITO_OK,
                 "%s", ito_error());
}

Test(inception, a_file_restores_it)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "net.safetensors");
    ito_inception *net = ito_inception_create();
    double n = 1;
    ITO_NO_GRAD
    {
        ito_fill_(net->fc->bias, 5);
        ito_fill_(ito_module_find(&net->base, "Mixed_7c.branch_pool.bn.running_var"), 3);
        ito_fill_(ito_module_find(&net->base, "Conv2d_1a_3x3.conv.weight"), n);
    }
    /* As old PyTorch and torchvision write it: no counters, an auxiliary classifier. */
    dict d;
    take(&d, net, false);
    d.names[d.n] = "AuxLogits.fc.bias";
    d.tensors[d.n++] = ito_zeros(ITO_SHAPE(1008), ITO_F32);
    put(&d, path);
    ito_inception *restored = ito_inception_load(path);
    cr_assert_not_null(restored, "%s", ito_error());
    uint32_t want, sum;
    cr_assert_eq(ito_module_checksum(&net->base, &want), ITO_OK);
    cr_assert_eq(ito_module_checksum(&restored->base, &sum), ITO_OK);
    cr_expect_eq(sum, want);
    cr_expect(restored->fid);
    ito_named_tensors_free(d.state);
    ito_module_free(&restored->base);
    ito_module_free(&net->base);
    remove_tree(dir);
}

static void refused(const char *path, ito_status code, const char *sentence)
{
    char whole[600];
    snprintf(whole, sizeof whole, "%s: %s", path, sentence);
    expect_refused(ito_inception_load(path), code, whole);
}

Test(inception, refuses_files_of_another_layout)
{
    const char *dir = temporary_directory(), *path = in_directory(dir, "net.safetensors");
    ito_inception *net = ito_inception_create();
    dict d;
    take(&d, net, true);
    put(&d, path);
    refused(path, ITO_ERR_SHAPE,
            "Conv2d_1a_3x3.conv.weight is [1] in the file and [32, 3, 3, 3] in the model");
    d.names[d.n] = "blocks.0.weight";
    d.tensors[d.n++] = d.tensors[0];
    put(&d, path);
    refused(path, ITO_ERR_FORMAT,
            "has blocks.0.weight, which Inception-v3 does not have in the layout of pytorch-fid");
    d.names[1] = "Conv2d_1a_3x3.bn.gamma";
    put(&d, path);
    refused(path, ITO_ERR_FORMAT,
            "lacks Conv2d_1a_3x3.bn.weight, which Inception-v3 has in the layout of pytorch-fid");
    ito_named_tensors_free(d.state);
    ito_module_free(&net->base);
    remove_tree(dir);
}

Test(inception, refuses_torchvisions_classes)
{
    /* A network of that many classes has other weights: its features would not give FIDs. */
    const char *dir = temporary_directory(), *path = in_directory(dir, "net.safetensors");
    ito_inception *net = ito_inception_create(.fid = false, .classes = 1000);
    dict d;
    take(&d, net, false);
    put(&d, path);
    refused(path, ITO_ERR_SHAPE,
            "fc.weight is [1000, 2048] in the file and [1008, 2048] in the model");
    ito_inception *other = ito_inception_load(path, .fid = false, .classes = 1000);
    cr_expect_not_null(other, "%s", ito_error());
    ito_module_free(&other->base);
    ito_named_tensors_free(d.state);
    ito_module_free(&net->base);
    remove_tree(dir);
}

/* ---- refusals ---- */

Test(inception, refuses_what_are_no_images)
{
    ito_inception *net = ito_inception_create();
    cr_assert_not_null(net, "%s", ito_error());
    expect_refused(ito_inception_features(net, ito_zeros(ITO_SHAPE(1, 2, 8, 8), ITO_F32)),
                   ITO_ERR_SHAPE, "inception: images are [N, 1 or 3, H, W], not [1, 2, 8, 8]");
    expect_refused(ito_inception_run(net, ito_zeros(ITO_SHAPE(3, 8, 8), ITO_F32)), ITO_ERR_SHAPE,
                   "inception: images are [N, 1 or 3, H, W], not [3, 8, 8]");
    expect_refused(ito_inception_run(net, ito_zeros(ITO_SHAPE(1, 3, 0, 8), ITO_F32)), ITO_ERR_SHAPE,
                   "inception: images are [N, 1 or 3, H, W], not [1, 3, 0, 8]");
    expect_refused(ito_inception_run(net, ito_zeros(ITO_SHAPE(1, 3, 8, 8), ITO_F64)), ITO_ERR_DTYPE,
                   "inception: images are u8 or f32, not f64");
    expect_refused(ito_inception_run(net, NULL), ITO_ERR_ARGUMENT, "inception: images is NULL");
    expect_refused(ito_inception_run(NULL, grey_image(1)), ITO_ERR_ARGUMENT,
                   "inception: net is NULL");
    expect_refused(ito_inception_create(.classes = 0), ITO_ERR_ARGUMENT,
                   "inception: 0 classes; there must be some");
    ito_module_free(&net->base);
}

/* ---- memory ---- */

/* Every 29th request of an attempt fails: a network is made of a thousand, and each attempt makes
 * all before. */
static int64_t count_some_failures(ito_status (*attempt)(void *context), void *context)
{
    int64_t blocks = ito_memory_blocks(), failures = 0;
    for (int64_t nth = 1;; nth += 29, failures++) {
        ito_scope_begin();
        ito_memory_fail_nth(nth);
        ito_status status = attempt(context);
        ito_memory_fail_nth(0);
        ito_scope_end();
        cr_assert_eq(ito_error_code(), status, "request %" PRId64 ": %s", nth, ito_error_message());
        ito_error_clear();
        if (status == ITO_OK)
            return failures;
        cr_assert_eq(status, ITO_ERR_MEMORY, "request %" PRId64, nth);
        cr_expect_eq(ito_memory_blocks(), blocks, "request %" PRId64 " leaks", nth);
    }
}

static ito_status try_create(void *context)
{
    (void)context;
    ito_inception *net = ito_inception_create();
    ito_status status = net != NULL ? ITO_OK : ito_error_code();
    if (net != NULL)
        ito_module_free(&net->base);
    return status;
}

typedef struct run_attempt {
    ito_inception *net;
    ito_tensor *image;
} run_attempt;

static ito_status try_run(void *context)
{
    run_attempt *r = context;
    return ito_inception_run(r->net, r->image) != NULL ? ITO_OK : ito_error_code();
}

Test(inception, survives_failures_of_memory)
{
    cr_expect_geq(count_some_failures(try_create, NULL), 20);
    run_attempt r = {ito_inception_create(), grey_image(1)};
    cr_expect_geq(count_some_failures(try_run, &r), 20);
    ito_module_free(&r.net->base);
}
