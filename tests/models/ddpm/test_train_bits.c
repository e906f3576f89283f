/* Whole training: the number of threads changes no bit of it, no step leaves memory behind, and a
 * step that runs out of memory, wherever it does, has not happened. */
#include "ito.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    ito_dataset *data;
    ito_loader *loader;
    ito_unet *unet;
    ito_diffusion *diffusion;
    ito_optimizer *optimizer;
    ito_ema *ema;
    ito_diffusion_trainer trainer;
    int64_t step;
} world;

/* Square images of 3 channels, a thread of the loader that makes batches ahead or not. */
static world begin(int64_t size, int64_t channels, int64_t prefetch)
{
    world w = {.step = 0};
    ito_scope_begin();
    ito_generator g = ito_generator_make(8, 8);
    ito_tensor *images = ito_randint(&g, 0, 256, ITO_SHAPE(21, 3, size, size), ITO_U8);
    w.data = ito_image_dataset_create(images, .flip = true);
    ito_scope_end();
    w.loader = ito_loader_create(w.data, 4, 5, .prefetch = prefetch);
    ito_unet_config c = {.in_channels = 3,
                         .height = size,
                         .width = size,
                         .channels = channels,
                         .levels = 2,
                         .multipliers = {1, 2},
                         .attention = {false, true},
                         .blocks = 1,
                         .dropout = 0.2};
    ito_generator init = ito_diffusion_generator(4, ITO_DRAW_INIT, 0);
    w.unet = ito_unet_create(&c, &init);
    w.diffusion = ito_diffusion_create();
    w.optimizer = ito_adam_create(&w.unet->base);
    w.ema = ito_ema_create(&w.unet->base, .decay = 0.9);
    cr_assert_not_null(w.loader, "%s", ito_error());
    cr_assert_not_null(w.ema, "%s", ito_error());
    w.trainer = (ito_diffusion_trainer){.diffusion = w.diffusion,
                                        .network = &w.unet->network,
                                        .model = &w.unet->base,
                                        .optimizer = w.optimizer,
                                        .ema = w.ema,
                                        .max_norm = 0.5,
                                        .seed = 4};
    return w;
}

static void end(world *w)
{
    ito_ema_free(w->ema);
    ito_optimizer_free(w->optimizer);
    ito_diffusion_free(w->diffusion);
    ito_module_free(&w->unet->base);
    ito_loader_free(w->loader);
    ito_dataset_free(w->data);
}

/* The next batch; of the current scope. */
static ito_tensor *next(world *w)
{
    ito_batch batch;
    cr_assert_eq(ito_loader_next(w->loader, &batch), ITO_OK, "%s", ito_error());
    return batch.x;
}

static ito_train_result train_on(world *w, ito_tensor *x_0)
{
    ito_train_result r;
    ito_status status = ito_diffusion_train_step(&w->trainer, x_0, w->step++, 1e-3, &r);
    cr_assert_eq(status, ITO_OK, "%s", ito_error());
    cr_assert(r.applied, "%s", r.culprit);
    return r;
}

static ito_train_result train(world *w)
{
    ito_scope_begin();
    ito_train_result r = train_on(w, next(w));
    ito_scope_end();
    return r;
}

/* Parameters, averages and Adam's moments in a row, freed with free(). */
static float *state(const world *w, int64_t *n)
{
    ito_named_tensors *lists[] = {ito_module_parameters(&w->unet->base), ito_ema_state(w->ema),
                                  ito_optimizer_state(w->optimizer)};
    int64_t most = 5 * ito_module_parameter_count(&w->unet->base);
    float *all = malloc((size_t)most * sizeof *all);
    cr_assert_not_null(all);
    *n = 0;
    for (int k = 0; k < 3; k++) {
        cr_assert_not_null(lists[k], "%s", ito_error());
        for (int64_t i = 0; i < lists[k]->n; i++) {
            cr_assert_leq(*n + ito_numel(lists[k]->tensors[i]), most);
            ito_to_data(lists[k]->tensors[i], all + *n, ITO_F32);
            *n += ito_numel(lists[k]->tensors[i]);
        }
        ito_named_tensors_free(lists[k]);
    }
    return all;
}

static bool equal(const world *a, const world *b)
{
    int64_t n, m;
    float *x = state(a, &n), *y = state(b, &m);
    bool same = n == m && memcmp(x, y, (size_t)n * sizeof *x) == 0 &&
                ito_optimizer_steps(a->optimizer) == ito_optimizer_steps(b->optimizer) &&
                ito_ema_updates(a->ema) == ito_ema_updates(b->ema);
    free(x);
    free(y);
    return same;
}

/* Large enough for all threads to have work, 16 of them for 4 images; the second team also has its
 * data made ahead. */
