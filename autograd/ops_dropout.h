/* Dropout of channels, and for networks that normalise themselves. The rules of ops.h hold:
 * results, dtypes, errors. As ito_dropout, all draw from g, which advances, and always drop: when
 * training is over, leave them out. p is in [0, 1), else ITO_ERR_RANGE; 0 gives a view and leaves g
 * alone.
 */
#ifndef ITO_OPS_DROPOUT_PUBLIC_H
#define ITO_OPS_DROPOUT_PUBLIC_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Each channel of [N, C, L] or [C, L] becomes 0 with probability p, else x / (1 - p) (Tompson et
 * al. 2015, arXiv:1411.4280). ITO_ERR_SHAPE for another number of axes. */
ITO_API ito_tensor *ito_dropout1d(ito_tensor *x, double p, ito_generator *g);
/** ito_dropout1d of the channels of [N, C, H, W]. Three axes are [N, C, L], as PyTorch takes them.
 */
ITO_API ito_tensor *ito_dropout2d(ito_tensor *x, double p, ito_generator *g);
/** ito_dropout1d of the channels of [N, C, D, H, W] or [C, D, H, W]. */
ITO_API ito_tensor *ito_dropout3d(ito_tensor *x, double p, ito_generator *g);
/** a x + b with probability 1 - p, else b - 1.758 a, where 1.758 is what SELU has as its bound and
 * a, b bring mean 0 and variance 1 back (Klambauer et al. 2017, arXiv:1706.02515, sec. 3). */
ITO_API ito_tensor *ito_alpha_dropout(ito_tensor *x, double p, ito_generator *g);
/** ito_alpha_dropout of whole channels of [N, C, ..]. */
ITO_API ito_tensor *ito_feature_alpha_dropout(ito_tensor *x, double p, ito_generator *g);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_alpha_dropout(...) ITO_AT(ito_alpha_dropout(__VA_ARGS__))
#define ito_dropout1d(...) ITO_AT(ito_dropout1d(__VA_ARGS__))
#define ito_dropout2d(...) ITO_AT(ito_dropout2d(__VA_ARGS__))
#define ito_dropout3d(...) ITO_AT(ito_dropout3d(__VA_ARGS__))
#define ito_feature_alpha_dropout(...) ITO_AT(ito_feature_alpha_dropout(__VA_ARGS__))
#endif

#endif
