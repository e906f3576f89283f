/* ONNX files of networks: the names and the mode of their modules. */
#include "nn/onnx.h"
#include "autograd/onnx/onnx.h"
#include "nn/registry.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_tensor *const *inputs, int64_t n, void *context)
{
    if (n != 1)
        return error_null(
            ITO_ERR_ARGUMENT,
            "onnx_save: a module's forward takes one input, not %" PRId64 ": give a function", n);
    return ito_module_forward(context, inputs[0]);
}

static ito_status save(onnx_request *r, ito_module *m)
{
    if (m == NULL)
        return onnx_export(r);
    ito_named_tensors *state = ito_module_state(m);
    bool *modes = state == NULL ? NULL : module_modes_evaluate(m);
    ito_status status = modes == NULL ? ITO_ERR_MEMORY : ITO_OK;
    if (status == ITO_OK) {
        r->named = state->tensors;
        r->names = state->names;
        r->n_named = state->n;
        status = onnx_export(r);
        module_modes_restore(m, modes);
    }
    ito_named_tensors_free(state);
    return status;
}

ito_status ito_onnx_save_with(const char *path, ito_function *f, void *context,
                              ito_tensor *const *inputs, int64_t n, ito_onnx_options o)
{
    bool whole = f == NULL && o.module != NULL;
    onnx_request r = {.path = path,
                      .f = whole ? forward : f,
                      .context = whole ? o.module : context,
                      .inputs = inputs,
                      .n = n,
                      .input_names = o.input_names,
                      .output_name = o.output_name != NULL ? o.output_name : "output",
                      .dynamic_batch = o.dynamic_batch,
                      .batch_axes = o.batch_axes,
                      .external = o.external};
    return save(&r, o.module);
}