static void compare_teams(ito_dtype precision, int steps)
{
    enum { TEAMS = 5 };
    static const int threads[TEAMS] = {1, 2, 3, 8, 16};
    world w[TEAMS];
    for (int k = 0; k < TEAMS; k++) {
        w[k] = begin(16, 32, k == 1 ? 2 : 0);
        cr_assert_eq(ito_unet_set_precision(w[k].unet, precision), ITO_OK, "%s", ito_error());
    }
    for (int i = 0; i < steps; i++) {
        ito_train_result first = {.loss = 0};
        for (int k = 0; k < TEAMS; k++) {
            ito_set_threads(threads[k]);
            ito_train_result r = train(&w[k]);
            first = k == 0 ? r : first;
            cr_assert(r.loss == first.loss && r.grad_norm == first.grad_norm, "step %d, %d threads",
                      i, threads[k]);
        }
    }
    for (int k = 1; k < TEAMS; k++)
        cr_expect(equal(&w[0], &w[k]), "%d threads", threads[k]);
    for (int k = 0; k < TEAMS; k++)
        end(&w[k]);
    cr_expect_eq(ito_memory_blocks(), 0);
}

Test(bits, twenty_steps_are_the_same_on_any_number_of_threads)
{
    compare_teams(ITO_F32, 20);
}

Test(bits, steps_in_bf16_are_the_same_on_any_number_of_threads)
{
    compare_teams(ITO_BF16, 6);
}

/* The first steps may fill caches; after them a step returns all it took, and always takes as much.
 */
Test(bits, memory_is_the_same_after_each_step)
{
    world w = begin(16, 32, 0);
    ito_set_threads(2);
    train(&w);
    int64_t current = ito_memory_current(), blocks = ito_memory_blocks();
    ito_memory_reset_peak();
    train(&w);
    int64_t peak = ito_memory_peak(), held = ito_memory_held();
    for (int i = 0; i < 4; i++) {
        train(&w);
        cr_expect_eq(ito_memory_current(), current);
        cr_expect_eq(ito_memory_blocks(), blocks);
        cr_expect_eq(ito_memory_peak(), peak);
        cr_expect_eq(ito_memory_held(), held);
    }
    end(&w);
}

/* A step of w on x_0 under this limit, or of which this request fails: true if it succeeded, else
 * it must not have changed anything. It reports each example, which makes requests too. */
static bool attempt(world *w, ito_tensor *x_0, int64_t limit, int64_t failing)
{
    int64_t n, m, current = ito_memory_current(), blocks = ito_memory_blocks();
    float *before = state(w, &n);
    ito_train_result r = {.loss = 42};
    w->trainer.each = true;
    ito_scope_begin(); /* of the losses that it reports */
    ito_memory_limit(limit);
    ito_memory_fail_nth(failing);
    ito_status status = ito_diffusion_train_step(&w->trainer, x_0, w->step, 1e-3, &r);
    ito_memory_limit(0);
    ito_memory_fail_nth(0);
    cr_assert_eq(status == ITO_OK, r.losses != NULL);
    ito_scope_end();
    cr_assert_eq(ito_error_code(), status);
    cr_assert_eq(ito_memory_current(), current, "limit %lld, request %lld", (long long)limit,
                 (long long)failing);
    cr_assert_eq(ito_memory_blocks(), blocks);
    if (status != ITO_OK) {
        cr_assert_eq(status, ITO_ERR_MEMORY, "%s", ito_error());
        ito_error_clear();
        float *after = state(w, &m);
        cr_assert_eq(memcmp(before, after, (size_t)n * sizeof *before), 0,
                     "limit %lld, request %lld: something has changed", (long long)limit,
                     (long long)failing);
        cr_assert_eq(r.loss, 42);
        free(after);
    }
    free(before);
    return status == ITO_OK;
}

Test(bits, a_step_under_too_small_a_limit_has_not_happened)
{
    world w = begin(16, 32, 0), unharmed = begin(16, 32, 0);
    ito_set_threads(2);
    train(&w);
    train(&unharmed);
    ito_scope_begin();
    ito_tensor *x_0 = next(&w);
    int64_t base = ito_memory_current();
    ito_memory_reset_peak();
    unharmed.trainer.each = true; /* as w's, which takes some bytes */
    ITO_SCOPE train_on(&unharmed, x_0);
    int64_t needed = ito_memory_peak() - base;
    for (int64_t part = 0; part < 8; part++)
        cr_assert(!attempt(&w, x_0, base + needed * part / 8 + 1, 0), "%lld/8", (long long)part);
    cr_assert(!attempt(&w, x_0, base + needed - 1, 0));
    cr_assert(attempt(&w, x_0, base + needed, 0));
    cr_assert(equal(&w, &unharmed));
    ito_scope_end();
    end(&w);
    end(&unharmed);
    cr_expect_eq(ito_memory_blocks(), 0);
}

/* Every request would take long; those at multiples of a prime fall on all kinds of them. */
Test(bits, a_step_with_a_failing_request_has_not_happened)
{
    enum { STRIDE = 61, MOST = 1 << 16 };
    world w = begin(8, 8, 0), unharmed = begin(8, 8, 0);
    ito_scope_begin();
    ito_tensor *x_0 = next(&w);
    train_on(&unharmed, x_0);
    int64_t request = 1;
    while (request < MOST && !attempt(&w, x_0, 0, request))
        request += STRIDE;
    cr_assert(request < MOST && request > 10 * STRIDE, "request %lld", (long long)request);
    cr_assert(equal(&w, &unharmed));
    ito_scope_end();
    end(&w);
    end(&unharmed);
}
