/* The U-Net that is told classes: an image's output depends on its own label alone, no label is the
 * last row, and only rows that were asked for get a gradient. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "models/ddpm/settings.h"
#include "nn/init.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 3, N = 2, IMAGE = 8 * 8, WIDTH = 4 * 8 };

/* All parameters random, so that nothing that should matter is multiplied by zero. */
static ito_unet *make_unet(int64_t classes)
{
    ito_unet_config c = {.in_channels = 1,
                         .height = 8,
                         .width = 8,
                         .channels = 8,
                         .levels = 2,
                         .multipliers = {1, 2},
                         .blocks = 1,
                         .classes = classes};
    ito_unet *u = ito_unet_create(&c, NULL);
    cr_assert_not_null(u, "%s", ito_error());
    ito_generator g = ito_generator_make(3, 0);
    ito_named_tensors *p = ito_module_parameters(&u->base);
    for (int64_t i = 0; i < p->n; i++)
        cr_assert_not_null(ito_init_normal(p->tensors[i], 0, 0.2, &g));
    ito_named_tensors_free(p);
    return u;
}

static ito_tensor *images(void)
{
    ito_generator g = ito_generator_make(4, 0);
    return ito_randn(&g, ITO_SHAPE(N, 1, 8, 8), ITO_F32);
}

static ito_tensor *labels_of(int64_t a, int64_t b)
{
    return ito_from_data((int64_t[]){a, b}, ITO_SHAPE(N), ITO_I64);
}

static ito_tensor *ask(ito_unet *u, ito_tensor *labels)
{
    ito_tensor *y = ito_unet_forward_class(u, images(), labels_of(10, 500), labels);
    cr_assert_not_null(y, "%s", ito_error());
    return y;
}

static bool same_image(ito_tensor *a, ito_tensor *b, int64_t i)
{
    const float *x = ito_const_data(ito_contiguous(a)), *y = ito_const_data(ito_contiguous(b));
    return memcmp(x + i * IMAGE, y + i * IMAGE, IMAGE * sizeof *x) == 0;
}

Test(unet_class, an_image_sees_its_own_label_alone)
{
    ito_unet *u = make_unet(CLASSES);
    ito_tensor *a = ask(u, labels_of(0, 1)), *b = ask(u, labels_of(0, 2));
    cr_assert(same_image(a, b, 0));
    cr_assert_not(same_image(a, b, 1));
    ito_module_free(&u->base);
}

Test(unet_class, no_label_is_the_last_row)
{
    ito_unet *u = make_unet(CLASSES);
    ito_tensor *none = ask(u, labels_of(CLASSES, CLASSES)), *null = ask(u, NULL);
    ito_tensor *plain = ito_unet_forward(u, images(), labels_of(10, 500));
    for (int i = 0; i < N; i++) {
        cr_assert(same_image(none, null, i));
        cr_assert(same_image(none, plain, i));
    }
    ito_module_free(&u->base);
}

Test(unet_class, rows_that_were_asked_for_get_a_gradient_and_others_none)
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
    cr_assert_eq(ito_backward(ito_sum(ito_square(ask(u, labels_of(2, CLASSES))))), ITO_OK);
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
    ito_ddpm_conditioned c = {.diffusion = d,
                              .network = ito_unet_conditional,
                              .context = u,
                              .classes = CLASSES,
                              .labels = labels_of(1, 2),
                              .guidance = 2.5};
    ito_tensor *y = ito_ddpm_conditioned_network(images(), labels_of(10, 500), &c);
    cr_assert_not_null(y, "%s", ito_error());
    const float *got = ito_const_data(ito_contiguous(y));
    const float *none = ito_const_data(ito_contiguous(ask(u, NULL)));
    const float *with = ito_const_data(ito_contiguous(ask(u, labels_of(1, 2))));
    for (int i = 0; i < N * IMAGE; i++) { /* rounding of a sum of numbers of about this size */
        double want = (double)none[i] + 2.5 * ((double)with[i] - (double)none[i]);
        cr_assert_float_eq(got[i], want, 1e-5 * (1 + 5 * fabs((double)with[i] - (double)none[i])));
    }
    ito_diffusion_free(d);
    ito_module_free(&u->base);
}

static void refused(ito_unet *u, ito_tensor *labels, const char *words)
{
    cr_assert_null(ito_unet_forward_class(u, images(), labels_of(10, 500), labels));
    cr_assert_not_null(strstr(ito_error_message(), words), "%s", ito_error_message());
    ito_error_clear();
}

Test(unet_class, labels_that_do_not_fit_are_refused)
{
    ito_unet *plain = make_unet(0), *u = make_unet(CLASSES);
    refused(plain, labels_of(0, 0), "unet: the network has no classes and takes no labels");
    refused(u, ito_zeros(ITO_SHAPE(3), ITO_I64), "unet: labels i64 [3] for 2 images");
    refused(u, ito_zeros(ITO_SHAPE(N), ITO_F32), "unet: labels f32 [2] for 2 images");
    refused(u, labels_of(0, CLASSES + 1), "4");
    ito_module_free(&u->base);
    ito_module_free(&plain->base);
}

Test(unet_class, the_number_of_classes_is_kept_with_the_settings_and_may_be_missing)
{
    ito_ddpm_settings s = {.model = {.in_channels = 1,
                                     .height = 8,
                                     .width = 8,
                                     .channels = 8,
                                     .levels = 1,
                                     .multipliers = {1},
                                     .blocks = 1,
                                     .classes = 10}},
                      read;
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &read), ITO_OK, "%s", ito_error());
    cr_assert_eq(read.model.classes, 10);
    char *member = strstr(text, "\"classes\"");
    cr_assert_not_null(member);
    memcpy(member, "\"nothing\"", strlen("\"nothing\""));
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &read), ITO_OK, "%s", ito_error());
    cr_assert_eq(read.model.classes, 0);
    free(text);
    s.model.classes = -1;
    cr_assert_eq(ito_unet_check(&s.model), ITO_ERR_RANGE);
    cr_assert_not_null(strstr(ito_error_message(), "the number of classes is -1"));
}
