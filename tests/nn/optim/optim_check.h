/* What the tests of optimisers share: a small model with a matrix, a convolution's weights, a
 * vector and a number, its gradients, and all that a run leaves. */
#ifndef TESTS_NN_OPTIM_CHECK_H
#define TESTS_NN_OPTIM_CHECK_H

#include "autograd/autograd.h"
#include "nn/optim.h"
#include "tests/nn/nn_check.h"

#include <math.h>

/* Every algorithm of optimizers.def. */
#define ITO_OPTIMIZER(object) &object,
static const ito_optimizer_algorithm *const all_algorithms[] = {
#include "nn/optim/optimizers.def"
};
enum { ALGORITHMS = sizeof all_algorithms / sizeof all_algorithms[0] };

/* A Test over all of them, with `algorithm`. */
#define FOR_EACH_ALGORITHM                                                                         \
    for (const ito_optimizer_algorithm *const *each = all_algorithms, *algorithm;                  \
         each < all_algorithms + ALGORITHMS && (algorithm = *each) != NULL; each++)

static inline ito_module *small_model(ito_dtype dtype, uint64_t seed)
{
    ito_generator g = ito_generator_make(seed, 0);
    ito_module *m = ito_module_create(NULL, "", sizeof *m);
    cr_assert_not_null(m);
    ito_module_parameter(m, "conv.weight", ito_randn(&g, ITO_SHAPE(6, 5, 3, 3), dtype));
    ito_module_parameter(m, "conv.bias", ito_randn(&g, ITO_SHAPE(6), dtype));
    ito_module_parameter(m, "out.weight", ito_randn(&g, ITO_SHAPE(30, 17), dtype));
    ito_module_parameter(m, "gain", ito_randn(&g, (ito_shape){.ndim = 0}, dtype));
    cr_assert_eq(ito_error_code(), ITO_OK, "%s", ito_error());
    return m;
}

/* Gradients of step t; those of a frozen parameter are left alone. */
static inline void draw_gradients(ito_module *m, int64_t t)
{
    ito_scope_begin();
    ito_generator g = ito_generator_make(77, (uint64_t)t);
    ito_named_tensors *list = ito_module_parameters(m);
    for (int64_t i = 0; i < list->n; i++) {
        ito_tensor *p = list->tensors[i];
        ito_tensor *values = ito_randn(&g, ito_shape_of(p), ito_dtype_of(p));
        if (ito_has_grad_path(p))
            memcpy(ito_data(ito_grad_of(p)), ito_data(values),
                   (size_t)ito_numel(p) * ito_dtype_size(ito_dtype_of(p)));
    }
    ito_named_tensors_free(list);
    ito_scope_end();
}

static inline void take_steps(ito_module *m, ito_optimizer *opt, int64_t first, int64_t last,
                              double lr)
{
    for (int64_t t = first; t < last; t++) {
        draw_gradients(m, t);
        cr_assert_eq(ito_optimizer_step(opt, lr), ITO_OK, "%s", ito_error());
    }
}

/* Whether two lists, which are freed, have the same names and bits. */
static inline bool lists_agree(ito_named_tensors *a, ito_named_tensors *b)
{
    bool same = a != NULL && b != NULL && a->n == b->n;
    for (int64_t i = 0; same && i < a->n; i++)
        same = strcmp(a->names[i], b->names[i]) == 0 &&
               ito_numel(a->tensors[i]) == ito_numel(b->tensors[i]) &&
               memcmp(ito_const_data(a->tensors[i]), ito_const_data(b->tensors[i]),
                      (size_t)ito_numel(a->tensors[i]) *
                          ito_dtype_size(ito_dtype_of(a->tensors[i]))) == 0;
    ito_named_tensors_free(a);
    ito_named_tensors_free(b);
    return same;
}

#endif
