/* Normalisation over batches, images and neighbouring channels; ops.h has group, layer and rms
 * norm. What ops.h says of all operations holds here.
 */
#ifndef ITO_OPS_NORM_H
#define ITO_OPS_NORM_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What ito_batch_norm takes besides tensors. */
typedef struct ito_batch_norm_options {
    int reserved_;
    bool training;                    /* by the batch's statistics, not by the running ones */
    double momentum ITO_DEFAULT(0.1); /* running += momentum (of the batch - running) */
    double eps ITO_DEFAULT(1e-5);     /* added to the variance, 0 or more */
} ito_batch_norm_options;
#define ITO_DEFAULTS_ito_batch_norm_options .momentum = 0.1, .eps = 1e-5

/**
 * (x - mean) / sqrt(var + eps) by channel, then scale and shift:
 * ito_batch_norm(x, running_mean, running_var, weight, bias, .training = true).
 * @param x             [N, C, ...]
 * @param running_mean  [C], f32, f64 or bf16, as running_var. In training both may be NULL; they
 *                      are changed in place, running_var by the variance with n - 1, unless x is
 *                      empty. No gradient reaches them.
 * @param weight        [C], or NULL for 1; f32 where x is bf16, as bias.
 * @param bias          [C], or NULL for 0.
 * @return  shaped as x. In training the statistics are those of all elements of a channel:
 *          ITO_ERR_SHAPE if there is one. ITO_ERR_ARGUMENT for an eps that is below 0 or not
 * finite, and in evaluation for running statistics that are NULL. Source: Ioffe, Szegedy 2015,
 * arXiv:1502.03167.
 */
ITO_API ito_tensor *ito_batch_norm_with(ito_tensor *x, ito_tensor *running_mean,
                                        ito_tensor *running_var, ito_tensor *weight,
                                        ito_tensor *bias, ito_batch_norm_options options);
#define ito_batch_norm(...)                                                                        \
    ITO_AT(ITO_CALL_5(ito_batch_norm_with, ito_batch_norm_options, __VA_ARGS__, ))

/** What ito_instance_norm takes besides tensors. */
typedef struct ito_instance_norm_options {
    int reserved_;
    bool use_input_stats ITO_DEFAULT(true); /* by each image's statistics, not the running ones */
    double momentum ITO_DEFAULT(0.1);
    double eps ITO_DEFAULT(1e-5);
} ito_instance_norm_options;
#define ITO_DEFAULTS_ito_instance_norm_options .use_input_stats = true, .momentum = 0.1, .eps = 1e-5

/** ito_batch_norm with statistics of each channel of each image of x [N, C, L, ...]; the running
 * ones take the means over images. Arguments, result and errors as ito_batch_norm's.
 * Source: Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022. */
ITO_API ito_tensor *ito_instance_norm_with(ito_tensor *x, ito_tensor *running_mean,
                                           ito_tensor *running_var, ito_tensor *weight,
                                           ito_tensor *bias, ito_instance_norm_options options);
#define ito_instance_norm(...)                                                                     \
    ITO_AT(ITO_CALL_5(ito_instance_norm_with, ito_instance_norm_options, __VA_ARGS__, ))

/** What ito_local_response_norm takes besides a tensor. */
typedef struct ito_local_response_norm_options {
    int reserved_;
    double alpha ITO_DEFAULT(1e-4);
    double beta ITO_DEFAULT(0.75);
    double k ITO_DEFAULT(1);
} ito_local_response_norm_options;
#define ITO_DEFAULTS_ito_local_response_norm_options .alpha = 1e-4, .beta = 0.75, .k = 1

/** x / (k + alpha s / size)^beta with s the sum of x^2 over `size` channels about each, fewer at
 * the ends: ito_local_response_norm(x, 5), of x [N, C, L, ...]. ITO_ERR_ARGUMENT unless size is
 * positive. Source: Krizhevsky, Sutskever, Hinton 2012, NeurIPS 25, section 3.3. */
ITO_API ito_tensor *ito_local_response_norm_with(ito_tensor *x, int64_t size,
                                                 ito_local_response_norm_options options);
#define ito_local_response_norm(...)                                                               \
    ITO_AT(ITO_CALL_2(ito_local_response_norm_with, ito_local_response_norm_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
