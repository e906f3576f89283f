/* Writing a network as an ONNX file, which other runtimes run.
 *
 * A function is run and watched: each operation of the library whose result depends on an input
 * becomes operators of ONNX (opset 17); all else is a constant, and parameters are constants under
 * their names. docs/interchange.md says what each operation becomes, and which have no form there.
 */
#ifndef ITO_NN_ONNX_H
#define ITO_NN_ONNX_H

#include "../autograd/transforms.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What ito_onnx_save takes. Lists are borrowed. */
typedef struct ito_onnx_options {
    int reserved_;
    /** Its parameters and buffers keep their names, and it is run in evaluation mode, as are all
     * below it; their modes come back afterwards. NULL: constants have numbers. */
    ito_module *module;
    const char *const *input_names; /* [n]; NULL: "input", or "input_0", "input_1", ... */
    const char *output_name;        /* NULL: "output" */
    /** The batch may be of any size: the graph is made from runs with 2 and with 3 of the examples'
     * entries. Otherwise all sizes are those of the examples. */
    bool dynamic_batch ITO_DEFAULT(true);
    /** [n] The axis of each input along which the batch lies, or ITO_NO_AXIS; NULL: 0. */
    const int *batch_axes;
    bool external; /* tensors of 1 KiB and more go into a file beside, PATH.data */
} ito_onnx_options;
#define ITO_DEFAULTS_ito_onnx_options .dynamic_batch = true

/**
 * Write f as an ONNX file:
 *     ito_onnx_save("net.onnx", f, net, &x, 1, .module = &net->base)
 *
 * f is run twice without history, the second time with other values (floats times 0.75, positive
 * integers less 1, bool negated): what differs then without an operation that made it so is
 * refused, since a file has one graph for all inputs.
 *
 * @param f        of the inputs; NULL: the forward function of .module, of one input.
 * @param context  handed to f.
 * @param inputs   [n] examples: shapes, dtypes and values that f takes.
 * @return  ITO_ERR_ARGUMENT for what has no form in ONNX or is not the same for all inputs, with
 * the operation and the place where it was called; for a name that is empty, begins with a slash or
 * is taken; for a file above 2 GiB without .external; ITO_ERR_SHAPE for an empty batch;
 * ITO_ERR_RANGE for a batch axis that does not exist; f's own errors; ITO_ERR_IO, ITO_ERR_MEMORY.
 * Then no file has changed.
 */
ITO_API ito_status ito_onnx_save_with(const char *path, ito_function *f, void *context,
                                      ito_tensor *const *inputs, int64_t n,
                                      ito_onnx_options options);
#define ito_onnx_save(...) ITO_AT(ITO_CALL_5(ito_onnx_save_with, ito_onnx_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
