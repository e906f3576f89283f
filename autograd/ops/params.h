/* The numbers of calls, as the operation's file writes them and others read them from
 * op_call.params. Internal. Operations that are not here take none, their public options, or one
 * plain number. */
#ifndef ITO_OPS_PARAMS_H
#define ITO_OPS_PARAMS_H

#include "autograd/op.h"

/* ---- ops/view.c ---- */

typedef struct reshape_params {
    ito_shape shape; /* without -1 */
    bool view;       /* a copy is refused */
} reshape_params;

typedef struct slice_params {
    int axis;
    int64_t start, count, step; /* in bounds */
} slice_params;

/* ---- ops/unary.c ---- */

typedef struct two_numbers {
    double p, q;
} two_numbers;

/* ---- ops/binary.c ---- */

typedef struct axpby_params {
    double a, b;
} axpby_params;

/* ---- ops/activation.c ---- */

/* x where it is above 0, else scale (exp(rate x) - 1). */
typedef struct elu_params {
    double scale, rate;
} elu_params;

/* ---- ops/softmax.c ---- */

typedef struct softmax_params {
    int axis;
} softmax_params;

/* ---- ops/scan.c ---- */

typedef struct scan_params {
    int axis;
    bool reverse; /* from the end on */
} scan_params;

/* ---- ops/group_norm.c ---- */

typedef struct group_norm_params {
    int64_t groups;
    double eps;
    bool silu;
} group_norm_params;

/* ---- ops/layer_norm.c ---- */

typedef struct layer_norm_params {
    ito_shape normalized_shape;
    double eps;
} layer_norm_params;

/* ---- ops/pool.c ---- */

typedef struct pool_params {
    int64_t size;
    double factor;
} pool_params;

/* ---- ops/order.c ---- */

/* What argsort, topk and kthvalue look for. */
typedef enum order_choice {
    ORDER_ALL,
    ORDER_KTH,
    ORDER_MEDIAN,
    ORDER_NANMEDIAN,
    ORDER_MODE
} order_choice;

typedef struct order_params {
    int axis;
    order_choice choice;
    bool descending, sorted;
    int64_t k; /* how many of the best, or which */
} order_params;

/* ---- ops/index.c ---- */

typedef struct index_add_params {
    int axis;
    int64_t size;
} index_add_params;

typedef struct scatter_add_params {
    int axis;
    ito_shape shape;
} scatter_add_params;

typedef struct one_hot_params {
    int64_t classes;
    ito_dtype dtype;
} one_hot_params;

/* ---- ops/rotary.c ---- */

typedef struct rotary_params {
    bool interleaved;
    bool back; /* by -angle */
} rotary_params;

/* ---- ops/max_pool.c ---- */

typedef struct scatter_places_params {
    ito_shape shape;
    bool add;
} scatter_places_params;

/* ---- ops/dropout.c ---- */

typedef struct dropout_params {
    double p;
    ito_generator generator; /* as it was before the draw */
} dropout_params;

#endif
