/* One kernel table, of this compilation's instruction set and real type. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/kernels.def"
#undef KERNEL_ROW

#define KERNEL_STRING_(s) #s
#define KERNEL_STRING(s) KERNEL_STRING_(s)

extern const kernel_table KERNEL(kernel_table);
const kernel_table KERNEL(kernel_table) = {
    .isa = KERNEL_STRING(KERNEL_ISA),
#define KERNEL_ROW(result, name, arguments) .name = KERNEL(name),
#include "tensor/kernels/kernels.def"
#undef KERNEL_ROW
};
