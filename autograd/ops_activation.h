/* Activations of networks, element by element unless said otherwise: see ops.h for what all
 * operations have in common. Names, arguments and defaults are those of torch.nn.functional.
 */
#ifndef ITO_OPS_ACTIVATION_H
#define ITO_OPS_ACTIVATION_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** max(x, 0). The gradient at 0 is 0. NaN stays NaN. */
ITO_API ito_tensor *ito_relu(ito_tensor *x);
/** min(max(x, 0), 6); the gradient at 0 and 6 is 0. */
ITO_API ito_tensor *ito_relu6(ito_tensor *x);
/** x sigmoid(x), also called swish (Elfwing, Uchibe, Doya 2017, arXiv:1702.03118). */
ITO_API ito_tensor *ito_silu(ito_tensor *x);
/** x tanh(softplus(x)) (Misra 2019, arXiv:1908.08681). */
ITO_API ito_tensor *ito_mish(ito_tensor *x);
/** x hardsigmoid(x) (Howard et al. 2019, arXiv:1905.02244). */
ITO_API ito_tensor *ito_hardswish(ito_tensor *x);
/** min(max(x + 3, 0), 6) / 6; the gradient at -3 and 3 is 0. */
ITO_API ito_tensor *ito_hardsigmoid(ito_tensor *x);
/** log(sigmoid(x)), without overflow. */
ITO_API ito_tensor *ito_logsigmoid(ito_tensor *x);
/** x - tanh(x). */
ITO_API ito_tensor *ito_tanhshrink(ito_tensor *x);
/** x / (1 + |x|). */
ITO_API ito_tensor *ito_softsign(ito_tensor *x);
/** 1.0507 x where x > 0, else 1.0507 1.6733 (e^x - 1) (Klambauer et al. 2017, arXiv:1706.02515). */
ITO_API ito_tensor *ito_selu(ito_tensor *x);
/** x where x > threshold, and where it is NaN, else value. */
ITO_API ito_tensor *ito_threshold(ito_tensor *x, double threshold, double value);
/** x where x > 0, else weight x (He et al. 2015, arXiv:1502.01852). weight is one number, or [C],
 * one for each channel of x [N, C, ...]. */
ITO_API ito_tensor *ito_prelu(ito_tensor *x, ito_tensor *weight);
/** softmax(-x) along axis. */
ITO_API ito_tensor *ito_softmin(ito_tensor *x, int axis);

