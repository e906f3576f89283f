/* A text file that is written completely or not at all. */
#include "examples/common/text_file.h"

#include <ito/tensor/io/whole_file.h>
#include <stdlib.h>

static bool no_memory(const text_file *f)
{
    ito_error_set(ITO_ERR_MEMORY, "%s: no memory for its text", f->path);
    return false;
}

bool text_begin(text_file *f, const char *path)
{
    *f = (text_file){.path = path};
    f->out = open_memstream(&f->text, &f->size);
    return f->out != NULL || no_memory(f);
}

bool text_end(text_file *f, bool good)
{
    bool complete = fclose(f->out) == 0 || no_memory(f);
    good = good && complete && ito_file_write(f->path, f->text, f->size) == ITO_OK;
    free(f->text);
    return good;
}
