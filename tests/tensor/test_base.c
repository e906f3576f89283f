/* The error record: first message stays, place of the caller, NULL chains. */
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <string.h>

Test(base, starts_without_an_error)
{
    cr_assert_eq(ito_error_code(), ITO_OK);
    cr_assert_str_eq(ito_error(), "");
    cr_assert_str_eq(ito_error_message(), "");
}

Test(base, the_first_error_stays_until_cleared)
{
    cr_assert_eq(ito_error_set(ITO_ERR_SHAPE, "first: %d", 1), ITO_ERR_SHAPE);
    cr_assert_eq(ito_error_set(ITO_ERR_RANGE, "second"), ITO_ERR_RANGE);
    cr_assert_eq(ito_error_code(), ITO_ERR_SHAPE);
    cr_assert_str_eq(ito_error_message(), "first: 1");
    ito_error_clear();
    cr_assert_eq(ito_error_code(), ITO_OK);
    ito_error_set(ITO_ERR_RANGE, "third");
    cr_assert_str_eq(ito_error_message(), "third");
}

Test(base, a_missing_argument_is_an_error_unless_one_is_known)
{
    cr_assert_eq(error_missing("add", "x"), ITO_ERR_ARGUMENT);
    cr_assert_str_eq(ito_error_message(), "add: x is NULL");
    ito_error_clear();
    ito_error_set(ITO_ERR_MEMORY, "why x is NULL");
    cr_assert_eq(error_missing("add", "x"), ITO_ERR_MEMORY);
    cr_assert_str_eq(ito_error_message(), "why x is NULL");
}

Test(base, the_message_names_the_callers_place)
{
    char wanted[200];
    cr_assert_null(ito_zeros(ITO_SHAPE(-1), ITO_F32));
    snprintf(wanted, sizeof wanted, "tensor: no tensor has the shape [-1] (%s:%d)", __FILE__,
             __LINE__ - 2);
    cr_assert_str_eq(ito_error(), wanted);
    cr_assert_str_eq(ito_error_message(), "tensor: no tensor has the shape [-1]");
}

Test(base, a_function_without_its_macro_keeps_the_place_noted_before)
{
    ito_at("model.c", 42);
    cr_assert_null((ito_zeros)(ITO_SHAPE(-1), ITO_F32));
    cr_assert_str_eq(ito_error(), "tensor: no tensor has the shape [-1] (model.c:42)");
}

Test(base, a_long_message_is_cut_not_overrun)
{
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ito_error_set(ITO_ERR_IO, "%s", text);
    cr_assert_lt(strlen(ito_error()), 1024);
}

Test(base, shapes_print_as_lists)
{
    cr_assert_str_eq(shape_str(ITO_SHAPE()), "[]");
    cr_assert_str_eq(shape_str(ITO_SHAPE(2, 3)), "[2, 3]");
}