/** How gelu computes the normal distribution function. */
typedef enum ito_gelu_approximation {
    ITO_GELU_EXACT, /* by the error function */
    ITO_GELU_TANH   /* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
} ito_gelu_approximation;

/** What ito_gelu takes besides x. */
typedef struct ito_gelu_options {
    int reserved_;
    ito_gelu_approximation approximate ITO_DEFAULT(ITO_GELU_EXACT);
} ito_gelu_options;
#define ITO_DEFAULTS_ito_gelu_options .approximate = ITO_GELU_EXACT

/** x Phi(x) with the normal distribution function Phi: ito_gelu(x), ito_gelu(x, .approximate =
 * ITO_GELU_TANH) (Hendrycks, Gimpel 2016, arXiv:1606.08415). */
ITO_API ito_tensor *ito_gelu_with(ito_tensor *x, ito_gelu_options options);
#define ito_gelu(...) ITO_AT(ITO_CALL_1(ito_gelu_with, ito_gelu_options, __VA_ARGS__, ))

/** What ito_softplus takes besides x. */
typedef struct ito_softplus_options {
    int reserved_;
    double beta ITO_DEFAULT(1);
    double threshold ITO_DEFAULT(20); /* of beta x, above which the result is x; INFINITY: none */
} ito_softplus_options;
#define ITO_DEFAULTS_ito_softplus_options .beta = 1, .threshold = 20

/** log(1 + exp(beta x)) / beta, without overflow: ito_softplus(x, .beta = 2). */
ITO_API ito_tensor *ito_softplus_with(ito_tensor *x, ito_softplus_options options);
#define ito_softplus(...) ITO_AT(ITO_CALL_1(ito_softplus_with, ito_softplus_options, __VA_ARGS__, ))

/** What ito_leaky_relu takes besides x. */
typedef struct ito_leaky_relu_options {
    int reserved_;
    double negative_slope ITO_DEFAULT(0.01);
} ito_leaky_relu_options;
#define ITO_DEFAULTS_ito_leaky_relu_options .negative_slope = 0.01

/** x where x > 0, else negative_slope x: ito_leaky_relu(x, .negative_slope = 0.2). */
ITO_API ito_tensor *ito_leaky_relu_with(ito_tensor *x, ito_leaky_relu_options options);
#define ito_leaky_relu(...)                                                                        \
    ITO_AT(ITO_CALL_1(ito_leaky_relu_with, ito_leaky_relu_options, __VA_ARGS__, ))

/** What ito_elu takes besides x. */
typedef struct ito_elu_options {
    int reserved_;
    double alpha ITO_DEFAULT(1);
} ito_elu_options;
#define ITO_DEFAULTS_ito_elu_options .alpha = 1

/** x where x > 0, else alpha (e^x - 1): ito_elu(x, .alpha = 0.7) (Clevert, Unterthiner, Hochreiter
 * 2015, arXiv:1511.07289). */
ITO_API ito_tensor *ito_elu_with(ito_tensor *x, ito_elu_options options);
#define ito_elu(...) ITO_AT(ITO_CALL_1(ito_elu_with, ito_elu_options, __VA_ARGS__, ))

/** What ito_celu takes besides x. */
typedef struct ito_celu_options {
    int reserved_;
    double alpha ITO_DEFAULT(1);
} ito_celu_options;
#define ITO_DEFAULTS_ito_celu_options .alpha = 1

/** x where x > 0, else alpha (e^(x / alpha) - 1): ito_celu(x, .alpha = 2) (Barron 2017,
 * arXiv:1704.07483). ITO_ERR_ARGUMENT for an alpha of 0. */
ITO_API ito_tensor *ito_celu_with(ito_tensor *x, ito_celu_options options);
#define ito_celu(...) ITO_AT(ITO_CALL_1(ito_celu_with, ito_celu_options, __VA_ARGS__, ))

/** What ito_hardtanh takes besides x. */
typedef struct ito_hardtanh_options {
    int reserved_;
    double min_val ITO_DEFAULT(-1);
    double max_val ITO_DEFAULT(1);
} ito_hardtanh_options;
#define ITO_DEFAULTS_ito_hardtanh_options .min_val = -1, .max_val = 1

/** min(max(x, min_val), max_val); the gradient at either is 0. ITO_ERR_ARGUMENT unless min_val <
 * max_val. */
ITO_API ito_tensor *ito_hardtanh_with(ito_tensor *x, ito_hardtanh_options options);
#define ito_hardtanh(...) ITO_AT(ITO_CALL_1(ito_hardtanh_with, ito_hardtanh_options, __VA_ARGS__, ))

/** What ito_softshrink takes besides x. */
typedef struct ito_softshrink_options {
    int reserved_;
    double lambd ITO_DEFAULT(0.5); /* 0 or more */
} ito_softshrink_options;
#define ITO_DEFAULTS_ito_softshrink_options .lambd = 0.5

/** x less lambd where x > lambd, x + lambd where x < -lambd, else 0. ITO_ERR_ARGUMENT for a lambd
 * below 0. */
ITO_API ito_tensor *ito_softshrink_with(ito_tensor *x, ito_softshrink_options options);
#define ito_softshrink(...)                                                                        \
    ITO_AT(ITO_CALL_1(ito_softshrink_with, ito_softshrink_options, __VA_ARGS__, ))

/** What ito_hardshrink takes besides x. */
typedef struct ito_hardshrink_options {
    int reserved_;
    double lambd ITO_DEFAULT(0.5); /* 0 or more */
} ito_hardshrink_options;
#define ITO_DEFAULTS_ito_hardshrink_options .lambd = 0.5

/** x where |x| > lambd, else 0. ITO_ERR_ARGUMENT for a lambd below 0. */
ITO_API ito_tensor *ito_hardshrink_with(ito_tensor *x, ito_hardshrink_options options);
#define ito_hardshrink(...)                                                                        \
    ITO_AT(ITO_CALL_1(ito_hardshrink_with, ito_hardshrink_options, __VA_ARGS__, ))

/** What ito_glu takes besides x. */
typedef struct ito_glu_options {
    int reserved_;
    int dim ITO_DEFAULT(-1);
} ito_glu_options;
#define ITO_DEFAULTS_ito_glu_options .dim = -1

/** a sigmoid(b) of the two halves of x along .dim, which becomes half as long (Dauphin et al. 2016,
 * arXiv:1612.08083). ITO_ERR_SHAPE for an odd size. */
ITO_API ito_tensor *ito_glu_with(ito_tensor *x, ito_glu_options options);
#define ito_glu(...) ITO_AT(ITO_CALL_1(ito_glu_with, ito_glu_options, __VA_ARGS__, ))
/** a gelu(b) of the two halves, as ito_glu (Shazeer 2020, arXiv:2002.05202; the gate is the second
 * half, as in glu and in diffusers). */
ITO_API ito_tensor *ito_geglu_with(ito_tensor *x, ito_glu_options options);
#define ito_geglu(...) ITO_AT(ITO_CALL_1(ito_geglu_with, ito_glu_options, __VA_ARGS__, ))
/** a silu(b) of the two halves, as ito_geglu. */
ITO_API ito_tensor *ito_swiglu_with(ito_tensor *x, ito_glu_options options);
#define ito_swiglu(...) ITO_AT(ITO_CALL_1(ito_swiglu_with, ito_glu_options, __VA_ARGS__, ))

/* ---- as functions ---- */

/* Those above with options are also functions of x alone, with the defaults: for what takes an
 * activation, as ito_activation_create(parent, name, ito_gelu) does. */
/** ito_gelu_with(x, the defaults). */
ITO_API ito_tensor *(ito_gelu)(ito_tensor *x);
/** ito_softplus_with(x, the defaults). */
ITO_API ito_tensor *(ito_softplus)(ito_tensor *x);
/** ito_leaky_relu_with(x, the defaults). */
ITO_API ito_tensor *(ito_leaky_relu)(ito_tensor *x);
/** ito_elu_with(x, the defaults). */
ITO_API ito_tensor *(ito_elu)(ito_tensor *x);
/** ito_celu_with(x, the defaults). */
ITO_API ito_tensor *(ito_celu)(ito_tensor *x);
/** ito_hardtanh_with(x, the defaults). */
ITO_API ito_tensor *(ito_hardtanh)(ito_tensor *x);
/** ito_softshrink_with(x, the defaults). */
ITO_API ito_tensor *(ito_softshrink)(ito_tensor *x);
/** ito_hardshrink_with(x, the defaults). */
ITO_API ito_tensor *(ito_hardshrink)(ito_tensor *x);
/** ito_glu_with(x, the defaults). */
ITO_API ito_tensor *(ito_glu)(ito_tensor *x);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_hardsigmoid(...) ITO_AT(ito_hardsigmoid(__VA_ARGS__))
#define ito_hardswish(...) ITO_AT(ito_hardswish(__VA_ARGS__))
#define ito_logsigmoid(...) ITO_AT(ito_logsigmoid(__VA_ARGS__))
#define ito_mish(...) ITO_AT(ito_mish(__VA_ARGS__))
#define ito_prelu(...) ITO_AT(ito_prelu(__VA_ARGS__))
#define ito_relu(...) ITO_AT(ito_relu(__VA_ARGS__))
#define ito_relu6(...) ITO_AT(ito_relu6(__VA_ARGS__))
#define ito_selu(...) ITO_AT(ito_selu(__VA_ARGS__))
#define ito_silu(...) ITO_AT(ito_silu(__VA_ARGS__))
#define ito_softmin(...) ITO_AT(ito_softmin(__VA_ARGS__))
#define ito_softsign(...) ITO_AT(ito_softsign(__VA_ARGS__))
#define ito_tanhshrink(...) ITO_AT(ito_tanhshrink(__VA_ARGS__))
#define ito_threshold(...) ITO_AT(ito_threshold(__VA_ARGS__))
#endif

#endif
