/* A graph as a file. Internal. */
#ifndef ITO_ONNX_WRITE_H
#define ITO_ONNX_WRITE_H

#include "autograd/onnx/graph.h"
#include "autograd/onnx/onnx.h"

/* Write g, which has been compared, under the names and to the file of the request. Nothing of it
 * is left on failure. */
ito_status onnx_write(const onnx_graph *g, const onnx_request *r);

#endif
