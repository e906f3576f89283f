/* A tensor as text, as NumPy prints one: nested brackets, long axes cut to three at either end. */
#include "tensor/c_locale.h"
#include "tensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 3, CUT_FROM = 1000 }; /* elements above which long axes are cut */

typedef struct printer {
    FILE *out;
    const ito_tensor *t;
    const double *value; /* the elements, row-major */
    bool cut;
    int width, digits;
    bool integers;
} printer;

static void print_element(const printer *p, double v)
{
    if (p->t->dtype == ITO_BOOL)
        fputs(v != 0 ? "true" : "false", p->out);
    else if (p->integers)
        fprintf(p->out, "%*.0f%s", p->width, v, ito_dtype_is_float(p->t->dtype) ? "." : "");
    else
        fprintf(p->out, "%*.*g", p->width, p->digits, v);
}

static void print_axis(const printer *p, int axis, int64_t first)
{
    if (axis == p->t->ndim) {
        print_element(p, p->value[first]);
        return;
    }
    int64_t step = 1, n = p->t->shape[axis];
    for (int i = axis + 1; i < p->t->ndim; i++)
        step *= p->t->shape[i];
    fputc('[', p->out);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && axis == p->t->ndim - 1)
            fputs(", ", p->out);
        else if (i > 0)
            fprintf(p->out, ",%.*s%*s", p->t->ndim - 1 - axis, "\n\n\n\n\n\n\n\n", axis + 1, "");
        if (p->cut && n > 2 * EDGE && i == EDGE) {
            fputs("...", p->out);
            i = n - EDGE - 1;
        } else {
            print_axis(p, axis + 1, first + i * step);
        }
    }
    fputc(']', p->out);
}

/* Wide enough for every element: whole numbers without decimals, others with four or six digits. */
static void measure(printer *p, int64_t n)
{
    p->integers = true;
    p->digits = p->t->dtype == ITO_F64 ? 6 : 4;
    for (int64_t i = 0; i < n; i++)
        if (p->value[i] != floor(p->value[i]) || fabs(p->value[i]) > 1e8)
            p->integers = !ito_dtype_is_float(p->t->dtype);
    for (int64_t i = 0; i < n; i++) {
        char text[64];
        int width = p->integers ? snprintf(text, sizeof text, "%.0f", p->value[i])
                                : snprintf(text, sizeof text, "%.*g", p->digits, p->value[i]);
        p->width = width > p->width ? width : p->width;
    }
}

char *ito_to_string(const ito_tensor *t)
{
    if (t == NULL)
        return NULL;
    int64_t n = ito_numel(t);
    double *value = mem_alloc((size_t)n * sizeof *value);
    if (value == NULL)
        return NULL;
    char *text = NULL;
    size_t size;
    FILE *out = NULL;
    if (ito_to_data(t, value, ITO_F64) == ITO_OK) {
        out = open_memstream(&text, &size);
        if (out == NULL)
            ito_error_set(ITO_ERR_MEMORY, "to_string: no memory for the text");
    }
    if (out != NULL) {
        printer p = {.out = out, .t = t, .value = value, .cut = n > CUT_FROM};
        locale_t before = uselocale(c_locale());
        measure(&p, n);
        print_axis(&p, 0, 0);
        fprintf(out, " (%s %s)", ito_dtype_name(t->dtype), tensor_shape_str(t));
        fclose(out);
        uselocale(before);
    }
    mem_free(value);
    return text;
}

ito_status ito_print(const ito_tensor *t, FILE *file)
{
    if (t == NULL || file == NULL)
        return error_missing("print", t == NULL ? "the tensor" : "the file");
    char *text = ito_to_string(t);
    if (text == NULL)
        return ito_error_code();
    bool written = fprintf(file, "%s\n", text) >= 0;
    free(text);
    return written ? ITO_OK : ito_error_set(ITO_ERR_IO, "print: the file takes no text");
}
