/* The files that a command writes. */
#include "examples/common/outputs.h"

#include "examples/common/paths.h"

#include <ito/tensor/io/image.h>
#include <string.h>

/* Whether the name says what the file is. */
static bool name_is_true(const output *o)
{
    static const struct {
        const char *what, *end;
    } kinds[FILE_KINDS] = {[FILE_NPY] = {"an array", ".npy"},
                           [FILE_SAFETENSORS] = {"a network", ".safetensors"},
                           [FILE_COMPRESSED] = {"compressed images", ".ito"},
                           [FILE_ONNX] = {"a graph", ".onnx"}};
    if (o->kind == FILE_IMAGE && !ito_image_can_save(o->path))
        return options_error("--%s: %s: the name of a picture ends in .png, .jpg or .jpeg",
                             o->option, o->path);
    if (kinds[o->kind].end == NULL || path_ends_with(o->path, kinds[o->kind].end))
        return true;
    return options_error("--%s: %s: the name of a file of %s ends in %s", o->option, o->path,
                         kinds[o->kind].what, kinds[o->kind].end);
}

bool output_may_replace(const char *path, file_kind kind, bool force)
{
    if (force || kind == FILE_UNKNOWN || file_may_become(path, kind))
        return true;
    ito_error_set(ITO_ERR_IO,
                  "%s: it is there and is not %s; name another file, or write over it by --force",
                  path, file_kind_name(kind));
    return false;
}

bool output_can_write(output o, bool force)
{
    return o.path == NULL || (name_is_true(&o) && path_can_write(o.path) &&
                              output_may_replace(o.path, o.kind, force));
}

bool outputs_can_write(const output *outputs, int n, bool force)
{
    for (int i = 0; i < n; i++) {
        if (!output_can_write(outputs[i], force))
            return false;
        for (int k = 0; k < i; k++)
            if (!paths_differ(outputs[k].path, outputs[i].path))
                return false;
    }
    return true;
}
