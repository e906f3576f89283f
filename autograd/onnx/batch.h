/* Two runs of one function compared. Internal. */
#ifndef ITO_ONNX_BATCH_H
#define ITO_ONNX_BATCH_H

#include "autograd/onnx/graph.h"

/* Note in g which of its numbers depend on the batch: it was run with a batch of `batch`, and other
 * with one of `other_batch` and other values. Both batches are 0 if there is none, and then nothing
 * may differ. False, with an error that names an operation and its place, for what the runs do not
 * agree in, and for operations without a form. */
bool onnx_compare(onnx_graph *g, onnx_graph *other, int64_t batch, int64_t other_batch);

#endif
