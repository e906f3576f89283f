/* A module's checksum: which differences it tells, and the number itself. */
#include "autograd/ops.h"
#include "nn/layers.h"
#include "nn/module.h"
#include "tests/nn/nn_check.h"

static ito_module *two_numbers(const char *name, float second)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    float value[2] = {1, second};
    cr_assert_not_null(ito_module_parameter(m, name, ito_from_data(value, ITO_SHAPE(2), ITO_F32)));
    return m;
}

static uint32_t checksum_of(const ito_module *m)
{
    uint32_t checksum = 0;
    cr_assert_eq(ito_module_checksum(m, &checksum), ITO_OK, "%s", ito_error_message());
    return checksum;
}

/* Bit by bit, as ISO 3309 says. */
static uint32_t crc32_of(const unsigned char *bytes, size_t n)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

Test(checksum, is_the_crc32_of_names_and_row_major_bytes)
{
    ito_module *m = two_numbers("w", 2);
    const float value[2] = {1, 2}, grid[6] = {1, 2, 3, 4, 5, 6};
    ito_tensor *columns = ito_from_data(grid, ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_not_null(ito_module_buffer(m, "grid", ito_transpose(columns, 0, 1)));
    const float by_rows[6] = {1, 4, 2, 5, 3, 6};
    unsigned char bytes[1 + sizeof value + 4 + sizeof by_rows];
    memcpy(bytes, "w", 1);
    memcpy(bytes + 1, value, sizeof value);
    memcpy(bytes + 1 + sizeof value, "grid", 4);
    memcpy(bytes + 5 + sizeof value, by_rows, sizeof by_rows);
    cr_expect_eq(checksum_of(m), crc32_of(bytes, sizeof bytes));
    ito_module_free(m);
}

Test(checksum, tells_other_values_and_other_names)
{
    ito_module *a = two_numbers("w", 2), *same = two_numbers("w", 2), *value = two_numbers("w", 3),
               *name = two_numbers("v", 2);
    cr_expect_eq(checksum_of(a), checksum_of(same));
    cr_expect_neq(checksum_of(a), checksum_of(value));
    cr_expect_neq(checksum_of(a), checksum_of(name));
    ito_module_free(a);
    ito_module_free(same);
    ito_module_free(value);
    ito_module_free(name);
}

Test(checksum, null_is_said)
{
    uint32_t checksum = 7;
    cr_expect_eq(ito_module_checksum(NULL, &checksum), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_checksum: the module is NULL");
    ito_module *m = two_numbers("w", 2);
    cr_expect_eq(ito_module_checksum(m, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "module_checksum: the result's place is NULL");
    cr_expect_eq(checksum, 7);
    ito_module_free(m);
}

typedef struct checksum_attempt {
    const ito_module *module;
    uint32_t checksum;
} checksum_attempt;

static ito_status try_checksum(void *context)
{
    checksum_attempt *a = context;
    ito_status status = ito_module_checksum(a->module, &a->checksum);
    cr_expect(status == ITO_OK || a->checksum == 7);
    return status;
}

Test(checksum, survives_every_failing_allocation)
{
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    ito_tensor *t = ramp(ITO_SHAPE(2, 3), 1);
    cr_assert_not_null(ito_module_buffer(m, "grid", ito_transpose(t, 0, 1)));
    checksum_attempt a = {m, 7};
    cr_expect_geq(count_failed_allocations(try_checksum, &a), 2); /* the list, a row-major copy */
    cr_expect_eq(a.checksum, checksum_of(m));
    ito_module_free(m);
}
