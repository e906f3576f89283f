/* Grid samples at places that are no numbers of an image, and what they leave alone. Values are
 * PyTorch's (operations/resize.def). */
#include "ito.h"
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <math.h>

static ito_tensor *image(void)
{
    return ito_from_data((double[]){1, 2, 3, 4}, ITO_SHAPE(1, 1, 2, 2), ITO_F64);
}

static ito_tensor *grid(const double *xy, int64_t places)
{
    return ito_from_data(xy, ITO_SHAPE(1, 1, places, 2), ITO_F64);
}

Test(ops_grid_sample, not_a_number_is_minus_one_and_infinity_is_far_outside)
{
    ito_tensor *g =
        grid((double[]){(double)NAN, (double)NAN, (double)INFINITY, 0, -(double)INFINITY, -1}, 3);
    assert_elements(ito_grid_sample(image(), g, .align_corners = true), (double[]){1, 0, 0}, 3, 0,
                    "zeros");
    ito_tensor *border =
        ito_grid_sample(image(), g, .align_corners = true, .padding_mode = ITO_GRID_BORDER);
    assert_elements(border, (double[]){1, 3, 1}, 3, 0, "border");
    ito_tensor *reflected =
        ito_grid_sample(image(), g, .padding_mode = ITO_GRID_REFLECTION, .mode = ITO_GRID_NEAREST);
    cr_assert_not_null(reflected, "%s", ito_error());
}

Test(ops_grid_sample, what_is_not_seen_is_left_alone)
{
    ito_tensor *x = ito_from_data((double[]){(double)NAN, 2, 3, 4}, ITO_SHAPE(1, 1, 2, 2), ITO_F64);
    ito_tensor *g = grid((double[]){5, 5, 1, 1}, 2);
    assert_elements(ito_grid_sample(x, g, .align_corners = true), (double[]){0, 4}, 2, 0, "NaN");
}

Test(ops_grid_sample, the_grid_of_the_identity_gives_the_image)
{
    ito_tensor *theta = ito_from_data((double[]){1, 0, 0, 0, 1, 0}, ITO_SHAPE(1, 2, 3), ITO_F64);
    ito_tensor *x = random_tensor(ITO_SHAPE(1, 3, 5, 4), -1, 1, 1);
    for (int aligned = 0; aligned < 2; aligned++) {
        ito_tensor *g = ito_affine_grid(theta, ito_shape_of(x), aligned == 1);
        assert_close(ito_grid_sample(x, g, .align_corners = aligned == 1), x, 1e-14, "identity");
    }
}

Test(ops_grid_sample, no_places_and_no_images_give_none)
{
    ito_tensor *x = ito_zeros(ITO_SHAPE(2, 3, 4, 4), ITO_F32);
    ito_tensor *none = ito_grid_sample(x, ito_zeros(ITO_SHAPE(2, 0, 5, 2), ITO_F32));
    cr_assert(shape_equal(ito_shape_of(none), ITO_SHAPE(2, 3, 0, 5)), "%s", ito_error());
    none = ito_grid_sample(ito_zeros(ITO_SHAPE(0, 3, 4, 4), ITO_F32),
                           ito_zeros(ITO_SHAPE(0, 1, 5, 2), ITO_F32));
    cr_assert(shape_equal(ito_shape_of(none), ITO_SHAPE(0, 3, 1, 5)), "%s", ito_error());
}
