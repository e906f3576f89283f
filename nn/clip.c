/* Clipping of gradients by their joint norm. */
#include "nn/flat.h"
#include "nn/optim.h"
#include "tensor/profile.h"

#include <math.h>

/* A sum for each piece, then one over pieces in order: the same for any number of threads. */
static double gradient_norm(module_flat *f, int64_t pieces)
{
    const kernel_table *k = kernels(f->dtype);
#pragma omp parallel for num_threads(threads_for(f->n)) schedule(static)
    for (int64_t i = 0; i < pieces; i++)
        f->partial[i] =
            k->square_sum(flat_at(f->grad, f->piece[i].begin), f->piece[i].end - f->piece[i].begin);
    double sum = 0;
    for (int64_t i = 0; i < pieces; i++)
        sum += f->partial[i];
    return sqrt(sum);
}

static void scale_gradients(module_flat *f, int64_t pieces, double c)
{
    const kernel_table *k = kernels(f->dtype);
#pragma omp parallel for num_threads(threads_for(f->n)) schedule(static)
    for (int64_t i = 0; i < pieces; i++)
        k->scale(flat_at(f->grad, f->piece[i].begin), f->piece[i].end - f->piece[i].begin, c);
    ito_touch(f->grad);
}

double ito_clip_grad_norm(ito_module *model, double max_norm)
{
    if (!(max_norm > 0)) {
        ito_error_set(ITO_ERR_RANGE, "clip_grad_norm: a norm of at most %g", max_norm);
        return (double)NAN;
    }
    module_flat *f = flat_of(model);
    if (f == NULL || !flat_check(f, "clip_grad_norm"))
        return (double)NAN;
    static profile_row row = PROFILE_ROW("clip");
    profile_frame frame;
    profile_begin(&frame);
    flat_gather_gradients(f);
    int64_t pieces = flat_pieces(f, false);
    double norm = gradient_norm(f, pieces);
    if (isfinite(norm) && max_norm / (norm + 1e-6) < 1)
        scale_gradients(f, pieces, max_norm / (norm + 1e-6));
    profile_end(&frame, &row);
    return norm;
}
