/* Clipping of gradients by their joint norm. */
#include "nn/clip.h"
#include "nn/optim.h"
#include "tensor/profile.h"

#include <math.h>

static profile_row row = PROFILE_ROW("clip");

static double square_sum(const module_flat *f, const flat_piece *piece, const flat_shard *shard)
{
    if (piece->frozen || (shard != NULL && shard_owner(shard, piece->begin) != shard->rank))
        return 0;
    return kernels(f->dtype)->square_sum(flat_at(f->grad, piece->begin), piece->end - piece->begin);
}

void clip_square_sums(module_flat *f, int64_t pieces, const flat_shard *shard)
{
    profile_frame frame;
    profile_begin(&frame);
    PARALLEL_FOR(i, pieces, f->n, f->partial[i] = square_sum(f, &f->piece[i], shard));
    profile_end(&frame, &row);
}

/* A sum over pieces in order: the same for any number of threads and ranks. */
double clip_norm(const module_flat *f, int64_t pieces)
{
    double sum = 0;
    for (int64_t i = 0; i < pieces; i++)
        sum += f->partial[i];
    return sqrt(sum);
}

double clip_factor(double norm, double max_norm)
{
    double factor = max_norm / (norm + 1e-6);
    return isfinite(norm) && factor < 1 ? factor : 1;
}

static void scale_gradients(module_flat *f, int64_t pieces, double c)
{
    profile_frame frame;
    profile_begin(&frame);
    const kernel_table *k = kernels(f->dtype);
#pragma omp parallel for num_threads(threads_for(f->n)) schedule(static)
    for (int64_t i = 0; i < pieces; i++)
        if (!f->piece[i].frozen)
            k->scale(flat_at(f->grad, f->piece[i].begin), f->piece[i].end - f->piece[i].begin, c);
    ito_touch(f->grad);
    profile_end(&frame, &row);
}

double ito_clip_grad_norm(ito_module *model, double max_norm)
{
    if (!(max_norm >= 0)) {
        ito_error_set(ITO_ERR_RANGE, "clip_grad_norm: max_norm %g is negative or not a number",
                      max_norm);
        return (double)NAN;
    }
    module_flat *f = flat_of(model);
    if (f == NULL || !flat_check(f, "clip_grad_norm"))
        return (double)NAN;
    flat_gather_gradients(f);
    int64_t pieces = flat_pieces(f, NULL);
    clip_square_sums(f, pieces, NULL);
    double norm = clip_norm(f, pieces), factor = clip_factor(norm, max_norm);
    if (factor < 1)
        scale_gradients(f, pieces, factor);
    return norm;
}
