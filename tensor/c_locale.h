/* Numbers in texts have a decimal point, whatever locale the program around the library has set. */
#ifndef ITO_TENSOR_C_LOCALE_H
#define ITO_TENSOR_C_LOCALE_H

#include <locale.h>

/* For uselocale, strtod_l. Glibc has it ready: nothing is allocated, nothing to free. */
static inline locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

#endif
