/* Bold and coloured text. */
#include "examples/common/style.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *style(FILE *file, const char *sequence)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool wanted = no_color == NULL || no_color[0] == '\0';
    bool able = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
    return wanted && able && isatty(fileno(file)) == 1 ? sequence : "";
}
