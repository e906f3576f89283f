/* A model's parameters in one block of memory and their gradients in another, and passes over both.
 * Internal.
 *
 * Invariant: parameter i occupies [offset[i], offset[i] + numel) of data, its gradient the same of
 * grad; offsets are multiples of 16 and what lies between parameters is zero in both. Passes go
 * over pieces whose bounds depend on the model alone, never on threads. */
#ifndef ITO_NN_FLAT_H
#define ITO_NN_FLAT_H

#include "nn/module.h"
#include "tensor/internal.h"
#include "tensor/kernels/kernels.h"

/* Elements of the grid that pieces are cut at: no piece reaches over one of its lines. */
enum { FLAT_PIECE = 1 << 14 };

/* A part of the blocks that one thread takes at a time. */
typedef struct flat_piece {
    int64_t begin, end; /* elements of the block */
    bool frozen;        /* whether its parameters are */
    int64_t run;        /* of its parameters, as flat_pieces was told; 0 if it was not */
} flat_piece;

/* The two blocks of a model, and the tables that passes over them use. */
typedef struct ito_module_flat {
    ito_dtype dtype;
    int64_t n;               /* elements of each block */
    ito_tensor *data, *grad; /* [n] references */
    ito_named_tensors *list; /* the parameters */
    ito_tensor **grad_view;  /* [list->n] references: views of grad shaped as the parameters */
    int64_t *offset;         /* [list->n] */
    flat_piece *piece;       /* room for the pieces of a pass */
    double *partial;         /* a sum for each piece */
} module_flat;

/* The flat memory of a root, made if it does not exist; NULL with an error recorded. */
module_flat *flat_of(ito_module *root);
/* Frees the blocks; the parameters keep their memory. Accepts NULL. */
void flat_free(module_flat *f);

/* Whether all parameters still lie in f; if not, an error in op's name is recorded. */
bool flat_check(const module_flat *f, const char *op);
/* Copy the gradients of all parameters that are not frozen into f->grad, where they are not there
 * already; a missing one is zero. */
void flat_gather_gradients(module_flat *f);
/* The same for parameter i alone. */
void flat_gather_gradient(module_flat *f, int64_t i);
/* Fill in f->piece with all of the block and return their number. run: [list->n] what each
 * parameter's piece is to say of it, so that pieces end where it changes; or NULL. */
int64_t flat_pieces(module_flat *f, const int64_t *run);

/* A tensor [n] of zeros beside the blocks, owned by the caller: optimiser state, averages. */
ito_tensor *flat_zeros(const module_flat *f);
/* The same with n elements. */
ito_tensor *flat_zeros_of(const module_flat *f, int64_t n);
/* A view of t, one of the blocks or a tensor that flat_zeros made, shaped as parameter i; a
 * reference. */
ito_tensor *flat_view(const module_flat *f, int64_t i, const ito_tensor *t);
/* Append views of t, which flat_zeros made, shaped as the parameters, to list: "<prefix><name>". */
bool flat_append_views(const module_flat *f, ito_named_tensors *list, const char *prefix,
                       ito_tensor *t);

/* The address of element i of one of the blocks. */
static inline void *flat_at(const ito_tensor *t, int64_t i)
{
    return (char *)tensor_data(t) + (size_t)i * ito_dtype_size(t->dtype);
}

#endif
