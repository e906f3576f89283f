/* Every sampler on the network that comes with ito-ddpm, whose cosine schedule ends with a noise of
 * 2e4 times the signal. */
#include "examples/ddpm/inference.h"

#include <criterion/criterion.h>
#include <ito/ito.h>
#include <math.h>
#include <stdlib.h>

enum { N = 100, EVALUATIONS = 10 };

/* The Frechet distance of N samples, by the classifier's features, from the training set. */
static double distance(inference *net, ito_sample_options o, ito_classifier *c,
                       ito_safetensors *real)
{
    ito_scope_begin();
    ito_tensor *features = NULL, *mean, *covariance;
    ito_tensor *x = ito_diffusion_sample_with(net->diffusion, inference_network(net, 0, N),
                                              ITO_SHAPE(N, 1, 28, 28), o);
    cr_assert_eq(ito_classifier_run(c, x, &features, NULL), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_feature_moments(features, &mean, &covariance), ITO_OK);
    double d = ito_frechet_moments(ito_cast(ito_safetensors_read(real, "mean"), ITO_F64),
                                   ito_cast(ito_safetensors_read(real, "covariance"), ITO_F64),
                                   mean, covariance);
    ito_scope_end();
    return d;
}

/* A step of heun is two evaluations; plms has one more in its first two steps. pndm takes four in
 * each of three steps, so it is given more than ddim. */
static int64_t steps_of(const ito_sampler *s)
{
    return s == &ito_sampler_heun || s == &ito_sampler_pndm ? EVALUATIONS / 2
           : s == &ito_sampler_plms                         ? EVALUATIONS - 1
                                                            : EVALUATIONS;
}

/* At its default settings, each sampler is as good as ddim with as many evaluations: 5 % is above
 * the differences of 100 images (the largest is 3.2 %), and samplers that lost their way were at
 * several times ddim's distance. Ancestral sampling adds noise in each step, and takes more of
 * them. */
Test(samplers, none_is_worse_than_ddim_on_the_network_that_is_shipped, .timeout = 600)
{
    char path[4096];
    int64_t n;
    const ito_choice *const *all = ito_choices("sampler", &n);
    snprintf(path, sizeof path, "%s/tests/reference/fashion_mnist_moments.safetensors",
             getenv("ITO_SOURCE"));
    ito_safetensors *real = ito_safetensors_open(path);
    ito_classifier *c = ito_classifier_fashion_mnist();
    inference net = {.model = NULL};
    cr_assert(real != NULL && c != NULL, "%s", ito_error());
    cr_assert(inference_open(&net, (inference_options){.command = "test",
                                                       .model = BUILT_IN,
                                                       .weights = "ema",
                                                       .precision = "f32",
                                                       .class = "all"}));
    ito_sample_options o =
        ITO_OPTIONS(ito_sample_options, .sampler = &ito_sampler_ddim, .steps = EVALUATIONS);
    double most = 1.05 * distance(&net, o, c, real);
    for (int64_t i = 0; i < n; i++) {
        o.sampler = ito_sampler_find(all[i]->name);
        o.steps = steps_of(o.sampler);
        if (o.sampler == &ito_sampler_ddim || o.sampler == &ito_sampler_euler ||
            o.sampler == &ito_sampler_dpmpp_1s) /* one update */
            continue;
        double d = distance(&net, o, c, real);
        cr_expect(d < most, "%s: %g; ddim and 5 %%: %g", all[i]->name, d, most);
    }
    inference_close(&net);
    ito_module_free(&c->base);
    ito_safetensors_close(real);
}
