/* The files that a command writes, judged before its work: that the name says what is in it, that
 * it can be written, and that nothing else is lost by it. */
#ifndef ITO_EXAMPLES_OUTPUTS_H
#define ITO_EXAMPLES_OUTPUTS_H

#include "examples/common/file_kinds.h"
#include "examples/common/options.h"

typedef struct output {
    const char *option; /* its name: "npy" */
    const char *path;   /* NULL: not wanted */
    file_kind kind;     /* of the file; FILE_UNKNOWN: text */
} output;

/* An option of commands that write files; AT(force) is a bool. */
#define FORCE_ROW FLAG_ROW("force", force, "Write over a file that is there and is of another kind")

/* Whether all can be written. A name that does not end as its kind does is an error of options. */
bool outputs_can_write(const output *outputs, int n, bool force);
/* The same of a single one. */
bool output_can_write(output o, bool force);
/* Whether a file of this kind may be written over what is there; an error is recorded if not. */
bool output_may_replace(const char *path, file_kind kind, bool force);

#endif
