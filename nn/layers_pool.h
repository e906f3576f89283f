/* Pooling as layers, for sequential networks. They have no parameters; options, results and errors
 * of forward are those of the operations.
 */
#ifndef ITO_NN_LAYERS_POOL_H
#define ITO_NN_LAYERS_POOL_H

#include "../autograd/ops_pool.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A pool over the windows of [N, C, ...] with 1, 2 or 3 further axes. */
typedef struct ito_pool_layer {
    ito_module base;
    int dims;
    int64_t kernel;
    ito_max_pool_options max; /* of a max pool */
    ito_avg_pool_options avg; /* of an average pool */
    ito_shape output_size;    /* of an adaptive one */
    ito_tensor *(*run)(const struct ito_pool_layer *l, ito_tensor *x);
} ito_pool_layer;

/** A max pool of images: ito_max_pool2d_create(s, "2", 2). ITO_ERR_ARGUMENT for .indices, which a
 * layer does not give. */
ITO_API ito_pool_layer *ito_max_pool2d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_max_pool_options options);
/** The same of signals. */
ITO_API ito_pool_layer *ito_max_pool1d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_max_pool_options options);
/** The same of volumes. */
ITO_API ito_pool_layer *ito_max_pool3d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_max_pool_options options);
#define ito_max_pool1d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_max_pool1d_create_with, ito_max_pool_options, __VA_ARGS__, ))
#define ito_max_pool2d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_max_pool2d_create_with, ito_max_pool_options, __VA_ARGS__, ))
#define ito_max_pool3d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_max_pool3d_create_with, ito_max_pool_options, __VA_ARGS__, ))

/** An average pool of images: ito_avg_pool2d_create(s, "2", 2). */
ITO_API ito_pool_layer *ito_avg_pool2d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_avg_pool_options options);
/** The same of signals. */
ITO_API ito_pool_layer *ito_avg_pool1d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_avg_pool_options options);
/** The same of volumes. */
ITO_API ito_pool_layer *ito_avg_pool3d_create_with(ito_module *parent, const char *name,
                                                   int64_t kernel, ito_avg_pool_options options);
#define ito_avg_pool1d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_avg_pool1d_create_with, ito_avg_pool_options, __VA_ARGS__, ))
#define ito_avg_pool2d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_avg_pool2d_create_with, ito_avg_pool_options, __VA_ARGS__, ))
#define ito_avg_pool3d_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_avg_pool3d_create_with, ito_avg_pool_options, __VA_ARGS__, ))

/** The means of output_size windows, for `dims` axes: ito_adaptive_avg_pool_create(s, "2", 2,
 * ITO_SHAPE(1, 1)). ITO_ERR_ARGUMENT unless dims is 1, 2 or 3. */
ITO_API ito_pool_layer *ito_adaptive_avg_pool_create(ito_module *parent, const char *name, int dims,
                                                     ito_shape output_size);
/** The largest elements of them. */
ITO_API ito_pool_layer *ito_adaptive_max_pool_create(ito_module *parent, const char *name, int dims,
                                                     ito_shape output_size);

/** The pool of x. */
ITO_API ito_tensor *ito_pool_forward(ito_pool_layer *layer, ito_tensor *x);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_adaptive_avg_pool_create(...) ITO_AT(ito_adaptive_avg_pool_create(__VA_ARGS__))
#define ito_adaptive_max_pool_create(...) ITO_AT(ito_adaptive_max_pool_create(__VA_ARGS__))
#define ito_pool_forward(...) ITO_AT(ito_pool_forward(__VA_ARGS__))
#endif

#endif
