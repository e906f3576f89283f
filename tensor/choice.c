/* The choice of a name, or an error that lists the names there are. */
#include "tensor/choice.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

const ito_choice *choice_in(const char *words, const ito_choice *const *list, int64_t n,
                            const char *name)
{
    char names[400];
    int used = 0;
    for (int64_t i = 0; i < n; i++) {
        if (name != NULL && strcmp(list[i]->name, name) == 0)
            return list[i];
        const char *separator = i == 0 ? "" : i + 1 < n ? ", " : " and ";
        used +=
            snprintf(names + used, sizeof names - (size_t)used, "%s%s", separator, list[i]->name);
        if (used >= (int)sizeof names)
            used = (int)sizeof names - 1;
    }
    return error_null(ITO_ERR_ARGUMENT, "%s: there is no \"%s\"; there are %s", words,
                      name != NULL ? name : "NULL", names);
}
