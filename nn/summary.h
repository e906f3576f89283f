/* A summary of a model: a line for each layer, in the order in which a forward pass first uses
 * them, with the shape of its result, its parameters, its work and its memory.
 *
 *     ito_tensor *x = ito_zeros(ITO_SHAPE(1, 3, 32, 32), ITO_F32);
 *     ito_module_summary(&net->base, x, stdout);
 */
#ifndef ITO_NN_SUMMARY_H
#define ITO_NN_SUMMARY_H

#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a summary adds up to. */
typedef struct ito_summary_totals {
    int64_t parameters;      /* elements; shared ones once */
    int64_t trainable;       /* those that are not frozen */
    int64_t parameter_bytes; /* of the parameters */
    int64_t result_bytes;    /* of all results of the forward pass, views not counted */
    double flops;            /* of the forward pass: see ito_module_summary */
} ito_summary_totals;

/** Options of ito_module_summary. */
typedef struct ito_summary_options {
    int reserved_;
    /* Runs the model once, in place of ito_module_forward(m, x): for one with several inputs. x and
     * context are handed on. NULL on error. */
    ito_tensor *(*forward)(ito_module *m, ito_tensor *x, void *context);
    void *context;
    ito_summary_totals *totals; /* receives the sums; NULL: none */
} ito_summary_options;
#define ITO_DEFAULTS_ito_summary_options .reserved_ = 0

/**
 * Run a forward pass, in evaluation mode and without history, and write its summary:
 * ito_module_summary(m, x, stdout).
 *
 * A line belongs to a module with parameters of its own, and has the last operation that combines
 * these with other data, with the shape of its result. Operations without parameters (activations,
 * attention, sums) follow, a line for each kind. Multiplications and additions count one each:
 * 2 M N K for a product of matrices, and likewise for linear layers, convolutions and attention;
 * everything else counts one for each element that it makes.
 *
 * @param x        the input, borrowed; may be NULL with .forward.
 * @param to       where it is written; NULL: nowhere, for .totals.
 * @return         the errors of the forward pass; ITO_ERR_ARGUMENT for a NULL, ITO_ERR_IO if it
 *                 cannot be written, ITO_ERR_MEMORY. Modes are as they were, after an error too.
 */
ITO_API ito_status ito_module_summary_with(ito_module *m, ito_tensor *x, FILE *to,
                                           ito_summary_options options);
#define ito_module_summary(...)                                                                    \
    ITO_AT(ITO_CALL_3(ito_module_summary_with, ito_summary_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
