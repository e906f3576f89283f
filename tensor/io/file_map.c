/* Tensors on the pages of a file: read when they are touched, dropped when memory is short. */
#include "tensor/internal.h"
#include "tensor/io/file.h"
#include "tensor/system.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pages begin at multiples of their size, elements where they are. */
static size_t within_page(uint64_t place)
{
    return (size_t)(place % (uint64_t)sysconf(_SC_PAGESIZE));
}

static void unmap(storage *s)
{
    size_t before = within_page((uintptr_t)s->data);
    munmap((char *)s->data - before, before + s->bytes);
}

ito_tensor *file_map(const file_reader *f, int64_t offset, ito_shape shape, ito_dtype dtype)
{
    int64_t bytes = checked_mul(shape_numel(shape), (int64_t)ito_dtype_size(dtype));
    if (bytes == 0)
        return tensor_empty(shape, dtype);
    struct stat info;
    if (fstat(f->fd, &info) != 0) {
        file_system_error(f->path, "examine");
        return NULL;
    }
    if (bytes < 0 || offset > info.st_size || bytes > info.st_size - offset) {
        file_error(ITO_ERR_FORMAT, f->path, "has become shorter: %" PRId64 " bytes",
                   (int64_t)info.st_size);
        return NULL;
    }
    size_t before = within_page((uint64_t)offset);
    storage *s = struct_alloc(sizeof *s);
    if (s == NULL)
        return NULL;
    char *pages = system_map_file(f->fd, offset - (int64_t)before, before + (size_t)bytes);
    if (pages == NULL) {
        file_system_error(f->path, "map");
        free(s);
        return NULL;
    }
    *s = (storage){.refs = 1, .data = pages + before, .bytes = (size_t)bytes, .release = unmap};
    return tensor_over(s, shape, NULL, dtype);
}
