/* Choices by name: what ito_choice_find and its kin share. Internal. */
#ifndef ITO_TENSOR_CHOICE_H
#define ITO_TENSOR_CHOICE_H

#include "tensor/base.h"

/* The one of the n in list that has this name. NULL and ITO_ERR_ARGUMENT, "WORDS: there is no
 * "NAME"; there are a, b and c", if none has it. */
const ito_choice *choice_in(const char *words, const ito_choice *const *list, int64_t n,
                            const char *name);

#endif
