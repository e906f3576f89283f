/* The table of operations as users call them: tests/autograd/operations/FAMILY.def.
 *
 *     OPERATION(elu, alpha, (REAL(3, 4)), ito_elu(x[0], .alpha = 0.7), "F.elu(x[0], alpha=0.7)")
 *
 * says: the operation ito_elu, in the variant named alpha, of one real input, is this call, and
 * PyTorch computes it so (NULL: it has no such operation). Further fields of struct operation may
 * follow. Each row is a test of all that an operation must pass, the same results as PyTorch
 * included; it is fuzzed; and docs/operations.md is written from it. N(3) in a call is 3, and any
 * small number when fuzzed. REAL() is a single number.
 *
 *     REFUSED(elu, integer, (INDEX(5, 3)), ito_elu(x[0]), ITO_ERR_DTYPE, "elu: takes ...")
 *
 * says: this call gives NULL with this code and sentence.
 */
#ifndef ITO_TEST_OPERATION_H
#define ITO_TEST_OPERATION_H

#include "tests/autograd/op_check.h"

typedef enum input_kind {
    INPUT_NONE,
    INPUT_REAL,      /* uniform in [low, high]; has a gradient */
    INPUT_CONSTANT,  /* the same without a gradient */
    INPUT_PARAMETER, /* as INPUT_REAL; f32 beside bf16 inputs */
    INPUT_INDEX,     /* i64, uniform in [low, high) */
    INPUT_MASK,      /* bool */
    INPUT_DISTINCT,  /* as INPUT_REAL; no two elements are near each other */
} input_kind;

typedef struct operation_input {
    input_kind kind;
    ito_shape shape;
    double low, high;
} operation_input;

#define REAL(...) RANGE(-2, 2, __VA_ARGS__)
#define RANGE(low, high, ...)                                                                      \
    {                                                                                              \
        INPUT_REAL, ITO_SHAPE(__VA_ARGS__), low, high                                              \
    }
#define CONSTANT(low, high, ...)                                                                   \
    {                                                                                              \
        INPUT_CONSTANT, ITO_SHAPE(__VA_ARGS__), low, high                                          \
    }
#define PARAMETER(...)                                                                             \
    {                                                                                              \
        INPUT_PARAMETER, ITO_SHAPE(__VA_ARGS__), -2, 2                                             \
    }
#define INDEX(below, ...)                                                                          \
    {                                                                                              \
        INPUT_INDEX, ITO_SHAPE(__VA_ARGS__), 0, below                                              \
    }
#define MASK(...)                                                                                  \
    {                                                                                              \
        INPUT_MASK, ITO_SHAPE(__VA_ARGS__), 0, 0                                                   \
    }
#define DISTINCT(...)                                                                              \
    {                                                                                              \
        INPUT_DISTINCT, ITO_SHAPE(__VA_ARGS__), -2, 2                                              \
    }

typedef struct operation {
    const char *family, *name, *variant, *call, *torch;
    ito_function *f;
    operation_input input[OP_CHECK_INPUTS];
    bool discrete;          /* no gradient exists */
    bool no_second;         /* no second derivative is defined */
    bool no_bf16;           /* the result for rounded inputs is not near (a choice between them) */
    bool no_fuzz;           /* the call itself holds sizes that fit these shapes alone */
    double tolerance;       /* f32 against f64, relative to the largest magnitude; 0: 1e-4 */
    double torch_tolerance; /* f64 against PyTorch, the same; 0: 1e-12 */
    int roundings, gradient_roundings; /* see op_check */
    ito_shape large[OP_CHECK_INPUTS];
} operation;

/* Row by row, in the order of the files. */
extern operation (*const operation_rows[])(void);
extern const int64_t n_operation_rows;

/* The number, or a random one near it while an operation is fuzzed. */
int64_t operation_number(int64_t usual);
/* For calls of functions with several results: (ito_topk(x[0], 2, &other), other). */
extern _Thread_local ito_tensor *other, *piece[8];
/* A generator in the same state each time. */
ito_generator *operation_generator(void);
/* Room for the results of a call that has several: first_result = f(.., .second = &second_result).
 */
extern _Thread_local ito_tensor *first_result, *second_result;
/* Input i of the row, of the current scope: the same each time. REAL inputs are f64. */
ito_tensor *operation_input_tensor(const operation *o, int i);
int operation_inputs(const operation *o);
/* The cotangent that goes with a result of this shape. */
ito_tensor *operation_cotangent(ito_shape shape);

/* What every row passes. */
void operation_check(operation o);
void operation_check_torch(operation o);
void operation_fuzz(operation o);
void operation_refused(ito_function *f, const operation_input *input, ito_status code,
                       const char *sentence);

#endif
