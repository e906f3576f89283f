/* Choices by name: the one place that words the sentence of a name that nothing has. */
#include "models/ddpm/choices.h"

#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

static const char *name_of(const void *choice)
{
    return *(const char *const *)choice;
}

const void *choice_find(const char *what, const void *const *choices, size_t n, const char *name)
{
    char names[400];
    int used = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name_of(choices[i]), name) == 0)
            return choices[i];
        const char *separator = i == 0 ? "" : i + 1 < n ? ", " : " and ";
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s", separator,
                         name_of(choices[i]));
        if (used >= (int)sizeof names)
            used = (int)sizeof names - 1;
    }
    return error_null(ITO_ERR_ARGUMENT, "%s: there is no \"%s\"; there are %s", what, name, names);
}
