/* Pools as layers. */
#include "nn/layers_pool.h"
#include "tensor/internal.h"

static ito_tensor *forward(ito_module *self, ito_tensor *x)
{
    return ito_pool_forward((ito_pool_layer *)self, x);
}

ito_tensor *ito_pool_forward(ito_pool_layer *layer, ito_tensor *x)
{
    return layer == NULL || x == NULL ? NULL : layer->run(layer, x);
}

static ito_pool_layer *create(ito_module *parent, const char *name, int dims,
                              ito_tensor *(*run)(const ito_pool_layer *l, ito_tensor *x))
{
    if (dims < 1 || dims > 3)
        return error_null(ITO_ERR_ARGUMENT, "pool: %d axes; there are 1 to 3", dims);
    ito_pool_layer *l = ito_module_create(parent, name, sizeof *l);
    if (l == NULL)
        return NULL;
    l->base.forward = forward;
    l->dims = dims;
    l->run = run;
    return l;
}

/* ---- the largest element ---- */

static ito_tensor *run_max(const ito_pool_layer *l, ito_tensor *x)
{
    static ito_tensor *(*const by_dims[])(ito_tensor *, int64_t, ito_max_pool_options) = {
        ito_max_pool1d_with, ito_max_pool2d_with, ito_max_pool3d_with};
    return by_dims[l->dims - 1](x, l->kernel, l->max);
}

static ito_pool_layer *create_max(ito_module *parent, const char *name, int dims, int64_t kernel,
                                  const ito_max_pool_options *o)
{
    if (o->indices != NULL)
        return error_null(ITO_ERR_ARGUMENT, "max_pool: a layer gives no indices");
    ito_pool_layer *l = create(parent, name, dims, run_max);
    if (l == NULL)
        return NULL;
    l->kernel = kernel;
    l->max = *o;
    return l;
}

ito_pool_layer *ito_max_pool1d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_max_pool_options options)
{
    return create_max(parent, name, 1, kernel, &options);
}

ito_pool_layer *ito_max_pool2d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_max_pool_options options)
{
    return create_max(parent, name, 2, kernel, &options);
}

ito_pool_layer *ito_max_pool3d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_max_pool_options options)
{
    return create_max(parent, name, 3, kernel, &options);
}

/* ---- means ---- */

static ito_tensor *run_avg(const ito_pool_layer *l, ito_tensor *x)
{
    static ito_tensor *(*const by_dims[])(ito_tensor *, int64_t, ito_avg_pool_options) = {
        ito_avg_pool1d_with, ito_avg_pool2d_with, ito_avg_pool3d_with};
    return by_dims[l->dims - 1](x, l->kernel, l->avg);
}

static ito_pool_layer *create_avg(ito_module *parent, const char *name, int dims, int64_t kernel,
                                  const ito_avg_pool_options *o)
{
    ito_pool_layer *l = create(parent, name, dims, run_avg);
    if (l == NULL)
        return NULL;
    l->kernel = kernel;
    l->avg = *o;
    return l;
}

ito_pool_layer *ito_avg_pool1d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_avg_pool_options options)
{
    return create_avg(parent, name, 1, kernel, &options);
}

ito_pool_layer *ito_avg_pool2d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_avg_pool_options options)
{
    return create_avg(parent, name, 2, kernel, &options);
}

ito_pool_layer *ito_avg_pool3d_create_with(ito_module *parent, const char *name, int64_t kernel,
                                           ito_avg_pool_options options)
{
    return create_avg(parent, name, 3, kernel, &options);
}

/* ---- windows that cover ---- */

static ito_tensor *run_adaptive_avg(const ito_pool_layer *l, ito_tensor *x)
{
    static ito_tensor *(*const by_dims[])(ito_tensor *, ito_shape) = {
        ito_adaptive_avg_pool1d, ito_adaptive_avg_pool2d, ito_adaptive_avg_pool3d};
    return by_dims[l->dims - 1](x, l->output_size);
}

static ito_tensor *run_adaptive_max(const ito_pool_layer *l, ito_tensor *x)
{
    static ito_tensor *(*const by_dims[])(ito_tensor *, ito_shape, ito_tensor **) = {
        ito_adaptive_max_pool1d, ito_adaptive_max_pool2d, ito_adaptive_max_pool3d};
    return by_dims[l->dims - 1](x, l->output_size, NULL);
}

ito_pool_layer *ito_adaptive_avg_pool_create(ito_module *parent, const char *name, int dims,
                                             ito_shape output_size)
{
    ito_pool_layer *l = create(parent, name, dims, run_adaptive_avg);
    if (l != NULL)
        l->output_size = output_size;
    return l;
}

ito_pool_layer *ito_adaptive_max_pool_create(ito_module *parent, const char *name, int dims,
                                             ito_shape output_size)
{
    ito_pool_layer *l = create(parent, name, dims, run_adaptive_max);
    if (l != NULL)
        l->output_size = output_size;
    return l;
}
