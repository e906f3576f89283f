/* Prints the table of operations: as JSON, a line for each row with its inputs, for PyTorch
 * (tests/reference/make_operations_fixture.py); or in Markdown, a line for each operation. */
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

int main(int argc, char **argv)
{
    const char *family = argc > 2 ? argv[2] : "";
    if (argc < 2 || strcmp(argv[1], "--json") != 0) {
        fprintf(stderr, "usage: operations --json [FAMILY]\n");
        return 2;
    }
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
