/* The student is judged as ito-ddpm eval judges a network. */
#include "examples/common/batches.h"
#include "examples/common/idx_directory.h"
#include "examples/few_step/pupil.h"

#include <math.h>

enum { AT_ONCE = 64 };

typedef struct exam {
    pupil *p;
    ito_tensor *images; /* [n, 1, H, W] */
    double eta;
    batches batches;
} exam;

/* Images first .. first + n - 1 of seed 0. */
static bool sample(int64_t first, int64_t n, void *context)
{
    exam *e = context;
    pupil *p = e->p;
    ito_tensor *labels = ito_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t i = 0; labels != NULL && i < n; i++)
        ((int64_t *)ito_data(labels))[i] = (first + i) % IDX_CLASSES;
    if (p->student.condition != NULL)
        p->student.condition->labels = labels;
    ito_shape shape = ito_shape_of(e->images);
    shape.dim[0] = n;
    ito_tensor *x = ito_diffusion_sample(
        p->diffusion, p->student.network, shape, .steps = 2, .sampler = &ito_sampler_ddim,
        .eta = e->eta, .spacing = &ito_spacing_trailing, .first_image = first,
        .progress = batches_progress, .progress_context = &e->batches);
    return ito_copy_(ito_narrow(e->images, 0, first, n), x) != NULL;
}

double pupil_frechet(pupil *p, double eta)
{
    double distance = (double)NAN;
    exam e = {.p = p, .eta = eta};
    e.batches = (batches){
        .what = "sampling step", .n = p->o->judge, .size = AT_ONCE, .run = sample, .context = &e};
    ito_scope_begin();
    ito_shape shape = ito_shape_of(p->images);
    shape.dim[0] = p->o->judge;
    e.images = ito_empty(shape, ITO_F32);
    ito_tensor *made, *real;
    ito_classifier *c = ito_classifier_fashion_mnist();
    if (e.images != NULL && c != NULL && batches_run(&e.batches) &&
        ito_classifier_run(c, e.images, &made, NULL) == ITO_OK &&
        ito_classifier_run(c, p->images, &real, NULL) == ITO_OK)
        distance = ito_frechet_distance(real, made);
    if (c != NULL)
        ito_module_free(&c->base);
    ito_scope_end();
    return distance;
}
