/* Pairs of data and noise by optimal transport: which noise of a batch goes to which example. Paths
 * between them cross less often than those of pairs by chance, so a flow that learns them is
 * straighter.
 *
 *     ito_tensor *eps = ito_randn_like(&g, x_0);
 *     eps = ito_index_select(eps, 0, ito_ot_pairing(x_0, eps));
 *     ito_tensor *losses = ito_diffusion_losses(flow, network, x_0, t, eps);
 */
#ifndef ITO_DDPM_PAIRING_H
#define ITO_DDPM_PAIRING_H

#include "../../../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The assignment of columns to rows, each to one, whose costs have the least sum; exact, in O(N^3)
 * (scipy.optimize.linear_sum_assignment).
 *
 * @param cost  [N, N] f32 or f64, finite.
 * @return      [N] i64, the column of each row; one of the best if several are. NULL on error:
 *              ITO_ERR_SHAPE, ITO_ERR_DTYPE, ITO_ERR_NUMERIC for a cost that is not finite.
 * Source: Jonker, Volgenant 1987, A shortest augmenting path algorithm; Crouse 2016, On
 * implementing 2D rectangular assignment algorithms.
 */
ITO_API ito_tensor *ito_linear_assignment(const ito_tensor *cost);

/**
 * Optimal transport within a batch: the noise of each example, such that the sum of their squared
 * distances is the least. What law the noise has makes no difference: it may be other data.
 *
 * @param x_0    [N, ...] f32 or f64.
 * @param noise  of x_0's shape and dtype.
 * @return       [N] i64: noise number index[i] goes to example i. Errors as above.
 * Source: Pooladian et al. 2023, arXiv:2304.14772; Tong et al. 2023, arXiv:2302.00482.
 */
ITO_API ito_tensor *ito_ot_pairing(ito_tensor *x_0, ito_tensor *noise);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_linear_assignment(...) ITO_AT(ito_linear_assignment(__VA_ARGS__))
#define ito_ot_pairing(...) ITO_AT(ito_ot_pairing(__VA_ARGS__))
#endif

#endif
