/* What tests of models/ddpm share: that something is refused with its sentence, networks of a line,
 * a tiny U-Net. */
#ifndef ITO_TESTS_DDPM_CHECK_H
#define ITO_TESTS_DDPM_CHECK_H

#include "autograd/ops.h"
#include "models/ddpm/diffusion.h"
#include "models/ddpm/network/unet.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A result that is NULL, with this code and sentence; the error is cleared. */
static inline void assert_refused(const void *result, ito_status code, const char *message)
{
    cr_assert_null(result, "not refused: %s", message);
    cr_assert_eq(ito_error_code(), code, "%s", ito_error_message());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

/* The same of a status. */
static inline void assert_refused_status(ito_status status, ito_status code, const char *message)
{
    cr_assert_eq(status, code, "%s", ito_error_message());
    cr_assert_str_eq(ito_error_message(), message);
    ito_error_clear();
}

/* What a name that no choice of a kind has is answered with: 'sampler: there is no "x"; there are
 * ...'. Made from the list, so that a new choice changes no test; test_choices.c has one written
 * out. */
static inline const char *no_such_choice(const char *kind, const char *words, const char *name)
{
    static char text[1024];
    int64_t n;
    const ito_choice *const *all = ito_choices(kind, &n);
    int used = snprintf(text, sizeof text, "%s: there is no \"%s\"; there are %s", words, name,
                        all[0]->name);
    for (int64_t i = 1; i < n; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s",
                         i + 1 < n ? ", " : " and ", all[i]->name);
    return text;
}

/* The time of example i of an input. */
static inline double input_time(const ito_network_input *in, int64_t i)
{
    return ((const double *)ito_const_data(in->time))[i];
}

/* A network that is a function. */
static inline ito_network
network_of(ito_tensor *(*evaluate)(ito_network *self, const ito_network_input *in), void *context)
{
    return (ito_network){.evaluate = evaluate, .context = context};
}

static inline ito_tensor *evaluate_zeros(ito_network *self, const ito_network_input *in)
{
    (void)self;
    return ito_zeros_like(in->x);
}

/* The settings of a U-Net of two levels for 8x8 images, small enough for every test. */
static inline ito_unet_config tiny_unet_config(int64_t image_channels)
{
    return (ito_unet_config){.in_channels = image_channels,
                             .height = 8,
                             .width = 8,
                             .channels = 8,
                             .levels = 2,
                             .multipliers = {1, 2},
                             .attention = {false, true},
                             .blocks = 1,
                             .groups = 4};
}

/* The largest |a - b| of two tensors of one shape. */
static inline double largest_difference(ito_tensor *a, ito_tensor *b)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    return ito_item(ito_max(ito_abs(ito_sub(a, b))));
}

#endif
