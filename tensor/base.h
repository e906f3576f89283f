/* What every public header needs: visibility, the caller's place, and errors.
 *
 * Errors. The library never exits, aborts or prints. The first failure in a thread is recorded: a
 * code and one sentence, with the place in the caller's source. A function that returns a handle
 * returns NULL then, any other an ito_status. NULL in gives NULL out and leaves the first message
 * alone, or is itself the first error; so one look at the end of a step is enough.
 */
#ifndef ITO_BASE_H
#define ITO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Ito needs a little-endian processor: files are read into memory as they are."
#endif
#if UINTPTR_MAX < UINT64_MAX
#error "Ito needs 64-bit pointers: the sizes of tensors have 64 bits."
#endif

#if defined(__GNUC__)
#define ITO_API __attribute__((visibility("default")))
#define ITO_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define ITO_API
#define ITO_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** What went wrong, by kind. Functions that return no object return one. */
typedef enum ito_status {
    ITO_OK = 0,
    ITO_ERR_ARGUMENT, /* a value that the function does not take */
    ITO_ERR_SHAPE,    /* shapes that do not fit each other or the operation */
    ITO_ERR_DTYPE,    /* an element type that the operation does not take */
    ITO_ERR_RANGE,    /* an index or a number outside its bounds */
    ITO_ERR_MEMORY,   /* the system or the limit set by ito_memory_limit refused memory */
    ITO_ERR_IO,       /* the operating system refused to read or write a file */
    ITO_ERR_FORMAT,   /* a file that is truncated, damaged, or not what it claims to be */
    ITO_ERR_GRAD,   /* a gradient that cannot be had: freed graph, changed in place, not defined */
    ITO_ERR_NUMERIC /* a number that is not finite where it must be */
} ito_status;

/** The code of the first error recorded in this thread since ito_error_clear, or ITO_OK. */
ITO_API ito_status ito_error_code(void);

/**
 * The first error recorded in this thread: "operation: what is wrong, with the numbers
 * (file:line)".
 * "" if there is none. Owned by the thread, valid until its next ito_error_clear.
 */
ITO_API const char *ito_error(void);

/** The sentence of ito_error alone, without the place in the caller's source. */
ITO_API const char *ito_error_message(void);

/** Forget the error recorded in this thread. */
ITO_API void ito_error_clear(void);

/**
 * Record an error, unless one is recorded already: for code built on Ito that follows its rules.
 * @return code, so that `return ito_error_set(...)` works.
 */
ITO_API ito_status ito_error_set(ito_status code, const char *format, ...) ITO_PRINTF(2, 3);

/** Remember where in the caller's source the next operation stands. Called by the macros below. */
ITO_API void ito_at(const char *file, int line);

/** What everything begins with that is chosen by its name: a sampler, a schedule, ... */
typedef struct ito_choice {
    const char *name;
    const char *help;   /* one line, without a full stop */
    const char *source; /* the paper, or NULL */
} ito_choice;

/** The version of the library, "0.2.0". */
ITO_API const char *ito_version(void);

#ifdef __cplusplus
}
#endif

/* Wrapped round a call, notes the caller's file and line first. Public headers end with a macro of
 * the function's own name for each function that can fail on its arguments:
 *     #define ito_add(...) ITO_AT(ito_add(__VA_ARGS__))
 * The function itself remains for other languages. Within the library the macros are off,
 * so that an error names the user's line and not ours. */
#ifndef ITO_BUILD
#define ITO_AT(call) (ito_at(__FILE__, __LINE__), call)
#else
#define ITO_AT(call) call
#endif

#endif
