/* From a function to a file: examples of two batches, a run with each, and what they have in
 * common. */
#include "autograd/onnx/batch.h"
#include "autograd/onnx/onnx.h"
#include "autograd/onnx/trace.h"
#include "autograd/onnx/write.h"
#include "autograd/ops.h"
#include "autograd/transforms.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, OTHER_BATCH = 3 };

/* ---- examples ----------------------------------------------------------------------------------
 */

int onnx_batch_axis(const onnx_request *r, int64_t i)
{
    const ito_tensor *x = r->inputs[i];
    int axis = r->batch_axes != NULL ? r->batch_axes[i] : x->ndim > 0 ? 0 : ITO_NO_AXIS;
    if (!r->dynamic_batch || axis == ITO_NO_AXIS)
        return -1;
    return axis < 0 ? axis + x->ndim : axis;
}

/* `batch` entries of x from number `first` on, over again from the start. */
static ito_tensor *entries(ito_tensor *x, int axis, int64_t batch, int64_t first)
{
    ito_tensor *index = tensor_empty(ITO_SHAPE(batch), ITO_I64);
    if (index == NULL)
        return NULL;
    for (int64_t i = 0; i < batch; i++)
        ((int64_t *)tensor_data(index))[i] = (first + i) % x->shape[axis];
    return ito_index_select(x, axis, index);
}

/* Other values that a function which takes x should take as well: nearer to 0. */
static ito_tensor *varied(ito_tensor *x)
{
    if (x == NULL)
        return NULL;
    if (ito_dtype_is_float(x->dtype))
        return x->dtype == ITO_F16 ? x : ito_mul_scalar(x, 0.75);
    ito_tensor *zero = ito_zeros_like(x);
    return x->dtype == ITO_BOOL ? ito_eq(x, zero) : ito_sub(x, ito_cast(ito_gt(x, zero), x->dtype));
}

static bool make_examples(const onnx_request *r, int64_t batch, bool vary, ito_tensor **to)
{
    for (int64_t i = 0; i < r->n; i++) {
        int axis = onnx_batch_axis(r, i);
        to[i] = axis < 0 ? r->inputs[i] : entries(r->inputs[i], axis, batch, vary);
        to[i] = vary ? varied(to[i]) : to[i];
        if (to[i] == NULL)
            return false;
    }
    return true;
}

/* ---- what is asked for -------------------------------------------------------------------------
 */

static bool has_batch(const onnx_request *r)
{
    for (int64_t i = 0; i < r->n; i++)
        if (onnx_batch_axis(r, i) >= 0)
            return true;
    return false;
}

static bool check_input(const onnx_request *r, int64_t i)
{
    const ito_tensor *x = r->inputs[i];
    int axis = r->batch_axes != NULL ? r->batch_axes[i] : 0;
    if (r->dynamic_batch && r->batch_axes != NULL && axis != ITO_NO_AXIS &&
        axis_normalize("onnx_save", axis, x->ndim) < 0)
        return false;
    axis = onnx_batch_axis(r, i);
    if (axis >= 0 && x->shape[axis] == 0)
        return error_false(ITO_ERR_SHAPE, "onnx_save: input %" PRId64 " %s has an empty batch", i,
                           tensor_shape_str(x));
    return true;
}

const char *onnx_input_name(const onnx_request *r, int64_t i, char room[32])
{
    if (r->input_names != NULL)
        return r->input_names[i];
    snprintf(room, 32, r->n == 1 ? "input" : "input_%" PRId64, i);
    return room;
}

static bool name_is_free(const onnx_request *r, const char *name, int64_t before)
{
    char room[32];
    bool taken = name == NULL || name[0] == '\0' || name[0] == '/';
    for (int64_t i = 0; i < before && !taken; i++)
        taken = strcmp(onnx_input_name(r, i, room), name) == 0;
    for (int64_t i = 0; i < r->n_named && !taken; i++)
        taken = strcmp(r->names[i], name) == 0;
    return !taken || error_false(ITO_ERR_ARGUMENT,
                                 "onnx_save: the name \"%s\" is empty, begins with a slash, or is "
                                 "that of a parameter or of another input",
                                 name == NULL ? "" : name);
}

static bool check(const onnx_request *r)
{
    char room[32];
    if (r->path == NULL || r->f == NULL || (r->n > 0 && r->inputs == NULL))
        return error_false(ITO_ERR_ARGUMENT, "onnx_save: it takes a path, a function and inputs");
    for (int64_t i = 0; i < r->n; i++) {
        if (r->inputs[i] == NULL)
            return error_missing("onnx_save", "an input"), false;
        if (!check_input(r, i) || !name_is_free(r, onnx_input_name(r, i, room), i))
            return false;
    }
    return name_is_free(r, r->output_name, r->n);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static ito_status trace(const onnx_request *r, bool vary, ito_tensor **room, onnx_graph *g)
{
    ito_scope_begin();
    ito_status status = make_examples(r, vary ? OTHER_BATCH : BATCH, vary, room)
                            ? onnx_trace(g, r->f, r->context, room, r->n)
                            : ito_error_code();
    ito_scope_end();
    return status;
}

ito_status onnx_export(const onnx_request *r)
{
    if (!check(r))
        return ito_error_code();
    onnx_graph g = {0}, other = {0};
    ito_tensor **room = struct_alloc((size_t)(r->n + 1) * sizeof *room);
    ito_status status = room == NULL ? ITO_ERR_MEMORY : trace(r, false, room, &g);
    if (status == ITO_OK)
        status = trace(r, true, room, &other);
    bool batched = has_batch(r);
    if (status == ITO_OK &&
        !onnx_compare(&g, &other, batched ? BATCH : 0, batched ? OTHER_BATCH : 0))
        status = ito_error_code();
    if (status == ITO_OK)
        status = onnx_write(&g, r);
    free(room);
    onnx_graph_free(&g);
    onnx_graph_free(&other);
    return status;
}
