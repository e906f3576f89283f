/* The U-Net that is shown its own earlier guess: it is beside the image, zeros where there is none,
 * and an image's output depends on its own guess alone. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/settings.h"
#include "nn/init.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2, IMAGE = 8 * 8 };

static const ito_unet_config config = {.in_channels = 1,
                                       .height = 8,
                                       .width = 8,
                                       .channels = 8,
                                       .levels = 2,
                                       .multipliers = {1, 2},
                                       .blocks = 1,
                                       .self_condition = true};

/* All parameters random, so that nothing that should matter is multiplied by zero. */
static ito_unet *make_unet(bool self_condition)
{
    ito_unet_config c = config;
    c.self_condition = self_condition;
    ito_unet *u = ito_unet_create(&c, NULL);
    cr_assert_not_null(u, "%s", ito_error());
    ito_generator g = ito_generator_make(3, 0);
    ito_named_tensors *p = ito_module_parameters(&u->base);
    for (int64_t i = 0; i < p->n; i++)
        cr_assert_not_null(ito_init_normal(p->tensors[i], 0, 0.2, &g));
    ito_named_tensors_free(p);
    return u;
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

static ito_tensor *ask(ito_unet *u, ito_tensor *guess)
{
    ito_ddpm_condition given = {.x_0 = guess};
    return ito_unet_conditional(images(0), steps(), &given, u);
}

static bool same_image(ito_tensor *a, ito_tensor *b, int64_t i)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    const float *x = ito_const_data(ito_contiguous(a)), *y = ito_const_data(ito_contiguous(b));
    return memcmp(x + i * IMAGE, y + i * IMAGE, IMAGE * sizeof *x) == 0;
}

Test(unet_guess, no_guess_is_one_of_zeros)
{
    ito_unet *u = make_unet(true);
    ito_tensor *zeros = ask(u, ito_zeros_like(images(0)));
    ito_tensor *none = ask(u, NULL), *plain = ito_unet_forward(u, images(0), steps());
    for (int i = 0; i < N; i++)
        cr_assert(same_image(zeros, none, i) && same_image(zeros, plain, i));
    ito_module_free(&u->base);
}

Test(unet_guess, an_image_sees_its_own_guess_alone)
{
    ito_unet *u = make_unet(true);
    ito_tensor *a = images(1), *b = ito_clone(a);
    ((float *)ito_data(b))[IMAGE + 5] += 1;
    ito_tensor *x = ask(u, a), *y = ask(u, b);
    cr_assert(same_image(x, y, 0));
    cr_assert_not(same_image(x, y, 1));
    cr_assert_not(same_image(x, ask(u, NULL), 0));
    ito_module_free(&u->base);
}

/* conv_in is linear in both, so the guess in place of the image goes through the other half. */
Test(unet_guess, the_guess_is_beside_the_image)
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
    ito_ddpm_condition image = {.x_0 = images(0)}, guess = {.x_0 = images(1)};
    ito_tensor *x = ito_unet_conditional(images(0), steps(), &guess, u);
    ito_tensor *y = ito_unet_conditional(images(1), steps(), &image, halves);
    ito_no_grad_end();
    ito_tensor *off = ito_max(ito_abs(ito_sub(x, y)));
    cr_assert_lt(ito_item(off), 1e-4 * ito_item(ito_max(ito_abs(x)))); /* sums in another order */
    ito_module_free(&u->base);
    ito_module_free(&halves->base);
}

Test(unet_guess, guesses_that_do_not_fit_are_refused)
{
    ito_unet *u = make_unet(true), *plain = make_unet(false);
    cr_assert_null(ask(plain, images(1)));
    cr_assert_str_eq(ito_error_message(), "unet: it takes no earlier guess of the images");
    ito_error_clear();
    cr_assert_null(ask(u, ito_zeros(ITO_SHAPE(1, 1, 8, 8), ITO_F32)));
    cr_assert_str_eq(ito_error_message(),
                     "unet: the earlier guess is [1, 1, 8, 8], and the images are [2, 1, 8, 8]");
    ito_error_clear();
    ito_module_free(&u->base);
    ito_module_free(&plain->base);
}

Test(unet_guess, is_kept_with_the_settings_and_may_be_missing)
{
    ito_ddpm_settings s = {.model = config}, back;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert(back.model.self_condition);
    char *word = strstr(text, "\"self_condition\":\ttrue");
    cr_assert_not_null(word, "%s", text);
    memcpy(word + strlen("\"self_condition\":\t"), "1   ", 4);
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_ERR_FORMAT);
    cr_assert_str_eq(ito_error_message(),
                     "a.json: \"self_condition\" is missing or not true or false");
    ito_error_clear();
    free(text);
    s.model.self_condition = false;
    text = ito_ddpm_settings_format(&s);
    cr_assert_null(strstr(text, "self_condition"));
    cr_assert_eq(ito_ddpm_settings_parse(text, "a.json", &back), ITO_OK, "%s", ito_error());
    cr_assert_not(back.model.self_condition);
    free(text);
}
