/* What tests of networks share: a network that records what it is given and when, and U-Nets of
 * random weights. */
#ifndef ITO_TESTS_NETWORK_CHECK_H
#define ITO_TESTS_NETWORK_CHECK_H

#include "autograd/ops.h"
#include "nn/init.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>
#include <string.h>

/* x / 2 + label, and of a second head, if it has one, 10 times that. */
typedef struct recorder {
    ito_network base;
    double none; /* the label of an example that is given none */
    bool two_heads;
    int evaluations, begun, freed;
    int since_begin, most_since_begin; /* evaluations in a trajectory */
    int64_t labels[64];                /* of the last evaluation */
    double x_0;                        /* the sum of its earlier estimate, or NaN without one */
} recorder;

static inline ito_tensor *recorder_evaluate(ito_network *self, const ito_network_input *in)
{
    recorder *r = (recorder *)self;
    r->evaluations++;
    r->since_begin++;
    r->most_since_begin =
        r->since_begin > r->most_since_begin ? r->since_begin : r->most_since_begin;
    r->x_0 = in->x_0 == NULL ? (double)NAN : ito_item(ito_sum(in->x_0));
    ito_tensor *y = ito_mul_scalar(in->x, 0.5);
    if (in->labels != NULL) {
        cr_assert_eq(ito_to_data(in->labels, r->labels, ITO_I64), ITO_OK);
        y = ito_add(y, ito_cast(ito_reshape(in->labels, -1, 1, 1, 1), ito_dtype_of(in->x)));
    } else {
        y = ito_add_scalar(y, r->none);
    }
    return r->two_heads ? ito_cat(ITO_TENSORS(y, ito_mul_scalar(y, 10.0)), 1) : y;
}

static inline void recorder_begin(ito_network *self)
{
    ((recorder *)self)->begun++;
    ((recorder *)self)->since_begin = 0;
}

static inline void recorder_free(ito_network *self)
{
    ((recorder *)self)->freed++;
}

static inline recorder recorder_make(double none)
{
    return (recorder){
        .base = {.evaluate = recorder_evaluate, .begin = recorder_begin, .free = recorder_free},
        .none = none};
}

static inline ito_tensor *labels_of(int64_t n, const int64_t *values)
{
    return ito_from_data(values, ITO_SHAPE(n), ITO_I64);
}

/* Two examples of this value at time t. */
static inline ito_tensor *evaluate_two(ito_network *network, double x, double t)
{
    ito_tensor *x_t = ito_full(ITO_SHAPE(2, 1, 1, 1), x, ITO_F64);
    ito_tensor *time = ito_full(ITO_SHAPE(2), t, ITO_F64);
    ito_network_input in = {.x = x_t, .t = time, .x_t = x_t, .time = time};
    return ito_network_evaluate(network, &in);
}

static inline void assert_two(ito_tensor *y, double a, double b)
{
    double values[2];
    cr_assert_not_null(y, "%s", ito_error());
    cr_assert_eq(ito_to_data(y, values, ITO_F64), ITO_OK);
    cr_assert_float_eq(values[0], a, 1e-14);
    cr_assert_float_eq(values[1], b, 1e-14);
}

/* All parameters random, so that nothing that should matter is multiplied by zero. */
static inline ito_unet *random_unet(ito_unet_config config)
{
    ito_unet *u = ito_unet_create(&config, NULL);
    cr_assert_not_null(u, "%s", ito_error());
    ito_generator g = ito_generator_make(3, 0);
    ito_named_tensors *p = ito_module_parameters(&u->base);
    for (int64_t i = 0; i < p->n; i++)
        cr_assert_not_null(ito_init_normal(p->tensors[i], 0, 0.2, &g));
    ito_named_tensors_free(p);
    return u;
}

/* Whether example i of two f32 tensors has the same bits. */
static inline bool same_example(ito_tensor *a, ito_tensor *b, int64_t i)
{
    cr_assert(a != NULL && b != NULL, "%s", ito_error());
    int64_t n = ito_numel(a) / ito_size(a, 0);
    const float *x = ito_const_data(ito_contiguous(a)), *y = ito_const_data(ito_contiguous(b));
    return memcmp(x + i * n, y + i * n, (size_t)n * sizeof *x) == 0;
}

#endif
