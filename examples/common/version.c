/* --version. */
#include "examples/common/version.h"

#include <errno.h>
#include <ito/tensor/runtime.h>
#include <stdio.h>

#ifdef __clang__
#define COMPILER "Clang " __clang_version__
#else
#define COMPILER "GCC " __VERSION__
#endif

const char *version_commit = "";

const char *version_text(void)
{
    static char text[128];
    snprintf(text, sizeof text, "%s%s%s", ito_version(),
             version_commit[0] != '\0' ? " of commit " : "", version_commit);
    return text;
}

void version_print(void)
{
    printf("%s %s\n", program_invocation_short_name, ito_version());
    if (version_commit[0] != '\0')
        printf("commit %s\n", version_commit);
    printf("instruction set %s\ncompiler %s\n", ito_isa(), COMPILER);
    if (ito_threads_limit() == 1)
        printf("one thread: built without OpenMP\n");
}
