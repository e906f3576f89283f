/* What PyTorch's files may call. Nothing of it is called: a number stands for each. */
#include "tensor/io/pytorch_names.h"

#include <string.h>

static const struct {
    const char *module, *name;
    pickle_kind makes;
    pytorch_global global;
} globals[] = {
    {"collections", "OrderedDict", PICKLE_DICT, PYTORCH_DICT},
    {"torch._utils", "_rebuild_tensor", PICKLE_CALL, PYTORCH_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", PICKLE_CALL, PYTORCH_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", PICKLE_CALL, PYTORCH_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", PICKLE_CALL, PYTORCH_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", PICKLE_CALL, PYTORCH_PARAMETER},
    {"_codecs", "encode", PICKLE_OPAQUE, PYTORCH_BYTES},
    {"torch", "Size", PICKLE_OPAQUE, PYTORCH_SIZE},
    {"torch", "device", PICKLE_OPAQUE, PYTORCH_DEVICE},
    {"torch", "UntypedStorage", PICKLE_GLOBAL, PYTORCH_UNTYPED},
    {"torch.storage", "UntypedStorage", PICKLE_GLOBAL, PYTORCH_UNTYPED},
};

static bool same(const char *text, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

int pytorch_find_global(const char *module, size_t module_length, const char *name,
                        size_t name_length, pickle_kind *makes)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (same(module, module_length, globals[i].module) &&
            same(name, name_length, globals[i].name)) {
            *makes = globals[i].makes;
            return (int)globals[i].global;
        }
    if (!same(module, module_length, "torch"))
        return -1;
    *makes = PICKLE_GLOBAL;
    const stored_dtype *d = stored_dtype_find_storage(name, name_length);
    if (d == NULL)
        d = stored_dtype_find_torch(name, name_length);
    return d == NULL ? -1 : PYTORCH_GLOBALS + stored_dtype_index(d);
}

const stored_dtype *pytorch_global_dtype(int64_t global)
{
    return global < PYTORCH_GLOBALS ? NULL : stored_dtype_at((int)global - PYTORCH_GLOBALS);
}
