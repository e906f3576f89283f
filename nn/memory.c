/* The memory of a training run: sizes of the blocks behind the tensors of a model, its optimiser
 * and its averages. Each block counts once, however many views it has. */
#include "nn/memory.h"

#include "autograd/graph.h"
#include "nn/optim/optimizer.h"

static const storage *block_of(const ito_tensor *t)
{
    return t == NULL ? NULL : t->storage;
}

static const storage *gradient_block_of(const ito_tensor *t)
{
    return t->autograd == NULL ? NULL : block_of(tensor_meta(t)->grad);
}

/* Bytes of the blocks of all tensors in the list, which is freed; -1 if it is NULL. */
static int64_t count_blocks(ito_named_tensors *list, const storage *(*of)(const ito_tensor *))
{
    int64_t bytes = list == NULL ? -1 : 0;
    for (int64_t i = 0; list != NULL && i < list->n; i++) {
        const storage *s = of(list->tensors[i]);
        bool known = s == NULL;
        for (int64_t k = i - 1; k >= 0 && !known; k--)
            known = of(list->tensors[k]) == s;
        bytes += known ? 0 : (int64_t)s->bytes;
    }
    ito_named_tensors_free(list);
    return bytes;
}

ito_memory_account ito_memory_account_of(const ito_module *model, const ito_optimizer *opt,
                                         const ito_ema *ema)
{
    ito_memory_account a = {.peak = ito_memory_peak(), .held = ito_memory_held()};
    a.weights = count_blocks(ito_module_parameters(model), block_of);
    a.gradients = count_blocks(ito_module_parameters(model), gradient_block_of);
    a.optimizer = optimizer_bytes(opt);
    a.averages = ema == NULL ? 0 : count_blocks(ito_ema_state(ema), block_of);
    if (a.weights < 0 || a.gradients < 0 || a.averages < 0)
        return (ito_memory_account){0};
    a.activations = a.peak - a.weights - a.gradients - a.optimizer - a.averages;
    return a;
}
