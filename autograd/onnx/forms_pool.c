/* Pools and enlargement. */
#include "autograd/onnx/forms.h"
#include "autograd/ops/max_pool.h"
#include "autograd/ops/params.h"

#include <string.h>

onnx_value onnx_form_avg_pool2d(onnx_graph *g, const op_call *c, const onnx_value *in,
                                const ito_tensor *out)
{
    (void)out;
    const pool_params *p = c->params;
    const onnx_list size = ONNX_INTS_OF(p->size, p->size);
    onnx_value y =
        onnx_op(g, "AveragePool", (in[0]), ONNX_L("kernel_shape", size), ONNX_L("strides", size));
    double factor = p->factor * (double)(p->size * p->size);
    return factor == 1 ? y : onnx_op(g, "Mul", (y, onnx_number(g, factor, c->dtype[0])));
}

onnx_value onnx_form_upsample_nearest2d(onnx_graph *g, const op_call *c, const onnx_value *in,
                                        const ito_tensor *out)
{
    (void)out;
    const pool_params *p = c->params;
    ito_scope_begin();
    ito_tensor *scales = tensor_empty(ITO_SHAPE(4), ITO_F32);
    g->failed = g->failed || scales == NULL;
    for (int i = 0; i < 4 && scales != NULL; i++)
        ((float *)tensor_data(scales))[i] = i < 2 ? 1.0f : (float)p->size;
    onnx_value by = scales == NULL ? 0 : onnx_tensor(g, scales);
    ito_scope_end();
    onnx_value y = onnx_op(g, "Resize", (in[0], 0, by), ONNX_S("mode", "nearest"),
                           ONNX_S("coordinate_transformation_mode", "asymmetric"),
                           ONNX_S("nearest_mode", "floor"));
    return p->factor == 1 ? y : onnx_op(g, "Mul", (y, onnx_number(g, p->factor, c->dtype[0])));
}

/* ---- places of the largest elements ------------------------------------------------------------
 */

/* Places count within all of x there, within a channel here. */
static onnx_value by_windows(onnx_graph *g, const op_call *c, onnx_value x)
{
    const window_axes *w = c->params;
    int n = c->shape[0].ndim - 2;
    int64_t pixels = 1;
    onnx_list kernel = {.n = n}, stride = kernel, dilation = kernel, pads = {.n = 2 * n};
    for (int i = 0; i < n; i++) {
        int64_t size = c->shape[0].dim[2 + i];
        int64_t end = window_first(w, i, w->out[i] - 1) + (w->kernel[i] - 1) * w->dilation[i] + 1;
        kernel.at[i] = w->kernel[i];
        stride.at[i] = w->stride[i];
        dilation.at[i] = w->dilation[i];
        pads.at[i] = w->padding[i];
        pads.at[n + i] = end > size ? end - size : 0;
        pixels *= size;
    }
    onnx_value y =
        onnx_op2(g, "MaxPool", (x), ONNX_L("kernel_shape", kernel), ONNX_L("strides", stride),
                 ONNX_L("dilations", dilation), ONNX_L("pads", pads));
    return y == 0 ? 0 : onnx_op(g, "Mod", (y + 1, onnx_number(g, (double)pixels, ITO_I64)));
}

/* The pixels of an adaptive pool's cell, row by row, to place; how many there are. */
static int64_t cell(const int64_t *size, const int64_t *count, int n, int64_t number,
                    int64_t *place)
{
    int64_t from[SPATIAL_AXES], to[SPATIAL_AXES], pixels = 1, rest = number;
    for (int i = n - 1; i >= 0; i--) {
        spatial_cell(rest % count[i], size[i], count[i], &from[i], &to[i]);
        rest /= count[i];
        pixels *= to[i] - from[i];
    }
    for (int64_t k = 0; k < pixels && place != NULL; k++) {
        int64_t step = 1;
        rest = k;
        place[k] = 0;
        for (int i = n - 1; i >= 0; i--) {
            place[k] += (from[i] + rest % (to[i] - from[i])) * step;
            rest /= to[i] - from[i];
            step *= size[i];
        }
    }
    return pixels;
}

/* i64 [cells, most], a cell's first pixel over again where it has fewer. */
static ito_tensor *cells_of(const int64_t *size, const int64_t *count, int n)
{
    int64_t cells = 1, most = 0;
    for (int i = 0; i < n; i++)
        cells *= count[i];
    for (int64_t o = 0; o < cells; o++) {
        int64_t pixels = cell(size, count, n, o, NULL);
        most = pixels > most ? pixels : most;
    }
    ito_tensor *table = tensor_empty(ITO_SHAPE(cells, most), ITO_I64);
    if (table == NULL)
        return NULL;
    for (int64_t o = 0; o < cells; o++) {
        int64_t *place = (int64_t *)tensor_data(table) + o * most;
        for (int64_t k = cell(size, count, n, o, place); k < most; k++)
            place[k] = place[0];
    }
    return table;
}

static onnx_value by_cells(onnx_graph *g, const op_call *c, onnx_value x, const ito_tensor *out)
{
    const window_axes *w = c->params;
    const int64_t *size = c->shape[0].dim + 2;
    int n = c->shape[0].ndim - 2;
    onnx_value y = 0;
    ito_scope_begin();
    ito_tensor *table = cells_of(size, w->out, n);
    ito_tensor *begin =
        table == NULL ? NULL
                      : ito_arange(0, (double)ito_numel(table), (double)table->shape[1], ITO_I64);
    g->failed = g->failed || begin == NULL;
    if (begin != NULL) {
        ito_shape lines = ITO_SHAPE(c->shape[0].dim[0], c->shape[0].dim[1], 1);
        for (int i = 0; i < n; i++)
            lines.dim[2] *= size[i];
        onnx_value cells = onnx_op(g, "Gather", (onnx_reshape(g, x, lines), onnx_tensor(g, table)),
                                   ONNX_I("axis", 2));
        onnx_value best = onnx_op(g, "ArgMax", (cells), ONNX_I("axis", 3), ONNX_I("keepdims", 0));
        best = onnx_op(g, "Add", (best, onnx_tensor(g, begin)));
        onnx_value list = onnx_reshape(g, onnx_tensor(g, table), ITO_SHAPE(ito_numel(table)));
        y = onnx_reshape(g, onnx_op(g, "Gather", (list, best)), out->sizes);
    }
    ito_scope_end();
    return y;
}

onnx_value onnx_form_max_pool_indices(onnx_graph *g, const op_call *c, const onnx_value *in,
                                      const ito_tensor *out)
{
    return ((const window_axes *)c->params)->adaptive ? by_cells(g, c, in[0], out)
                                                      : by_windows(g, c, in[0]);
}
