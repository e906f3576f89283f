/* The table of operations and how one runs: checks, forward, and the node that remembers it.
 * Internal.
 *
 * Every row of ops.def names an operation; its functions op_<name>_forward and op_<name>_backward
 * stand side by side in autograd/ops/. A backward written with operations can itself be
 * differentiated; a fused one uses fast kernels, and its composite form is differentiated instead
 * under create_graph. The last column of a row names its rule of forward mode, a function
 * tangent_<rule>: one of forward.c (diagonal, linear, bilinear, composite, transpose) or one beside
 * the operation.
 */
#ifndef ITO_OP_H
#define ITO_OP_H

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

typedef enum op_id {
#define OP_PRIMITIVE(name, ...) OP_##name,
#define OP_FUSED(name, ...) OP_##name,
#define OP_DISCRETE(name, ...) OP_##name,
#include "autograd/ops.def"
#undef OP_PRIMITIVE
#undef OP_FUSED
#undef OP_DISCRETE
    OP_COUNT
} op_id;

typedef enum op_kind {
    KIND_PRIMITIVE, /* backward is made of operations */
    KIND_FUSED,     /* backward is made of kernels; composite is its differentiable form */
    KIND_DISCRETE,  /* the result is an integer, a bool or constant: no gradient exists */
} op_kind;

/* What element types the inputs may have. In REAL and NUMBER, 0-dimensional floats beside a float
 * tensor with axes are converted to its dtype before anything is checked. */
typedef enum op_dtypes {
    REAL,   /* f32, f64 or bf16, all inputs the same */
    NUMBER, /* f32, f64, bf16, an integer or bool, all inputs the same */
    MIXED,  /* as REAL, but inputs 1 and 2 are parameters: f32 where the others are bf16 */
    ANY,    /* anything; the operation checks the rest itself */
} op_dtypes;

/* What backward needs, kept in the node. Shapes and dtypes of the inputs always are. */
enum {
    SAVE_NOTHING = 0,
    SAVE_IN0 = 1,
    SAVE_IN1 = 2,
    SAVE_IN2 = 4,
    SAVE_OUTPUT = 8,
    SAVE_INPUTS = 16,   /* all of them, however many */
    REMATERIALISE = 32, /* whoever needs the result has it computed again in backward rather than
                         * saves it: see saved.c. Forward may find the extras that it left the first
                         * time. */
};

enum { OP_MAX_EXTRAS = 2 };

/* One call of an operation, as its forward and its backward see it. */
typedef struct op_call {
    const struct op_info *info;
    int64_t n;              /* inputs */
    ito_tensor *const *in;  /* in backward: NULL where not saved */
    const ito_shape *shape; /* of each input */
    const ito_dtype *dtype; /* of each input */
    const void *params;     /* plain data, copied with the node */
    size_t params_size;
    ito_tensor *out;                  /* backward: the result, if saved; tangents: the result */
    ito_tensor *extra[OP_MAX_EXTRAS]; /* what forward computed for backward besides (statistics) */
    const bool *needs;                /* backward: which inputs want a gradient */
    bool own_dy;                      /* backward: nobody else needs dy, which may be overwritten */
} op_call;

/* The result, a new tensor or view; NULL with an error. Temporaries need no care: a scope is open.
 */
typedef ito_tensor *op_forward_fn(op_call *c);
/* dx[i] for each i that needs one, shaped as input i; false with an error. Leaving dx[i] NULL means
 * zero. dy has the output's shape, any strides. */
typedef bool op_backward_fn(const op_call *c, ito_tensor *dy, ito_tensor **dx);
/* *dt = the derivative of the result along t, where t[i] is the tangent of input i, or NULL for
 * zero; in[], out and extra[] are those of the call. false with an error. Leaving *dt NULL means
 * zero. Made of operations, or of kernels if the operation has a composite form: that is taken
 * where the tangent is itself differentiated. */
typedef bool op_tangent_fn(const op_call *c, ito_tensor *const *t, ito_tensor **dt);
/* The same function as forward, of differentiable operations. Optional inputs may be NULL. */
typedef ito_tensor *op_composite_fn(ito_tensor *const *in, int64_t n, const void *params);

typedef struct op_info {
    const char *name;
    int arity; /* -1: any number */
    op_kind kind;
    op_dtypes dtypes;
    unsigned saves;
    op_forward_fn *forward;
    op_backward_fn *backward;
    op_composite_fn *composite;
    op_tangent_fn *tangent;
} op_info;

extern const op_info op_table[OP_COUNT];

#define OP_PRIMITIVE(name, inputs, dtypes, saves, rule)                                            \
    op_forward_fn op_##name##_forward;                                                             \
    op_backward_fn op_##name##_backward;                                                           \
    op_tangent_fn tangent_##rule;
#define OP_FUSED(name, inputs, dtypes, saves, rule)                                                \
    op_forward_fn op_##name##_forward;                                                             \
    op_backward_fn op_##name##_backward;                                                           \
    op_composite_fn op_##name##_composite;                                                         \
    op_tangent_fn tangent_##rule;
#define OP_DISCRETE(name, ...) op_forward_fn op_##name##_forward;
#include "autograd/ops.def"
#undef OP_PRIMITIVE
#undef OP_FUSED
#undef OP_DISCRETE

op_tangent_fn tangent_transpose; /* of operations outside the table */

/* Run an operation and record it. Inputs may be NULL only where `optional` has their bit; a NULL
 * anywhere else gives NULL. params (may be NULL) points to params_size bytes of plain data. */
ito_tensor *op_apply(op_id id, ito_tensor *const *in, int64_t n, const void *params,
                     size_t params_size);
ito_tensor *op_apply_optional(op_id id, ito_tensor *const *in, int64_t n, unsigned optional,
                              const void *params, size_t params_size);
/* op_apply for an operation that is in no table: a user's. info outlives the graph, or is the head
 * of its own params and then moves with them. */
ito_tensor *op_apply_info(const op_info *info, ito_tensor *const *in, int64_t n, unsigned optional,
                          const void *params, size_t params_size);

/* Among these inputs, that conversion: for operations that check dtypes themselves. Needs an open
 * scope; false with an error. */
bool op_convert_numbers(ito_tensor **in, int64_t n);

/* Whether inputs have dtypes as a row of this name and rule would take them; or an error. For
 * operations made of others: the error has their name. */
bool op_inputs_fit(const char *name, op_dtypes dtypes, ito_tensor *const *in, int64_t n,
                   unsigned optional);

#define OP1(name, x) op_apply(OP_##name, (ito_tensor *[]){x}, 1, NULL, 0)
#define OP2(name, a, b) op_apply(OP_##name, (ito_tensor *[]){a, b}, 2, NULL, 0)

/* For backward: memory for a gradient in the layout of `like`: dy itself if nobody else needs it
 * and it lies so, else new. */
ito_tensor *op_space_for_dx(const op_call *c, ito_tensor *dy, const ito_tensor *like);
/* Whether what runs now will be differentiated, backward or forward, so that it has to be made of
 * operations. */
bool op_differentiated(void);
/* dy summed over the axes along which shape was broadcast to dy's. A differentiable operation. */
ito_tensor *sum_to_shape(ito_tensor *dy, ito_shape shape);

#endif
