/* Prints the table of operations: as JSON, a line for each row with its inputs, for PyTorch
 * (tests/reference/make_operations_fixture.py); or a line for each operation, for
 * docs/operations.md: family, name, PyTorch's name, shapes, dtypes and gradient, with tabs between.
 */
#include "ito.h"
#include "tests/autograd/operations/operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static void print_text(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            putchar('\\');
        putchar(*c);
    }
    putchar('"');
}

static void print_tensor(const ito_tensor *t)
{
    printf("{\"dtype\":\"%s\",\"shape\":[", ito_dtype_name(ito_dtype_of(t)));
    ito_shape shape = ito_shape_of(t);
    for (int i = 0; i < shape.ndim; i++)
        printf("%s%lld", i > 0 ? "," : "", (long long)shape.dim[i]);
    int64_t n = ito_numel(t);
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    if (v == NULL || ito_to_data(t, v, ITO_F64) != ITO_OK)
        exit(1);
    printf("],\"data\":[");
    for (int64_t i = 0; i < n; i++)
        printf("%s%.17g", i > 0 ? "," : "", v[i]);
    printf("]}");
    free(v);
}

static void print_json(const operation *o)
{
    printf("{\"family\":\"%s\",\"name\":\"%s_%s\",\"discrete\":%s,\"torch\":", o->family, o->name,
           o->variant, o->discrete ? "true" : "false");
    print_text(o->torch);
    printf(",\"inputs\":[");
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    int n = operation_inputs(o);
    for (int i = 0; i < n; i++) {
        x[i] = operation_input_tensor(o, i);
        printf("%s{\"needs_grad\":%s,\"value\":", i > 0 ? "," : "",
               o->input[i].kind == INPUT_CONSTANT || ito_dtype_of(x[i]) != ITO_F64 ? "false"
                                                                                   : "true");
        print_tensor(x[i]);
        putchar('}');
    }
    ito_tensor *y = o->f(x, n, NULL);
    if (y == NULL) {
        fprintf(stderr, "%s %s: %s\n", o->name, o->variant, ito_error());
        exit(1);
    }
    printf("],\"dy\":");
    print_tensor(operation_cotangent(ito_shape_of(y)));
    puts("}");
}

/* ---- a line for each operation ---- */

/* "torch.sin(x[0])": torch.sin; "x[0].diagonal(0)": Tensor.diagonal; other expressions: nothing. */
static void print_torch_name(const char *expression)
{
    const char *method = expression == NULL ? NULL : strchr(expression, '.');
    if (method == NULL)
        return;
    size_t length = strcspn(expression, "(");
    if (strncmp(expression, "torch.", 6) == 0 || strncmp(expression, "F.", 2) == 0)
        printf("%.*s", (int)length, expression);
    else if (strncmp(expression, "x[0].", 5) == 0)
        printf("Tensor.%.*s", (int)strcspn(expression + 5, "( ["), expression + 5);
}

static ito_tensor *run(const operation *o, ito_dtype dtype, ito_tensor **x)
{
    int n = operation_inputs(o);
    for (int i = 0; i < n; i++) {
        x[i] = operation_input_tensor(o, i);
        if (ito_dtype_of(x[i]) == ITO_F64) {
            bool narrow = dtype == ITO_BF16 && o->input[i].kind == INPUT_PARAMETER;
            x[i] = ito_cast(x[i], narrow ? ITO_F32 : dtype);
        }
    }
    ito_tensor *y = o->f(x, n, NULL);
    ito_error_clear();
    return y;
}

/* Rows without a real input are of the one dtype that they have. */
static bool is_of(const operation *o, ito_dtype dtype)
{
    bool real = operation_inputs(o) == 0;
    for (int i = 0; i < operation_inputs(o); i++)
        real = real || ito_dtype_of(operation_input_tensor(o, i)) == ITO_F64;
    return real || ito_dtype_of(operation_input_tensor(o, 0)) == dtype;
}

/* Of the operation's rows, from the first on: whether one of them takes this. */
static bool takes(int64_t first, const char *name, ito_dtype dtype)
{
    bool taken = false;
    for (int64_t i = first; i < n_operation_rows && !taken; i++) {
        operation o = operation_rows[i]();
        ito_scope_begin();
        ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
        taken = strcmp(o.name, name) == 0 && is_of(&o, dtype) && run(&o, dtype, x) != NULL;
        ito_scope_end();
    }
    return taken;
}

static void print_shape(const ito_tensor *t)
{
    fputs(tensor_shape_str(t), stdout);
}

static const char *gradient_of(int64_t first, const char *name)
{
    bool any = false, second = false;
    for (int64_t i = first; i < n_operation_rows; i++) {
        operation o = operation_rows[i]();
        bool here = strcmp(o.name, name) == 0 && !o.discrete;
        any = any || here;
        second = second || (here && !o.no_second);
    }
    return second ? "any order" : any ? "first order" : "none";
}

static void print_line(int64_t first)
{
    operation o = operation_rows[first]();
    ito_scope_begin();
    ito_tensor *x[OP_CHECK_INPUTS] = {NULL};
    ito_tensor *y = run(&o, ITO_F64, x);
    printf("%s\t%s\t", o.family, o.name);
    print_torch_name(o.torch);
    putchar('\t');
    for (int i = 0; i < operation_inputs(&o); i++) {
        fputs(i > 0 ? ", " : "", stdout);
        print_shape(x[i]);
    }
    fputs(" to ", stdout);
    print_shape(y);
    putchar('\t');
    const char *before = "";
    for (ito_dtype d = 0; d < ITO_DTYPES; d++)
        if (takes(first, o.name, d)) {
            printf("%s%s", before, ito_dtype_name(d));
            before = " ";
        }
    printf("\t%s\n", gradient_of(first, o.name));
    ito_scope_end();
}

static bool is_first(int64_t row)
{
    for (int64_t i = 0; i < row; i++)
        if (strcmp(operation_rows[i]().name, operation_rows[row]().name) == 0)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    const char *family = argc > 2 ? argv[2] : "", *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--json") != 0 && strcmp(what, "--lines") != 0) {
        fprintf(stderr, "usage: operations --json [FAMILY] | --lines\n");
        return 2;
    }
    for (int64_t i = 0; i < n_operation_rows && strcmp(what, "--lines") == 0; i++)
        if (is_first(i))
            print_line(i);
    if (strcmp(what, "--json") != 0)
        return 0;
    for (int64_t i = 0; i < n_operation_rows; i++) {
        operation o = operation_rows[i]();
        if (o.torch == NULL || (family[0] != '\0' && strcmp(family, o.family) != 0))
            continue;
        ito_scope_begin();
        print_json(&o);
        ito_scope_end();
    }
    return 0;
}
