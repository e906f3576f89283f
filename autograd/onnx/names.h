/* What values are called. Internal. */
#ifndef ITO_ONNX_NAMES_H
#define ITO_ONNX_NAMES_H

#include "autograd/onnx/graph.h"
#include "autograd/onnx/onnx.h"

enum { ONNX_NAME = 160 };

/* The name of v, perhaps in room; "" for none. */
const char *onnx_name(const onnx_graph *g, const onnx_request *r, onnx_value v,
                      char room[ONNX_NAME]);
/* The first value that is the same list of numbers, which stands for all of them; else v. */
onnx_value onnx_first_of(const onnx_graph *g, onnx_value v);
/* Whether a constant depends on the batch. */
bool onnx_is_repeated(const onnx_slot *s);

#endif
