/* The thread's error record: the first failure stays until it is cleared, with the place in the
 * caller's source of the operation that met it. */
#include "tensor/c_locale.h"
#include "tensor/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct error_record {
    ito_status code;
    char message[ERROR_BYTES];
    char full[1024];
    const char *file; /* of the operation under way */
    int line;
} error_record;

static _Thread_local error_record record;

void ito_at(const char *file, int line)
{
    record.file = file;
    record.line = line;
}

void error_place(const char **file, int *line)
{
    *file = record.file;
    *line = record.line;
}

ito_status ito_error_code(void)
{
    return record.code;
}

const char *ito_error(void)
{
    return record.code == ITO_OK ? "" : record.full;
}

const char *ito_error_message(void)
{
    return record.code == ITO_OK ? "" : record.message;
}

void ito_error_clear(void)
{
    record.code = ITO_OK;
}

static void record_error(ito_status code, const char *format, va_list arguments)
{
    if (record.code != ITO_OK)
        return;
    record.code = code;
    locale_t before = uselocale(c_locale());
    vsnprintf(record.message, sizeof record.message, format, arguments);
    uselocale(before);
    if (record.file != NULL)
        snprintf(record.full, sizeof record.full, "%s (%s:%d)", record.message, record.file,
                 record.line);
    else
        snprintf(record.full, sizeof record.full, "%s", record.message);
}

ito_status ito_error_set(ito_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record_error(code, format, arguments);
    va_end(arguments);
    return code;
}

void *error_null(ito_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record_error(code, format, arguments);
    va_end(arguments);
    return NULL;
}

ito_status error_missing(const char *op, const char *argument)
{
    ito_error_set(ITO_ERR_ARGUMENT, "%s: %s is NULL", op, argument);
    return record.code;
}

const char *ito_version(void)
{
    return "0.2.0";
}

const char *shape_str(ito_shape shape)
{
    enum { BUFFERS = 8, SIZE = 192 };
    static _Thread_local char buffer[BUFFERS][SIZE];
    static _Thread_local int next;
    char *s = buffer[next++ % BUFFERS];
    size_t used = 0;
    s[used++] = '[';
    for (int i = 0; i < shape.ndim; i++)
        used +=
            (size_t)snprintf(s + used, SIZE - used, "%s%" PRId64, i > 0 ? ", " : "", shape.dim[i]);
    s[used++] = ']';
    s[used] = '\0';
    return s;
}

const char *tensor_shape_str(const ito_tensor *t)
{
    return shape_str(ito_shape_of(t));
}
