/* One kernel table, of this compilation's instruction set and element type. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/of_elements.def"
#undef KERNEL_ROW
#define KERNEL_ROW(result, name, arguments) result KERNEL_OF_REALS(name) arguments;
#include "tensor/kernels/of_reals.def"
#undef KERNEL_ROW

#define KERNEL_STRING_(s) #s
#define KERNEL_STRING(s) KERNEL_STRING_(s)

extern const kernel_table KERNEL(kernel_table);
const kernel_table KERNEL(kernel_table) = {
    .isa = KERNEL_STRING(KERNEL_ISA),
#define KERNEL_ROW(result, name, arguments) .name = KERNEL(name),
#include "tensor/kernels/of_elements.def"
#undef KERNEL_ROW
#define KERNEL_ROW(result, name, arguments) .name = KERNEL_OF_REALS(name),
#include "tensor/kernels/of_reals.def"
#undef KERNEL_ROW
};
