/* ito-few-step: generators of one or two steps. A student of a trained U-Net: ito-few-step
 * distillation, consistency. Points in the plane, from scratch: shortcut, mean-flow. */
#include "examples/common/idx_directory.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/outputs.h"
#include "examples/common/program.h"
#include "examples/common/progress.h"
#include "examples/few_step/consistency.h"
#include "examples/few_step/distillation.h"
#include "examples/few_step/mean_flow.h"
#include "examples/few_step/shortcut.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a student of a network of images ---- */

#define AT(field) offsetof(few_step_options, field)
/* Rows of both methods. */
#define IMAGE_ROWS                                                                                 \
    GROUP_ROW("From what to what"),                                                                \
        TEXT_ROW("teacher", teacher, "RUN|FILE", BUILT_IN,                                         \
                 "A run of ito-ddpm train, a file that ito-ddpm export wrote, or " BUILT_IN        \
                 ", the network that comes with Ito"),                                             \
        TEXT_ROW("data", data, "DIR", FASHION_MNIST, "Directory of IDX files as Fashion-MNIST's"), \
        TEXT_ROW("out", out, "FILE.safetensors", "student.safetensors",                            \
                 "Where the student goes, for ito-ddpm sample --model"),                           \
        FORCE_ROW, GROUP_ROW("How"),                                                               \
        REAL_ROW("guidance", guidance, "W", 0, 1000, "2",                                          \
                 "Of the teacher, towards the class; 1 as trained"),                               \
        REAL_ROW("sigma-lo", sigma_lo, "X", 0, 1e6, "0.28",                                        \
                 "guidance: only where noise / signal is above it"),                               \
        REAL_ROW("sigma-hi", sigma_hi, "X", ABOVE_0, 1e6, "2.9", "and at most this"),              \
        INT_ROW("grid", grid, "N", 2, 1000, "16", "Steps of ddim that the teacher takes"),         \
        INT_ROW("batch", batch, "N", 1, 1e6, "48", "Images in each training step"),                \
        REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.001",                                            \
                 "Learning rate, falling to 0 along a cosine"),                                    \
        REAL_ROW("ema", ema, "X", 0, 0.99999, "0.99",                                              \
                 "Decay of the averaged weights, which count")
#define MACHINE_ROWS                                                                               \
    GROUP_ROW("Machine"), WORDS_ROW("precision", precision, "f32|bf16", "bf16", "Of activations"), \
        SEED_ROW, THREADS_ROW, END_ROW

static const option_row distillation_rows[] = {
    IMAGE_ROWS,
    INT_ROW("ratio", ratio, "K", 2, 500, "8",
            "Steps of the teacher in one of the student; 2 is the paper's, in rounds"),
    INT_ROW("lessons", lessons, "N", 1, 1e7, "12288", "Images that the teacher is asked about"),
    INT_ROW("steps", steps, "N", 1, 1e7, "2600", "Training steps, of all rounds"),
    MACHINE_ROWS,
};

static const option_row consistency_rows[] = {
    IMAGE_ROWS,
    WORDS_ROW("pairs", pairs, "data|teacher", "data",
              "Two points of a trajectory: one noise at both times (ECT), or a step of the teacher "
              "(consistency distillation)"),
    INT_ROW("steps", steps, "N", 1, 1e7, "2000", "Training steps"),
    MACHINE_ROWS,
};

static bool study(pupil *p, const few_step_options *o, bool distillation)
{
    if (!output_can_write((output){"out", o->out, FILE_SAFETENSORS}, o->force) ||
        !options_set_threads(o->threads) || !pupil_open(p, o))
        return false;
    if (!(distillation ? distillation_train(p) : consistency_train(p)) || !pupil_save(p))
        return false;
    const char *eta = distillation ? "" : " --eta 1";
    note("%s: two steps: ito-ddpm sample --model %s --sampler ddim%s --steps 2\n", o->out, o->out,
         eta);
    return true;
}

/* ---- points in the plane ---- */

typedef struct plane_options {
    const char *out;
    int64_t steps, batch, width, n, seed, threads;
    double lr;
    bool force;
} plane_options;

#undef AT
#define AT(field) offsetof(plane_options, field)

static const option_row plane_rows[] = {
    INT_ROW("steps", steps, "N", 1, 1e7, "4000", "Training steps"),
    INT_ROW("batch", batch, "N", 4, 1e6, "1024", "Points in each"),
    INT_ROW("width", width, "N", 1, 8192, "128", "Of the network's hidden layers"),
    REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.005", "Learning rate, falling to 0 along a cosine"),
    INT_ROW("n", n, "N", 2, 1e6, "4000", "Points drawn"),
    TEXT_ROW("out", out, "FILE.png", NULL, "A picture: data, one step of Euler, one step, two"),
    FORCE_ROW,
    SEED_ROW,
    THREADS_ROW,
    END_ROW,
};

