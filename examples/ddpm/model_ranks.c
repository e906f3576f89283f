/* A trained network on several ranks. */
#include "examples/ddpm/model_ranks.h"

#include "examples/common/ranks.h"
#include "examples/common/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a, eight bytes at a time. */
bool model_hash(const ito_module *m, char text[32])
{
    ito_named_tensors *state = ito_module_state(m);
    uint64_t hash = 0xcbf29ce484222325;
    bool good = state != NULL;
    for (int64_t i = 0; good && i < state->n; i++) {
        ito_scope_begin();
        ito_tensor *x = ito_contiguous(ito_detach(state->tensors[i]));
        good = x != NULL;
        int64_t bytes = good ? ito_numel(x) * (int64_t)ito_dtype_size(ito_dtype_of(x)) : 0;
        const char *data = good ? ito_const_data(x) : NULL;
        for (int64_t at = 0; at < bytes; at += 8) {
            uint64_t word = 0;
            memcpy(&word, data + at, (size_t)(bytes - at < 8 ? bytes - at : 8));
            hash = (hash ^ word) * 0x100000001b3;
        }
        ito_scope_end();
    }
    ito_named_tensors_free(state);
    snprintf(text, 32, "weights %016" PRIx64, hash);
    return good;
}

bool model_agree(const ito_ddpm *model)
{
    char weights[32];
    if (ranks_count() == 1)
        return true;
    bool good = model_hash(&model->unet->base, weights);
    const ito_agreement list[] = {
        {"version", version_text(), NULL},
        {"instruction set", ito_isa(), "ITO_ISA sets the lower one for all"},
        {"command line", ranks_command_line(), NULL},
        {"network", weights, NULL},
    };
    return ranks_agree(good, list, 4);
}
