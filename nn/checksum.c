/* A checksum of the names and weights of a module. */
#include "nn/module.h"
#include "tensor/internal.h"

#include <string.h>
#include <zlib.h>

/* Extend the crc32 by a name and the row-major bytes of its tensor. */
static ito_status add_tensor(uLong *sum, const char *name, const ito_tensor *t)
{
    ito_scope_begin();
    const ito_tensor *row_major = tensor_contiguous(t);
    ito_status status = row_major == NULL ? ITO_ERR_MEMORY : ITO_OK;
    if (row_major != NULL) {
        *sum = crc32_z(*sum, (const Bytef *)name, strlen(name));
        *sum = crc32_z(*sum, tensor_data(row_major),
                       (size_t)ito_numel(row_major) * ito_dtype_size(row_major->dtype));
    }
    ito_scope_end();
    return status;
}

ito_status ito_module_checksum(const ito_module *m, uint32_t *checksum)
{
    if (m == NULL || checksum == NULL)
        return error_missing("module_checksum", m == NULL ? "the module" : "the result's place");
    ito_named_tensors *state = ito_module_state(m);
    ito_status status = state == NULL ? ITO_ERR_MEMORY : ITO_OK;
    uLong sum = crc32(0, NULL, 0);
    for (int64_t i = 0; status == ITO_OK && i < state->n; i++)
        status = add_tensor(&sum, state->names[i], state->tensors[i]);
    ito_named_tensors_free(state);
    if (status == ITO_OK)
        *checksum = (uint32_t)sum;
    return status;
}
