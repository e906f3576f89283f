/* A training loop. Invariant: what a step draws depends on the seed and its number alone. */
#include "examples/common/training.h"

#include "examples/common/progress.h"

#include <ito/autograd/ops.h>
#include <ito/nn/data.h>
#include <ito/nn/ema.h>
#include <ito/nn/lr_schedule.h>
#include <ito/nn/optim.h>

static bool take_step(const training *t, ito_loader *loader, ito_optimizer *adam, ito_ema *ema,
                      int64_t step, double lr, double *loss_value)
{
    ito_batch b;
    if (ito_loader_next(loader, &b) != ITO_OK)
        return false;
    ito_generator g = ito_generator_make(t->seed, 1000 + (uint64_t)step);
    ito_module_zero_grad(t->model);
    ito_tensor *loss = t->loss(b.x, &g, t->context);
    if (loss == NULL || ito_backward(loss) != ITO_OK)
        return false;
    *loss_value = ito_item(loss);
    return ito_optimizer_step(adam, lr, .max_norm = t->max_norm, .ema = ema) == ITO_OK;
}

bool training_run(const training *t)
{
    enum { WARMUP = 100 };
    int64_t steps = t->epochs * ((ito_size(t->x, 0) + t->batch - 1) / t->batch);
    ito_dataset *data = ito_tensor_dataset_create(ITO_TENSORS(t->x));
    ito_loader *loader = data != NULL ? ito_loader_create(data, t->batch, t->seed) : NULL;
    ito_optimizer *adam = ito_adam_create(t->model);
    bool averaged = t->ema_decay > 0;
    ito_ema *ema =
        averaged ? ito_ema_create(t->model, .decay = t->ema_decay, .warmup = true) : NULL;
    bool good = loader != NULL && adam != NULL && (ema != NULL || !averaged);
    progress bar = {.quiet = false};
    progress_begin(&bar, t->what, "images", 0, steps);
    for (int64_t step = 0; good && step < steps; step++) {
        double lr = t->lr * ito_lr_warmup(step, WARMUP) * ito_lr_cosine(step, steps, 0), loss = 0;
        ito_scope_begin();
        ITO_ENABLE_GRAD
        {
            good = take_step(t, loader, adam, ema, step, lr, &loss);
        }
        ito_scope_end();
        progress_step(&bar, step + 1, t->batch, loss);
    }
    progress_end(&bar);
    good = good && (!averaged || ito_ema_swap(ema) == ITO_OK);
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    ito_loader_free(loader);
    ito_dataset_free(data);
    return good;
}
