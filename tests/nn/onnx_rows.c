/* Writes each row of the table of operations as an ONNX file, with its inputs and its result
 * beside, for tests/reference/onnx_check.py to run: onnx_rows DIRECTORY. Prints a line for each
 * row: its name, and "written" or why not. */
#include "ito.h"
#include "tests/autograd/operations/operation.h"

#include <stdio.h>
#include <string.h>

/* The operation as the graph has it: floats in f32. */
static ito_tensor *input(const operation *o, int i)
{
    ito_tensor *x = operation_input_tensor(o, i);
    return ito_dtype_is_float(ito_dtype_of(x)) ? ito_cast(x, ITO_F32) : x;
}

static void save(const char *directory, const char *name, const char *what, const ito_tensor *t)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s.%s.npy", directory, name, what);
    if (ito_npy_save(path, t) != ITO_OK)
        printf("%s\n", ito_error());
}

static void write_row(const char *directory, const operation *o)
{
    char name[200], path[600];
    snprintf(name, sizeof name, "%s_%s", o->name, o->variant);
    snprintf(path, sizeof path, "%s/%s.onnx", directory, name);
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    int n = operation_inputs(o);
    for (int i = 0; i < n; i++)
        x[i] = input(o, i);
    ito_tensor *y = o->f(x, n, NULL);
    if (y == NULL) { /* f32 is not for it */
        printf("%s\tno f32: %s\n", name, ito_error_message());
        return;
    }
    if (ito_onnx_save(path, o->f, NULL, x, n, .dynamic_batch = false) != ITO_OK) {
        printf("%s\t%s\n", name, ito_error_message());
        return;
    }
    printf("%s\twritten\n", name);
    save(directory, name, "output", y);
    for (int i = 0; i < n; i++) {
        char what[16];
        snprintf(what, sizeof what, n == 1 ? "input" : "input_%d", i);
        save(directory, name, what, x[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: onnx_rows DIRECTORY\n");
        return 2;
    }
    for (int64_t i = 0; i < n_operation_rows; i++) {
        operation o = operation_rows[i]();
        ito_scope_begin();
        write_row(argv[1], &o);
        ito_scope_end();
        ito_error_clear();
    }
    return 0;
}
