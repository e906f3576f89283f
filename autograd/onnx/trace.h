/* A run of a function under observation, as an ONNX graph. Internal. */
#ifndef ITO_ONNX_TRACE_H
#define ITO_ONNX_TRACE_H

#include "autograd/onnx/graph.h"

/* f(inputs), put down in g, which is fresh. */
ito_status onnx_trace(onnx_graph *g, ito_function *f, void *context, ito_tensor *const *inputs,
                      int64_t n);

#endif
