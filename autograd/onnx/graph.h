/* An ONNX graph on its way to a file: values, and the operators between them. Internal.
 *
 * Forms (forms.def) put down operators while a function runs. An operator comes after those that
 * make its inputs, so the list is in an order that can be run. Whatever fails for want of memory
 * sets `failed`, and the functions go on without effect, so that forms need no checks.
 */
#ifndef ITO_ONNX_GRAPH_H
#define ITO_ONNX_GRAPH_H

#include "autograd/op.h"

/* A value of the graph by its number; 0 is none, an optional input that is left out. */
typedef int64_t onnx_value;

enum { ONNX_LIST = 2 * ITO_MAX_DIMS, ONNX_ATTRIBUTES = 8 };

/* A few whole numbers: axes, sizes. */
typedef struct onnx_list {
    int n;
    int64_t at[ONNX_LIST];
} onnx_list;

typedef enum onnx_kind {
    ONNX_INPUT,  /* of the function */
    ONNX_TENSOR, /* a constant: parameters, and what was made outside of the function */
    ONNX_NUMBER, /* a constant without axes */
    ONNX_INTS,   /* i64 [n], a constant unless it depends on the batch */
    ONNX_RESULT, /* of an operator */
} onnx_kind;

typedef struct onnx_slot {
    onnx_kind kind;
    ito_dtype dtype;      /* of all but results */
    ito_tensor *tensor;   /* a reference */
    uint64_t version;     /* of its storage, and */
    uint64_t fingerprint; /* of its elements, when it was seen */
    double number;
    onnx_list ints;
    bool reshapes; /* the ints are a shape to which a tensor of as many elements is brought */
    int64_t node;  /* that makes the result, which is its output number `output` */
    int output;
    bool live;
    /* Found by comparing two graphs (batch.c): how often the batch each number is, 0 where it does
     * not depend on it; of a tensor, the sizes of axes along which it repeats. */
    onnx_list times;
    int64_t order; /* among the live ones of its kind, for its name */
} onnx_slot;

/* Numbers as in onnx.proto. */
typedef enum onnx_attribute_type {
    ONNX_FLOAT = 1,
    ONNX_INT = 2,
    ONNX_STRING = 3,
    ONNX_INT_LIST = 7
} onnx_attribute_type;

typedef struct onnx_attribute {
    const char *name;
    onnx_attribute_type type;
    int64_t i;
    double f;
    const char *s;
    onnx_list ints;
} onnx_attribute;

typedef struct onnx_node {
    const char *type;    /* the operator; NULL: what the operation does has no form */
    const char *refusal; /* then, why */
    char op[48];         /* the operation that it belongs to, */
    const char *file;    /* and where that was called */
    int line;
    int64_t n;
    onnx_value *in; /* [n] */
    onnx_value out; /* the first output; the second is the value after it */
    int outputs;
    int attributes;
    onnx_attribute attribute[ONNX_ATTRIBUTES];
    bool live;
} onnx_node;

typedef struct onnx_graph {
    onnx_slot *slot; /* [slots] number 0 is none */
    int64_t slots, slot_room;
    onnx_node *node; /* [nodes] */
    int64_t nodes, node_room;
    onnx_value *input; /* [inputs] */
    int64_t inputs;
    onnx_value output;
    ito_shape output_shape;
    onnx_list output_times; /* as times of a slot */
    ito_dtype output_dtype;
    const char *op; /* the operation under way */
    bool failed;    /* with an error */
} onnx_graph;

bool onnx_graph_init(onnx_graph *g, int64_t inputs);
void onnx_graph_free(onnx_graph *g);

/* ---- values ------------------------------------------------------------------------------------
 */

onnx_value onnx_input(onnx_graph *g, ito_dtype dtype);
/* A constant; the same one for the same elements in memory. */
onnx_value onnx_tensor(onnx_graph *g, ito_tensor *t);
onnx_value onnx_number(onnx_graph *g, double value, ito_dtype dtype);
onnx_value onnx_ints(onnx_graph *g, onnx_list ints);
/* The shape to which Reshape brings its input. */
onnx_value onnx_shape_to(onnx_graph *g, ito_shape shape);

#define ONNX_INTS_OF(...)                                                                          \
    ((onnx_list){.n = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                   \
                 .at = {__VA_ARGS__}})
onnx_list onnx_list_of(ito_shape shape);
/* The axes whose bits are set. */
onnx_list onnx_axes(unsigned bits);

/* ---- operators ---------------------------------------------------------------------------------
 */

#define ONNX_F(key, value)                                                                         \
    {                                                                                              \
        .name = key, .type = ONNX_FLOAT, .f = (value)                                              \
    }
#define ONNX_I(key, value)                                                                         \
    {                                                                                              \
        .name = key, .type = ONNX_INT, .i = (value)                                                \
    }
#define ONNX_S(key, value)                                                                         \
    {                                                                                              \
        .name = key, .type = ONNX_STRING, .s = (value)                                             \
    }
#define ONNX_L(key, value)                                                                         \
    {                                                                                              \
        .name = key, .type = ONNX_INT_LIST, .ints = (value)                                        \
    }

onnx_value onnx_put(onnx_graph *g, const char *type, const onnx_value *in, int64_t n, int outputs,
                    const onnx_attribute *attribute, int attributes);
/* operator(g, "Softmax", (x), ONNX_I("axis", -1)): its first output. */
#define ONNX_UNPACK_(...) __VA_ARGS__
#define onnx_op(g, type, in, ...)                                                                  \
    onnx_put(g, type, (const onnx_value[]){ONNX_UNPACK_ in},                                       \
             (int64_t)(sizeof((const onnx_value[]){ONNX_UNPACK_ in}) / sizeof(onnx_value)), 1,     \
             (const onnx_attribute[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}},                   \
             (int)(sizeof((const onnx_attribute[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}}) /    \
                       sizeof(onnx_attribute) -                                                    \
                   1))
/* The same with two outputs; the second is the value after the first. */
#define onnx_op2(g, type, in, ...)                                                                 \
    onnx_put(g, type, (const onnx_value[]){ONNX_UNPACK_ in},                                       \
             (int64_t)(sizeof((const onnx_value[]){ONNX_UNPACK_ in}) / sizeof(onnx_value)), 2,     \
             (const onnx_attribute[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}},                   \
             (int)(sizeof((const onnx_attribute[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}}) /    \
                       sizeof(onnx_attribute) -                                                    \
                   1))
/* A value that cannot be had: an error if the output depends on it. reason: a constant. */
onnx_value onnx_refuse(onnx_graph *g, const char *reason);

onnx_value onnx_cast(onnx_graph *g, onnx_value x, ito_dtype to);
onnx_value onnx_reshape(onnx_graph *g, onnx_value x, ito_shape to);

/* A number that a change of an element changes, though nobody has told of it. Without memory 0, and
 * the graph has failed. */
uint64_t onnx_fingerprint(onnx_graph *g, const ito_tensor *t);
/* The number of a dtype in onnx.proto. */
int onnx_dtype(ito_dtype dtype);

/* ---- the output --------------------------------------------------------------------------------
 */

/* Mark what the output depends on. */
void onnx_mark_live(onnx_graph *g);

#endif
