/* The graph as text. */
#include "tests/autograd/op_check.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(dot, names_operations_leaves_and_edges)
{
    ito_tensor *x = ito_requires_grad(ito_ones(ITO_SHAPE(2), ITO_F64), true);
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    cr_assert_eq(ito_graph_dot(ito_sum(ito_mul(ito_exp(x), x)), file), ITO_OK);
    fclose(file);
    cr_assert_eq(strncmp(text, "digraph ito {", 13), 0);
    cr_assert_not_null(strstr(text, "label=\"exp\\n[2]\""));
    cr_assert_not_null(strstr(text, "label=\"sum\\n[]\""));
    cr_assert_not_null(strstr(text, "label=\"leaf\\n[2]\""));
    int arrows = 0;
    for (const char *p = text; (p = strstr(p, " -> ")) != NULL; p++)
        arrows++;
    cr_assert_eq(arrows, 4);
    free(text);
}
