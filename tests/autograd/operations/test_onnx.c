/* Each row of the table of operations as an ONNX file: it is written, or its operation and the
 * reason are said. What the files compute is checked with onnxruntime: tests/nn/onnx_rows.c. */
#include "ito.h"
#include "tests/autograd/operations/operation.h"
#include "tests/temporary.h"

#include <criterion/criterion.h>
#include <inttypes.h>

/* Whether the row was written; if not it says why, or it takes no f32. */
static bool is_written(const operation *o, const char *path)
{
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    int n = operation_inputs(o);
    for (int i = 0; i < n; i++) {
        x[i] = operation_input_tensor(o, i);
        if (ito_dtype_is_float(ito_dtype_of(x[i])))
            x[i] = ito_cast(x[i], ITO_F32);
    }
    ito_status status = ito_onnx_save(path, o->f, NULL, x, n, .dynamic_batch = false);
    if (status == ITO_OK)
        return true;
    char place[64];
    snprintf(place, sizeof place, "/%s.def:", o->family);
    cr_expect_eq(status, ITO_ERR_ARGUMENT, "%s %s: %s", o->name, o->variant, ito_error());
    cr_expect(strncmp(ito_error_message(), "onnx_save: ", 11) == 0 &&
                  (strstr(ito_error_message(), place) != NULL ||
                   strstr(ito_error_message(), "the result: ") != NULL),
              "%s %s: %s", o->name, o->variant, ito_error());
    cr_expect_neq(access(path, F_OK), 0, "%s %s left a file", o->name, o->variant);
    return false;
}

Test(operation_onnx, each_row_is_written_or_says_why, .timeout = 300)
{
    const char *directory = temporary_directory();
    char path[300];
    int64_t written = 0;
    snprintf(path, sizeof path, "%s/row.onnx", directory);
    for (int64_t i = 0; i < n_operation_rows; i++) {
        operation o = operation_rows[i]();
        ito_scope_begin();
        written += is_written(&o, path);
        ito_scope_end();
        ito_error_clear();
        unlink(path);
    }
    remove_tree(directory);
    cr_expect_geq(written, 878, "%" PRId64 " rows of %" PRId64, written, n_operation_rows);
}
