/* Writing a function as an ONNX file; nn/onnx.h is the public face. Internal. */
#ifndef ITO_AUTOGRAD_ONNX_H
#define ITO_AUTOGRAD_ONNX_H

#include "autograd/autograd.h"

typedef struct onnx_request {
    const char *path;
    ito_function *f;
    void *context;
    ito_tensor *const *inputs; /* [n] examples */
    int64_t n;
    const char *const *input_names; /* [n], or NULL */
    const char *output_name;
    ito_tensor *const *named; /* [n_named] parameters and their names */
    const char *const *names;
    int64_t n_named;
    bool dynamic_batch;
    const int *batch_axes; /* [n], or NULL: axis 0 of each that has axes */
    bool external;
} onnx_request;

/* The axis of input i along which the batch lies, or -1. */
int onnx_batch_axis(const onnx_request *r, int64_t i);
/* What input i is called, perhaps in room. */
const char *onnx_input_name(const onnx_request *r, int64_t i, char room[32]);

ito_status onnx_export(const onnx_request *r);

#endif
