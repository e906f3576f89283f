/* The network alone, without the diffusion: what a sampler of another program calls. */
#include "examples/ddpm/onnx.h"

#include "examples/common/messages.h"

#include <inttypes.h>
#include <stdio.h>

enum { MOST_INPUTS = 4, BATCH = 2 };

typedef struct inputs {
    const ito_ddpm *model;
    int64_t n, labels, x_0; /* labels, x_0: which input that is, or -1 */
    const char *name[MOST_INPUTS];
    ito_tensor *example[MOST_INPUTS];
} inputs;

static ito_tensor *evaluate(ito_tensor *const *in, int64_t n, void *context)
{
    const inputs *all = context;
    (void)n;
    return ito_network_evaluate(
        &all->model->unet->network,
        &(ito_network_input){.x = in[0],
                             .t = in[1],
                             .labels = all->labels < 0 ? NULL : in[all->labels],
                             .x_0 = all->x_0 < 0 ? NULL : in[all->x_0]});
}

static int64_t add(inputs *all, const char *name, ito_tensor *example)
{
    all->name[all->n] = name;
    all->example[all->n] = example;
    return all->n++;
}

/* Steps are whole numbers; all other times are not. */
static ito_dtype time_dtype(const ito_ddpm *m)
{
    bool steps =
        m->diffusion->process->steps > 0 && m->diffusion->time_input == &ito_time_input_timestep;
    return steps ? ITO_I64 : m->unet->config.dtype;
}

static inputs examples_of(const ito_ddpm *m)
{
    const ito_unet_config *c = &m->unet->config;
    ito_generator g = ito_generator_make(0, 0);
    inputs all = {.model = m, .labels = -1, .x_0 = -1};
    ito_shape shape = ito_ddpm_shape(m, BATCH);
    int64_t embedding = c->time_channels != 0 ? c->time_channels : 4 * c->channels;
    add(&all, "sample", ito_randn(&g, shape, c->dtype));
    add(&all, "timestep", ito_ones(ITO_SHAPE(BATCH), time_dtype(m)));
    if (c->class_kind == ITO_UNET_CLASS_EMBEDDED)
        all.labels =
            add(&all, "class_labels", ito_randn(&g, ITO_SHAPE(BATCH, embedding), c->dtype));
    else if (c->classes > 0 || c->class_kind == ITO_UNET_CLASS_TIMESTEP)
        all.labels = add(&all, "class_labels", ito_zeros(ITO_SHAPE(BATCH), ITO_I64));
    if (c->self_condition)
        all.x_0 = add(&all, "x_0", ito_randn(&g, shape, c->dtype));
    return all;
}

bool onnx_export(const ito_ddpm *model, const char *path)
{
    const int64_t most = 2000000000;
    inputs all = examples_of(model);
    int64_t bytes = ito_module_parameter_count(&model->unet->base) *
                    (int64_t)ito_dtype_size(model->unet->config.dtype);
    if (ito_onnx_save(path, evaluate, &all, all.example, all.n, .module = &model->unet->base,
                      .input_names = all.name, .output_name = "out_sample",
                      .external = bytes > most) != ITO_OK)
        return false;
    note("step %" PRId64 " of %s: an ONNX graph in %s%s, of", model->step, model->path, path,
         bytes > most ? " with its weights beside" : "");
    for (int64_t i = 0; i < all.n; i++)
        note("%s %s (%s)", i > 0 ? "," : "", all.name[i],
             ito_dtype_name(ito_dtype_of(all.example[i])));
    note(", to out_sample\n");
    return true;
}
