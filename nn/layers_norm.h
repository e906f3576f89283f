/* Layers of normalisation with running statistics: batch and instance norm. layers.h has group,
 * layer and rms norm; what it says of all layers holds here. Names, buffers and defaults are those
 * of PyTorch's BatchNorm and InstanceNorm of any number of dimensions.
 */
#ifndef ITO_NN_LAYERS_NORM_H
#define ITO_NN_LAYERS_NORM_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Statistics of a batch or of each image, and a scale and a shift for each channel. */
typedef struct ito_running_norm_layer {
    ito_module base;
    ito_tensor *weight, *bias;              /* [channels]: 1 and 0 at first; or NULL */
    ito_tensor *running_mean, *running_var; /* [channels], buffers: 0 and 1 at first; or NULL */
    ito_tensor *num_batches_tracked;        /* i64 [], a buffer; or NULL */
    double eps, momentum;
    bool by_image; /* an instance norm */
} ito_running_norm_layer;

/** Options of ito_batch_norm_create. */
typedef struct ito_batch_norm_layer_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-5);
    /* running += momentum (of the batch - running), in [0, 1]. NaN: the mean of all batches. */
    double momentum ITO_DEFAULT(0.1);
    bool affine ITO_DEFAULT(true);              /* with weight and bias */
    bool track_running_stats ITO_DEFAULT(true); /* else those of the batch in evaluation, too */
    ito_dtype dtype; /* of parameters and statistics: ITO_F32 (the default) or ITO_F64 */
} ito_batch_norm_layer_options;
#define ITO_DEFAULTS_ito_batch_norm_layer_options                                                  \
    .eps = 1e-5, .momentum = 0.1, .affine = true, .track_running_stats = true

/** A batch norm: ito_batch_norm_create(&m->base, "norm", 64). Training mode takes the statistics of
 * the batch and changes the running ones, so it is not for ito_recompute; evaluation mode takes the
 * running ones. ITO_ERR_ARGUMENT unless there are channels, ITO_ERR_RANGE for an eps that is
 * negative or not finite and a momentum outside [0, 1].
 * Source: Ioffe, Szegedy 2015, arXiv:1502.03167. */
ITO_API ito_running_norm_layer *ito_batch_norm_create_with(ito_module *parent, const char *name,
                                                           int64_t channels,
                                                           ito_batch_norm_layer_options options);
#define ito_batch_norm_create(...)                                                                 \
    ITO_AT(ITO_CALL_3(ito_batch_norm_create_with, ito_batch_norm_layer_options, __VA_ARGS__, ))

/** Options of ito_instance_norm_create. */
typedef struct ito_instance_norm_layer_options {
    int reserved_;
    double eps ITO_DEFAULT(1e-5);
    double momentum ITO_DEFAULT(0.1); /* in [0, 1] */
    bool affine;                      /* with weight and bias */
    bool track_running_stats;         /* and use them in evaluation mode */
    ito_dtype dtype; /* of parameters and statistics: ITO_F32 (the default) or ITO_F64 */
} ito_instance_norm_layer_options;
#define ITO_DEFAULTS_ito_instance_norm_layer_options .eps = 1e-5, .momentum = 0.1

/** An instance norm: ito_instance_norm_create(&m->base, "norm", 64, .affine = true). Errors as for
 * ito_batch_norm_create. Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022. */
ITO_API ito_running_norm_layer *
ito_instance_norm_create_with(ito_module *parent, const char *name, int64_t channels,
                              ito_instance_norm_layer_options options);
#define ito_instance_norm_create(...)                                                              \
    ITO_AT(                                                                                        \
        ITO_CALL_3(ito_instance_norm_create_with, ito_instance_norm_layer_options, __VA_ARGS__, ))

/** x [N, channels, ...] to the same shape, as ito_batch_norm or ito_instance_norm. */
ITO_API ito_tensor *ito_running_norm_forward(ito_running_norm_layer *layer, ito_tensor *x);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_running_norm_forward(...) ITO_AT(ito_running_norm_forward(__VA_ARGS__))
#endif

#endif
