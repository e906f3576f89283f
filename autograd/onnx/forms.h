/* What each operation of the library is in ONNX: the table forms.def as C. Internal. */
#ifndef ITO_ONNX_FORMS_H
#define ITO_ONNX_FORMS_H

#include "autograd/onnx/graph.h"

/* The value of the call, whose result out is known. in[i] is 0 where c->in[i] is NULL; bf16 inputs
 * have been cast, and c->dtype[i] is then f32. */
typedef onnx_value onnx_form_fn(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out);

/* One of the four. */
typedef struct onnx_form {
    const char *type;          /* one operator, of the same inputs */
    onnx_form_fn *form;        /* some operators */
    op_composite_fn *composed; /* other operations, which have forms */
    const char *refusal;       /* there is none: why */
} onnx_form;

extern const onnx_form onnx_forms[OP_COUNT];

#define ONNX_AS(op, type)
#define ONNX_FORM(op, operators) onnx_form_fn onnx_form_##op;
#define ONNX_MADE(op, operators) op_composite_fn onnx_made_##op;
#define ONNX_COMPOSITE(op, operators)
#define ONNX_NONE(op, why)
#include "autograd/onnx/forms.def"
#undef ONNX_AS
#undef ONNX_FORM
#undef ONNX_MADE
#undef ONNX_COMPOSITE
#undef ONNX_NONE

#endif
