/* Numbers in texts have a decimal point, whatever locale the program around the library has set. */
#ifndef ITO_TENSOR_C_LOCALE_H
#define ITO_TENSOR_C_LOCALE_H

#include <locale.h>
#include <stdlib.h>

/* For uselocale. Glibc and musl have it ready: nothing is allocated, nothing to free. */
static inline locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* strtod, of numbers with a decimal point. */
static inline double c_strtod(const char *text, char **end)
{
    locale_t before = uselocale(c_locale());
    double value = strtod(text, end);
    uselocale(before);
    return value;
}

#endif
