/* Tensors as text. */
#include "tensor/internal.h"
#include "tests/german.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void assert_text(const ito_tensor *t, const char *want)
{
    char *text = ito_to_string(t);
    cr_assert_not_null(text, "%s", ito_error());
    cr_assert_str_eq(text, want);
    free(text);
}

Test(print, numbers_and_lists)
{
    assert_text(ito_scalar(2.5, ITO_F32), "2.5 (f32 [])");
    assert_text(ito_arange(0, 3, 1, ITO_I64), "[0, 1, 2] (i64 [3])");
    assert_text(ito_zeros(ITO_SHAPE(0), ITO_F32), "[] (f32 [0])");
    assert_text(ito_ones(ITO_SHAPE(1), ITO_BOOL), "[true] (bool [1])");
}

Test(print, matrices_align)
{
    const float v[4] = {1, -20, 0, 3};
    assert_text(ito_from_data(v, ITO_SHAPE(2, 2), ITO_F32),
                "[[  1., -20.],\n [  0.,   3.]] (f32 [2, 2])");
    const double w[2] = {0.5, 100.25};
    assert_text(ito_from_data(w, ITO_SHAPE(2), ITO_F64), "[   0.5, 100.25] (f64 [2])");
}

Test(print, long_axes_are_cut)
{
    assert_text(ito_arange(0, 2000, 1, ITO_I64),
                "[   0,    1,    2, ..., 1997, 1998, 1999] (i64 [2000])");
}

Test(print, views_print_their_own_elements)
{
    ito_tensor *t = ito_arange(0, 6, 1, ITO_I32);
    assert_text(tensor_view(t, ITO_SHAPE(3), (int64_t[]){2}, 1), "[1, 3, 5] (i32 [3])");
}

Test(print, to_a_file)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(ito_print(ito_scalar(7, ITO_I32), f), ITO_OK);
    fclose(f);
    cr_assert_str_eq(text, "7 (i32 [])\n");
    free(text);
    cr_assert_null(ito_to_string(NULL));
}

Test(print, numbers_have_a_point_in_any_locale)
{
    const char *dir = begin_german();
    assert_text(ito_scalar(2.5, ITO_F32), "2.5 (f32 [])");
    ito_error_set(ITO_ERR_RANGE, "a rate of %g", 0.5);
    cr_expect_str_eq(ito_error_message(), "a rate of 0.5");
    ito_error_clear();
    char text[8];
    snprintf(text, sizeof text, "%.1f", 1.5); /* the program's own stays as it was */
    cr_expect_str_eq(text, "1,5");
    end_german(dir);
}