typedef ito_tensor *plane_loss(const mean_velocity *u, ito_tensor *x_0, ito_generator *g);

static bool plane_train(plane_network *net, const plane_options *o, plane_loss *loss)
{
    ito_optimizer *adam = ito_adam_create(&net->base);
    ito_ema *ema = adam != NULL ? ito_ema_create(&net->base, .decay = 0.99) : NULL;
    ito_generator g = ito_generator_make((uint64_t)o->seed, 1);
    progress bar = {.quiet = false};
    bool good = ema != NULL;
    progress_begin(&bar, "step", "points", 0, o->steps);
    for (int64_t step = 0; good && step < o->steps; step++) {
        ito_scope_begin();
        ito_module_zero_grad(&net->base);
        ito_tensor *mean = loss(&net->u, plane_moons(&g, o->batch), &g);
        double lr = o->lr * ito_lr_cosine(step, o->steps, 0.0);
        good = mean != NULL && ito_backward(mean) == ITO_OK &&
               ito_optimizer_step(adam, lr, .max_norm = 1.0, .ema = ema) == ITO_OK;
        progress_step(&bar, step + 1, o->batch, good ? ito_item(mean) : (double)NAN);
        ito_scope_end();
    }
    progress_end(&bar);
    good = good && ito_ema_swap(ema) == ITO_OK;
    ito_ema_free(ema);
    ito_optimizer_free(adam);
    return good;
}

/* Distances from the data of one, two, ... steps, of the mean velocity and of the velocity. */
static bool plane_judge(const plane_network *net, const plane_options *o)
{
    static const int64_t steps[] = {1, 2, 4, 128};
    ito_generator g = ito_generator_make((uint64_t)o->seed, 2);
    ito_tensor *data = plane_moons(&g, o->n), *other = plane_moons(&g, o->n);
    ito_tensor *noise = ito_randn(&g, ITO_SHAPE(o->n, 2), ITO_F32);
    double least = plane_distance(data, other);
    ito_tensor *clouds[] = {data, plane_sample(&net->u, noise, 1, true),
                            plane_sample(&net->u, noise, 1, false),
                            plane_sample(&net->u, noise, 2, false)};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        printf("%" PRId64 " step%s: distance %.4f, by the velocity (Euler) %.4f\n", steps[i],
               PLURAL(steps[i]),
               plane_distance(data, plane_sample(&net->u, noise, steps[i], false)),
               plane_distance(data, plane_sample(&net->u, noise, steps[i], true)));
    printf("of two samples of the data: %.4f\n", least);
    return ito_error_code() == ITO_OK && (o->out == NULL || plane_draw(o->out, clouds, 4));
}

static bool plane_run(const plane_options *o, plane_loss *loss)
{
    ito_generator init = ito_generator_make((uint64_t)o->seed, 0);
    if (!output_can_write((output){"out", o->out, FILE_IMAGE}, o->force) ||
        !options_set_threads(o->threads))
        return false;
    plane_network *net = plane_network_create(o->width, &init);
    bool good = net != NULL && plane_train(net, o, loss) && plane_judge(net, o);
    if (net != NULL)
        ito_module_free(&net->base);
    return good;
}

/* ---- the program ---- */

static const struct {
    const char *name, *doc;
    const option_row *rows;
    plane_loss *loss; /* NULL: of images */
} methods[] = {
    {"distillation",
     "Progressive distillation: a step of the student does what several of its teacher do.",
     distillation_rows, NULL},
    {"consistency", "Consistency models: every point of a trajectory leads to the same image.",
     consistency_rows, NULL},
    {"shortcut", "Shortcut models: a step does what two of half its size do.", plane_rows,
     shortcut_loss},
    {"mean-flow", "MeanFlow: the mean velocity, by its differential equation.", plane_rows,
     mean_flow_loss},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

static int run(int argc, char **argv)
{
    int m = 0;
    while (strcmp(argv[0], methods[m].name) != 0)
        m++;
    few_step_options o = {.out = NULL};
    plane_options plane;
    pupil p = {.o = &o};
    command_line c = {.command = methods[m].name,
                      .doc = methods[m].doc,
                      .options = methods[m].rows,
                      .values = methods[m].loss == NULL ? (void *)&o : (void *)&plane};
    options_parse(&c, argc, argv);
    ito_scope_begin();
    bool good =
        methods[m].loss == NULL ? study(&p, &o, m == 0) : plane_run(&plane, methods[m].loss);
    ito_scope_end();
    pupil_close(&p);
    if (good)
        return 0;
    return options_report(c.command);
}

int main(int argc, char **argv)
{
    program_command commands[METHODS + 1] = {{NULL, NULL, NULL}};
    for (int m = 0; m < METHODS; m++)
        commands[m] = (program_command){methods[m].name, run, methods[m].doc};
    const program few_step = {.doc = "Samples in one step or a few.", .commands = commands};
    return program_run(&few_step, argc, argv);
}
