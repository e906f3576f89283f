/* Inception-v3 of a file: what of other layouts is refused. */
#include "models/inception/inception.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <string.h>

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Tensors that the network does not compute with. */
static bool optional(const char *name)
{
    return ends_with(name, ".num_batches_tracked") || strncmp(name, "AuxLogits.", 10) == 0;
}

/* Whether all names of the network are in the file, and no others. */
static bool check_names(const ito_inception *net, const ito_safetensors *f,
                        const ito_named_tensors *state)
{
    const char *path = ito_safetensors_path(f), *whose = net->fid ? "pytorch-fid" : "torchvision";
    for (int64_t i = 0; i < state->n; i++)
        if (!optional(state->names[i]) && ito_safetensors_find(f, state->names[i]) < 0) {
            file_error(ITO_ERR_FORMAT, path, "lacks %s, which Inception-v3 has in the layout of %s",
                       state->names[i], whose);
            return false;
        }
    for (int64_t i = 0; i < ito_safetensors_count(f); i++) {
        const char *name = ito_safetensors_name(f, i);
        bool known = optional(name);
        for (int64_t j = 0; j < state->n && !known; j++)
            known = strcmp(state->names[j], name) == 0;
        if (!known) {
            file_error(ITO_ERR_FORMAT, path,
                       "has %s, which Inception-v3 does not have in the layout of %s", name, whose);
            return false;
        }
    }
    return true;
}

static bool read_weights(ito_inception *net, const ito_safetensors *f)
{
    ito_named_tensors *state = ito_module_state(&net->base);
    bool good = state != NULL && check_names(net, f, state) &&
                ito_module_load_file(&net->base, f, .partial = true) == ITO_OK;
    ito_named_tensors_free(state);
    return good;
}

ito_inception *ito_inception_load_with(const char *path, ito_inception_options o)
{
    ito_safetensors *f = ito_safetensors_open(path);
    ito_inception *net = f != NULL ? ito_inception_create_with(o) : NULL;
    if (net != NULL && !read_weights(net, f)) {
        ito_module_free(&net->base);
        net = NULL;
    }
    ito_safetensors_close(f);
    return net;
}
