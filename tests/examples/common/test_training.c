/* The training loop of small programs: it learns, by the seed alone, and ends with averages. */
#include "examples/common/training.h"

#include "autograd/ops.h"
#include "nn/layers.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct line {
    ito_linear_layer *layer;
    int64_t losses; /* so many were asked for */
    int64_t fail_at;
} line;

/* y = 3 x - 1 with a little noise. */
static ito_tensor *loss_of(ito_tensor *x, ito_generator *g, void *context)
{
    line *l = context;
    if (++l->losses == l->fail_at) {
        ito_error_set(ITO_ERR_ARGUMENT, "enough");
        return NULL;
    }
    ito_tensor *noise = ito_mul_scalar(ito_randn(g, ito_shape_of(x), ITO_F32), 0.01);
    ito_tensor *y = ito_add(ito_add_scalar(ito_mul_scalar(x, 3), -1), noise);
    return ito_mse_loss(ito_linear_forward(l->layer, x), y);
}

/* The weight and bias that training ends with. */
static bool fit(line *l, double ema_decay, uint64_t seed, float out[2])
{
    ito_generator g = ito_generator_make(1, 1);
    l->layer = ito_linear_create(NULL, "", 1, 1);
    ito_tensor *x = ito_rand(&g, ITO_SHAPE(100, 1), ITO_F32);
    bool good = false;
    ITO_NO_GRAD /* the loop records all the same */
    {
        good = training_run(&(training){.what = "step",
                                        .model = &l->layer->base,
                                        .x = x,
                                        .epochs = 100,
                                        .batch = 32,
                                        .lr = 0.1,
                                        .max_norm = 100,
                                        .ema_decay = ema_decay,
                                        .seed = seed,
                                        .loss = loss_of,
                                        .context = l});
    }
    out[0] = *(const float *)ito_const_data(l->layer->weight);
    out[1] = *(const float *)ito_const_data(l->layer->bias);
    ito_module_free(&l->layer->base);
    return good;
}

Test(training, learns_by_the_seed_alone)
{
    line l = {NULL, 0, 0};
    float a[2], b[2], other[2], averaged[2];
    cr_assert(fit(&l, 0, 1, a), "%s", ito_error());
    cr_expect_eq(l.losses, 400, "100 rows are 4 batches of 32, the last one from the next epoch");
    cr_expect_float_eq(a[0], 3, 0.02);
    cr_expect_float_eq(a[1], -1, 0.02);
    cr_assert(fit(&l, 0, 1, b) && fit(&l, 0, 2, other) && fit(&l, 0.9, 1, averaged));
    cr_expect_eq(memcmp(a, b, sizeof a), 0);
    cr_expect_neq(memcmp(a, other, sizeof a), 0);
    cr_expect_neq(memcmp(a, averaged, sizeof a), 0, "the weights, not their averages");
    cr_expect_float_eq(averaged[0], 3, 0.02);
}

Test(training, passes_on_what_went_wrong)
{
    line l = {NULL, 0, 7};
    float out[2];
    cr_expect_not(fit(&l, 0.9, 1, out));
    cr_expect_eq(l.losses, 7);
    cr_expect_str_eq(ito_error_message(), "enough");
}
