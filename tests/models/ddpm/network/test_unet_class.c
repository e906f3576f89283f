/* The U-Net that is told classes: an image's output depends on its own label alone, no label is the
 * last row, and only rows that were given get a gradient. */
#include "autograd/autograd.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/settings.h"
#include "tests/models/ddpm/network/network_check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 3, N = 2, IMAGE = 8 * 8, WIDTH = 4 * 8 };

static ito_unet *make_unet(int64_t classes)
{
    ito_unet_config c = tiny_unet_config(1);
    c.classes = classes;
    return random_unet(c);
}

static ito_tensor *images(void)
{
    ito_generator g = ito_generator_make(4, 0);
    return ito_randn(&g, ITO_SHAPE(N, 1, 8, 8), ITO_F32);
}

static ito_tensor *pair(int64_t a, int64_t b)
{
    return labels_of(N, (const int64_t[]){a, b});
}

static ito_tensor *forward(ito_unet *u, ito_tensor *labels)
{
    ito_tensor *y = ito_unet_forward_class(u, images(), pair(10, 500), labels);
    cr_assert_not_null(y, "%s", ito_error());
    return y;
}

Test(unet_class, an_image_sees_its_own_label_alone)
{
    ito_unet *u = make_unet(CLASSES);
    ito_tensor *a = forward(u, pair(0, 1)), *b = forward(u, pair(0, 2));
    cr_assert(same_example(a, b, 0));
    cr_assert_not(same_example(a, b, 1));
    ito_module_free(&u->base);
}

Test(unet_class, no_label_is_the_last_row)
{
    ito_unet *u = make_unet(CLASSES);
    ito_tensor *none = forward(u, pair(CLASSES, CLASSES)), *null = forward(u, NULL);
    ito_tensor *plain = ito_unet_forward(u, images(), pair(10, 500));
    for (int i = 0; i < N; i++) {
        cr_assert(same_example(none, null, i));
        cr_assert(same_example(none, plain, i));
    }
    ito_module_free(&u->base);
}

Test(unet_class, rows_that_were_given_get_a_gradient_and_others_none)
{
    ito_unet *u = make_unet(CLASSES);
    ito_tensor *weight = NULL;
    ito_named_tensors *p = ito_module_parameters(&u->base);
    for (int64_t i = 0; i < p->n; i++)
        if (strcmp(p->names[i], "class_embedding.weight") == 0)
            weight = p->tensors[i];
    cr_assert_not_null(weight);
    cr_assert_eq(ito_size(weight, 0), CLASSES + 1);
    cr_assert_eq(ito_size(weight, 1), WIDTH);
    cr_assert_eq(ito_backward(ito_sum(ito_square(forward(u, pair(2, CLASSES))))), ITO_OK);
    const float *g = ito_const_data(ito_grad_of(weight));
    for (int row = 0; row <= CLASSES; row++) {
        int moved = 0;
        for (int i = 0; i < WIDTH; i++)
            moved += g[row * WIDTH + i] != 0.0f;
        cr_assert_eq(moved, row == 2 || row == CLASSES ? WIDTH : 0, "row %d: %d", row, moved);
    }
    ito_named_tensors_free(p);
    ito_module_free(&u->base);
}

Test(unet_class, guidance_goes_from_none_through_the_label_and_beyond)
{
    ito_unet *u = make_unet(CLASSES);
    ito_diffusion *d = ito_diffusion_create();
    ito_guidance *guided = ito_guidance_create(d, &u->network, 2.5);
    ito_class_condition *c = ito_class_condition_create(&guided->base, CLASSES);
    c->labels = pair(1, 2);
    ito_tensor *x = images(), *t = pair(10, 500);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .time = ito_cast(t, ITO_F64)};
    ito_tensor *y = ito_network_evaluate(&c->base, &in);
    cr_assert_not_null(y, "%s", ito_error());
    const float *got = ito_const_data(ito_contiguous(y));
    const float *none = ito_const_data(ito_contiguous(forward(u, NULL)));
    const float *with = ito_const_data(ito_contiguous(forward(u, pair(1, 2))));
    for (int i = 0; i < N * IMAGE; i++) { /* rounding of a sum of numbers of about this size */
        double want = (double)none[i] + 2.5 * ((double)with[i] - (double)none[i]);
        cr_assert_float_eq(got[i], want, 1e-5 * (1 + 5 * fabs((double)with[i] - (double)none[i])));
    }
    ito_network_free(&c->base);
    ito_network_free(&guided->base);
    ito_diffusion_free(d);
    ito_module_free(&u->base);
}

static void assert_labels_refused(ito_unet *u, ito_tensor *labels, ito_status code,
                                  const char *message)
{
    ito_tensor *x = images(), *t = pair(10, 500);
    ito_network_input in = {.x = x, .t = t, .x_t = x, .labels = labels};
    assert_refused(ito_unet_forward_class(u, x, t, labels), code, message);
    assert_refused(ito_network_evaluate(&u->network, &in), code, message);
}

Test(unet_class, labels_are_refused_without_classes)
{
    ito_unet *plain = make_unet(0);
    assert_labels_refused(plain, pair(0, 0), ITO_ERR_ARGUMENT,
                          "unet: the network has no classes and takes no labels");
    ito_module_free(&plain->base);
}

Test(unet_class, labels_that_do_not_fit_are_refused)
{
    ito_unet *u = make_unet(CLASSES);
    assert_labels_refused(u, ito_zeros(ITO_SHAPE(3), ITO_I64), ITO_ERR_SHAPE,
                          "unet: labels i64 [3] for 2 images; it takes [N] i64");
    assert_labels_refused(u, ito_zeros(ITO_SHAPE(N), ITO_F32), ITO_ERR_SHAPE,
                          "unet: labels f32 [2] for 2 images; it takes [N] i64");
    assert_labels_refused(u, pair(0, CLASSES + 1), ITO_ERR_RANGE,
                          "embedding: index 4 at [1] is outside 0..3");
    ito_module_free(&u->base);
}

Test(unet_class, the_number_of_classes_is_kept_with_the_settings_and_may_be_missing)
{
    ito_ddpm_settings s = {.model = tiny_unet_config(1),
                           .diffusion = ITO_OPTIONS(ito_diffusion_options)},
                      read;
    s.model.classes = 10;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &read), ITO_OK, "%s", ito_error());
    cr_assert_eq(read.model.classes, 10);
    char *member = strstr(text, "\"classes\"");
    cr_assert_not_null(member);
    memcpy(member, "\"nothing\"", strlen("\"nothing\""));
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &read), ITO_OK, "%s", ito_error());
    cr_assert_eq(read.model.classes, 0);
    free(text);
}

Test(unet_class, a_negative_number_of_classes_is_refused)
{
    ito_unet_config c = tiny_unet_config(1);
    c.classes = -1;
    cr_assert_eq(ito_unet_check(&c), ITO_ERR_RANGE);
    cr_assert_not_null(strstr(ito_error_message(), "the number of classes is -1"));
}
