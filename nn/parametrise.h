/* Weights that are computed from other parameters: weight and spectral normalisation.
 *
 *     ito_conv2d_layer *conv = ito_conv2d_create(&m->base, "conv", 64, 64, 3, .generator = &g);
 *     ito_weight_norm(&conv->base);
 *
 * From then on the layer computes its weight whenever it runs. The parameters, and their names in
 * state dicts, are those of torch.nn.utils.parametrizations; files of the older hooks load with
 * renames: {"weight_g", "parametrizations.weight.original0"}, {"weight_v",
 * "parametrizations.weight.original1"}, {"weight_orig", "parametrizations.weight.original"},
 * {"weight_u", "parametrizations.weight.0._u"}, {"weight_v", "parametrizations.weight.0._v"}.
 *
 * Call these functions before the model is flattened, so before it has an optimiser or averages.
 * The pointers of a layer, conv->weight, stay what they were: the parameter that holds the
 * direction, or the original.
 */
#ifndef ITO_NN_PARAMETRISE_H
#define ITO_NN_PARAMETRISE_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to compute with in place of a parameter of m, which m's own forward function calls: the
 * value that a function below makes of it, of the current scope and differentiable, or parameter
 * itself. Layers call it for weights of two axes and more, but for the magnitude-preserving ones.
 * NULL for NULL, or an error of the computation. */
ITO_API ito_tensor *ito_module_value(const ito_module *m, ito_tensor *parameter);

/** Options of ito_weight_norm. */
typedef struct ito_weight_norm_options {
    int reserved_;
    const char *name; /* of the parameter, within its module; NULL: "weight" */
    /* The axis whose every index has a length of its own: 0, of the outputs. -1: one length for all
     * of the weight. */
    int dim;
} ito_weight_norm_options;
#define ITO_DEFAULTS_ito_weight_norm_options .reserved_ = 0

/**
 * weight = g v / |v|: length and direction are trained apart. The parameter becomes v,
 * "parametrizations.weight.original1", and g, "parametrizations.weight.original0", is the length
 * that it has now, so the value is what it was. A v of length 0 gives NaN.
 *
 * @param m  the module whose own parameter it is: &conv->base.
 * @return   ITO_ERR_ARGUMENT for a NULL, if m has no such parameter, and once the model is
 *           flattened; ITO_ERR_RANGE for the axis; ITO_ERR_MEMORY. Then nothing has changed.
 * Source: Salimans, Kingma 2016, arXiv:1602.07868, eq. (2).
 */
ITO_API ito_status ito_weight_norm_with(ito_module *m, ito_weight_norm_options options);
#define ito_weight_norm(...)                                                                       \
    ITO_AT(ITO_CALL_1(ito_weight_norm_with, ito_weight_norm_options, __VA_ARGS__, ))

/** Options of ito_spectral_norm. */
typedef struct ito_spectral_norm_options {
    int reserved_;
    const char *name; /* of the parameter, within its module; NULL: "weight" */
    int dim;          /* the axis that is the rows of the matrix; the others are its columns */
    int64_t n_power_iterations ITO_DEFAULT(1); /* for each forward in training mode; 1 or more */
    double eps ITO_DEFAULT(1e-12);             /* the least length that is divided by; above 0 */
    ito_generator *generator; /* draws the first u and v; NULL: all their elements are alike */
} ito_spectral_norm_options;
#define ITO_DEFAULTS_ito_spectral_norm_options .n_power_iterations = 1, .eps = 1e-12

/**
 * weight = w / sigma, sigma = u w v: w, "parametrizations.weight.original", divided by an estimate
 * of its largest singular value. u and v are buffers, "parametrizations.weight.0._u" and "..._v";
 * they begin with 15 power iterations, and each forward in training mode makes more. So in training
 * a forward is not a pure function: not inside ito_recompute.
 *
 * @param m  the module whose own parameter it is.
 * @return   ITO_ERR_ARGUMENT for a NULL, if m has no such parameter, and once the model is
 *           flattened; ITO_ERR_SHAPE for a weight with fewer than 2 axes; ITO_ERR_RANGE for the
 *           axis, the number of iterations and eps; ITO_ERR_MEMORY. Then nothing has changed.
 * Source: Miyato et al. 2018, arXiv:1802.05957, algorithm 1; u before v, as in PyTorch.
 */
ITO_API ito_status ito_spectral_norm_with(ito_module *m, ito_spectral_norm_options options);
#define ito_spectral_norm(...)                                                                     \
    ITO_AT(ITO_CALL_1(ito_spectral_norm_with, ito_spectral_norm_options, __VA_ARGS__, ))

/** Make a parameter plain again, under its first name, with the value that it has now: for
 * sampling, which then computes it no more. ITO_ERR_ARGUMENT for a NULL, unless a function above
 * was applied to the parameter, and once the model is flattened; ITO_ERR_MEMORY. */
ITO_API ito_status ito_remove_parametrisation(ito_module *m, const char *name);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_module_value(...) ITO_AT(ito_module_value(__VA_ARGS__))
#define ito_remove_parametrisation(...) ITO_AT(ito_remove_parametrisation(__VA_ARGS__))
#endif

#endif
