/* Averages of any width, chosen after training: snapshots of averages of a few widths, taken now
 * and then, and a combination of them that is close to the average of another width.
 *
 *     ito_ema *narrow = ito_ema_create(model, .sigma_rel = 0.05);
 *     ito_ema *wide = ito_ema_create(model, .sigma_rel = 0.10);
 *     ... each step: ito_optimizer_step(opt, lr, .ema = narrow); ito_ema_update(wide);
 *     ... now and then: ito_ema_snapshot(narrow, dir); ito_ema_snapshot(wide, dir);
 *     ... afterwards: ito_ema_reconstruct(model, dir, 0.137);
 *
 * A checkpoint has one of them; the other's tensors (ito_ema_state) go with the caller's own, and
 * its number of updates is that of the first.
 *
 * Two widths and some dozens of snapshots give what a direct average would have been to less than a
 * percent of it, for widths from the narrowest up.
 * Source: Karras et al. 2023, arXiv:2312.02696 (EDM2), section 3 and appendix C.
 */
#ifndef ITO_NN_POSTHOC_H
#define ITO_NN_POSTHOC_H

#include "ema.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Options of ito_ema_snapshot. */
typedef struct ito_ema_snapshot_options {
    int reserved_;
    bool bf16; /* rounded to bf16: half the size, and an error of 0.2 % */
} ito_ema_snapshot_options;
#define ITO_DEFAULTS_ito_ema_snapshot_options .reserved_ = 0

/**
 * Write the averages to DIR/sigma-<sigma_rel>-update-<updates>.safetensors: a state dict of the
 * parameters, with both numbers as metadata. DIR is made if it does not exist; its parent must.
 *
 * @param ema  created with .sigma_rel and updated at least once, not swapped.
 * @return     ITO_ERR_ARGUMENT for other averages or a NULL; ITO_ERR_IO, ITO_ERR_MEMORY. An older
 *             file of that name is untouched on failure.
 */
ITO_API ito_status ito_ema_snapshot_with(const ito_ema *ema, const char *dir,
                                         ito_ema_snapshot_options options);
#define ito_ema_snapshot(...)                                                                      \
    ITO_AT(ITO_CALL_2(ito_ema_snapshot_with, ito_ema_snapshot_options, __VA_ARGS__, ))

/** Options of ito_ema_reconstruct. */
typedef struct ito_ema_reconstruct_options {
    int reserved_;
    int64_t
        updates ITO_DEFAULT(-1); /* 1 or more: when the average ends; -1: at the last snapshot */
} ito_ema_reconstruct_options;
#define ITO_DEFAULTS_ito_ema_reconstruct_options .updates = -1

/**
 * Set the model's parameters to the average of width sigma_rel: the combination of all snapshots in
 * DIR that were made up to then whose weights in time come nearest to it, by least squares.
 *
 * @param sigma_rel  in (0, 0.288]: the standard deviation of the average's weights in time over the
 *                   length of the training.
 * @return           ITO_ERR_RANGE for sigma_rel or updates; ITO_ERR_ARGUMENT if there is no such
 *                   snapshot, or for a NULL; ITO_ERR_FORMAT and ITO_ERR_SHAPE for a snapshot of
 *                   another model; ITO_ERR_IO, ITO_ERR_MEMORY. Then nothing has changed.
 * Source: EDM2, appendix C.3.
 */
ITO_API ito_status ito_ema_reconstruct_with(ito_module *model, const char *dir, double sigma_rel,
                                            ito_ema_reconstruct_options options);
#define ito_ema_reconstruct(...)                                                                   \
    ITO_AT(ITO_CALL_3(ito_ema_reconstruct_with, ito_ema_reconstruct_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
