/* The U-Net that is shown its own earlier estimate: it is beside the image, zeros where there is
 * none, and an image's output depends on its own estimate alone. */
#include "autograd/autograd.h"
#include "models/ddpm/settings.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2, IMAGE = 8 * 8 };

static ito_unet_config config(bool self_condition)
{
    ito_unet_config c = tiny_unet_config(1);
    c.self_condition = self_condition;
    return c;
}

static ito_unet *make_unet(bool self_condition)
{
    return random_unet(config(self_condition));
}

static ito_tensor *images(uint64_t stream)
{
    ito_generator g = ito_generator_make(4, stream);
    return ito_randn(&g, ITO_SHAPE(N, 1, 8, 8), ITO_F32);
}

static ito_tensor *steps(void)
{
    return ito_from_data((int64_t[]){10, 500}, ITO_SHAPE(N), ITO_I64);
}

/* Of images of this stream. */
static ito_tensor *evaluate(ito_unet *u, uint64_t stream, ito_tensor *estimate)
{
    ito_tensor *x = images(stream);
    ito_network_input in = {.x = x, .t = steps(), .x_t = x, .x_0 = estimate};
    return ito_network_evaluate(&u->network, &in);
}

Test(unet_self_condition, no_estimate_is_one_of_zeros)
{
    ito_unet *u = make_unet(true);
    ito_tensor *zeros = evaluate(u, 0, ito_zeros_like(images(0)));
    ito_tensor *none = evaluate(u, 0, NULL), *plain = ito_unet_forward(u, images(0), steps());
    for (int i = 0; i < N; i++)
        cr_assert(same_example(zeros, none, i) && same_example(zeros, plain, i));
    ito_module_free(&u->base);
}

Test(unet_self_condition, an_image_sees_its_own_estimate_alone)
{
    ito_unet *u = make_unet(true);
    ito_tensor *a = images(1), *b = ito_clone(a);
    ((float *)ito_data(b))[IMAGE + 5] += 1;
    ito_tensor *x = evaluate(u, 0, a), *y = evaluate(u, 0, b);
    cr_assert(same_example(x, y, 0));
    cr_assert_not(same_example(x, y, 1));
    cr_assert_not(same_example(x, evaluate(u, 0, NULL), 0));
    ito_module_free(&u->base);
}

/* conv_in is linear in both, so the estimate in place of the image goes through the other half. */
Test(unet_self_condition, the_estimate_is_beside_the_image)
{
    ito_unet *u = make_unet(true), *halves = make_unet(true);
    ito_tensor *w[2];
    for (int i = 0; i < 2; i++) {
        ito_named_tensors *p = ito_module_parameters(i == 0 ? &u->base : &halves->base);
        for (int64_t k = 0; k < p->n; k++)
            if (strcmp(p->names[k], "conv_in.weight") == 0)
                w[i] = p->tensors[k];
        ito_named_tensors_free(p);
    }
    cr_assert_eq(ito_size(w[0], 1), 2);
    ito_no_grad_begin();
    ito_copy_(ito_narrow(w[1], 1, 0, 1), ito_narrow(w[0], 1, 1, 1));
    ito_copy_(ito_narrow(w[1], 1, 1, 1), ito_narrow(w[0], 1, 0, 1));
    ito_tensor *x = evaluate(u, 0, images(1));
    ito_tensor *y = evaluate(halves, 1, images(0));
    ito_no_grad_end();
    ito_tensor *off = ito_max(ito_abs(ito_sub(x, y)));
    cr_assert_lt(ito_item(off), 1e-4 * ito_item(ito_max(ito_abs(x)))); /* sums in another order */
    ito_module_free(&u->base);
    ito_module_free(&halves->base);
}

Test(unet_self_condition, estimates_that_do_not_fit_are_refused)
{
    ito_unet *u = make_unet(true), *plain = make_unet(false);
    assert_refused(evaluate(plain, 0, images(1)), ITO_ERR_ARGUMENT,
                   "unet: it takes no earlier estimate of the images");
    assert_refused(evaluate(u, 0, ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32)), ITO_ERR_SHAPE,
                   "unet: the earlier estimate is [1, 1, 8, 8], and the images are [2, 1, 8, 8]");
    ito_module_free(&u->base);
    ito_module_free(&plain->base);
}

Test(unet_self_condition, is_kept_with_the_settings_and_may_be_missing)
{
    ito_ddpm_settings s = {.model = config(true), .diffusion = ITO_OPTIONS(ito_diffusion_options)},
                      back;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert(back.model.self_condition);
    char *word = strstr(text, "\"self_condition\":\ttrue");
    cr_assert_not_null(word, "%s", text);
    memcpy(word + strlen("\"self_condition\":\t"), "1   ", 4);
    assert_refused_status(ito_ddpm_settings_parse(text, "a.json", &back), ITO_ERR_FORMAT,
                          "a.json: \"self_condition\" is missing or not true or false");
    free(text);
    s.model.self_condition = false;
    text = ito_ddpm_settings_format(&s);
    cr_assert_null(strstr(text, "self_condition"));
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert_not(back.model.self_condition);
    free(text);
}
