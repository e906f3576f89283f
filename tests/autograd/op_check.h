/* What every differentiable operation must pass, given a function and the shapes of its inputs. */
#ifndef ITO_TEST_OP_CHECK_H
#define ITO_TEST_OP_CHECK_H

#include "autograd/graph.h"
#include "tensor/internal.h"

enum { OP_CHECK_INPUTS = 6 };

/* The test case of a row of ops.def, in tests/autograd/ops/: see test_ops.c. */
#define CASE(name) void case_##name(void);
#define OP_PRIMITIVE(name, ...) CASE(name)
#define OP_FUSED(name, ...) CASE(name)
#define OP_DISCRETE(name, ...) CASE(name)
#include "autograd/ops.def"
#undef OP_PRIMITIVE
#undef OP_FUSED
#undef OP_DISCRETE
#undef CASE

typedef struct op_range {
    double low, high;
} op_range;

typedef struct op_check {
    const char *what; /* named in failures */
    ito_function *f;  /* the operation under test, of its inputs */
    void *context;    /* handed to f */
    int n;            /* inputs */
    ito_shape shape[OP_CHECK_INPUTS];
    double low, high;                /* inputs are uniform in [low, high]; both 0: [-2, 2] */
    op_range range[OP_CHECK_INPUTS]; /* of one input; both 0: low and high */
    bool distinct[OP_CHECK_INPUTS];  /* the input is a distinct_tensor */
    ito_tensor
        *given[OP_CHECK_INPUTS];   /* used as it is instead of a random input (indices, masks) */
    bool no_grad[OP_CHECK_INPUTS]; /* inputs without a gradient */
    bool no_second;                /* no second derivative is defined or it is too costly here */
    bool no_bf16;                  /* the result for rounded inputs is not near */
    bool sweeps;                   /* f takes a gradient itself: not without history */
    bool not_dense_input;          /* f refuses views that are not dense */
    double tolerance;              /* f32 against f64, relative to the largest magnitude; 0: 1e-4 */
    ito_shape large[OP_CHECK_INPUTS]; /* for the thread test, if sizes matter; else shape */
    bool parameter[OP_CHECK_INPUTS];  /* f32 beside bf16 inputs: its row is MIXED */
    /* How often bf16 rounds on the way to the result and on the way from there to a gradient, what
     * is saved for it included; 0: once. */
    int roundings, gradient_roundings;
} op_check;

/* Runs: gradcheck and gradgradcheck in f64, each input alone, strided inputs, NULL inputs, f32
 * against f64 (forward and gradients), bf16 against f32 of the same inputs (likewise, and that each
 * gradient has its input's dtype), threads (same bits), every
 * instruction set against base, and an allocation failure at every request (an error each time,
 * nothing leaked). Asserts with Criterion. */
void op_check_run(op_check c);

/* f64 tensor of the current scope, uniform in [low, high], a function of seed alone. */
ito_tensor *random_tensor(ito_shape shape, double low, double high, uint64_t seed);
/* f64 tensor of the current scope, evenly spread over [low, high) in an order as good as random: no
 * two elements are near each other. */
ito_tensor *distinct_tensor(ito_shape shape, double low, double high);
/* Fail unless the tensors have one shape and their elements differ by at most tolerance times the
 * largest magnitude of want (or 1, if that is larger). */
void assert_close(const ito_tensor *got, const ito_tensor *want, double tolerance,
                  const char *what);
/* Fail unless t's elements, row-major, are these within tolerance. */
void assert_elements(const ito_tensor *t, const double *want, int64_t n, double tolerance,
                     const char *what);
/* Fail unless an error with this code and sentence is recorded; then clear it. */
void assert_error(ito_status code, const char *sentence);

#endif
