/* ito-physics: two networks that are trained through their derivatives. `burgers` solves a partial
 * differential equation, `score` learns the gradient of the logarithm of a density. */
#include "examples/common/draw.h"
#include "examples/common/options.h"
#include "examples/common/outputs.h"
#include "examples/common/program.h"
#include "examples/common/progress.h"
#include "examples/physics/burgers.h"
#include "examples/physics/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *out;
    int64_t steps, batch, layers, width, seed, threads;
    double lr, nu;
    bool sliced, force;
} settings;

#define AT(field) offsetof(settings, field)
#define TRAINING_ROWS(how_many, size, rate, picture)                                               \
    INT_ROW("steps", steps, "N", 1, 1e7, how_many, "Training steps"),                              \
        INT_ROW("batch", batch, "N", 1, 1e6, size, "New points in each"),                          \
        REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, rate,                                               \
                 "SOAP's learning rate, falling along a "                                          \
                 "cosine"),                                                                        \
        INT_ROW("layers", layers, "N", 1, 100, "4", "Hidden layers of the network"),               \
        INT_ROW("width", width, "N", 1, 8192, "64", "Of each"),                                    \
        TEXT_ROW("out", out, "FILE.png", picture, "The picture"), FORCE_ROW, SEED_ROW,             \
        THREADS_ROW, END_ROW

static const option_row burgers_rows[] = {
    REAL_ROW("viscosity", nu, "NU", 0.001, 10, "0.0031830988618", "nu of the equation (0.01 / pi)"),
    TRAINING_ROWS("8000", "1024", "0.01", "burgers.png"),
};

static const option_row score_rows[] = {
    FLAG_ROW("sliced", sliced, "(v' s)^2 in the loss, not |s|^2, whose variance is less"),
    TRAINING_ROWS("5000", "4096", "0.01", "score.png"),
};

/* ---- what both have ----------------------------------------------------------------------------
 */

/* 2 inputs, layers of tanh, `outputs`. */
static ito_module *perceptron(const settings *s, int64_t outputs)
{
    ito_generator g = ito_generator_make((uint64_t)s->seed, 0);
    ito_module *m = ito_sequential_create(NULL, "");
    bool good = m != NULL;
    for (int64_t i = 0; good && i <= s->layers; i++) {
        char linear[32], activation[32];
        snprintf(linear, sizeof linear, "%" PRId64, 2 * i);
        snprintf(activation, sizeof activation, "%" PRId64, 2 * i + 1);
        int64_t in = i == 0 ? 2 : s->width, out = i == s->layers ? outputs : s->width;
        good = ito_linear_create(m, linear, in, out, .generator = &g) != NULL &&
               (i == s->layers || ito_activation_create(m, activation, (ito_tanh)) != NULL);
    }
    if (good)
        return m;
    ito_module_free(m);
    return NULL;
}

typedef ito_tensor *loss_function(ito_module *m, const settings *s, ito_generator *g);

static bool train(ito_module *m, const settings *s, loss_function *loss_of)
{
    ito_optimizer *opt = ito_soap_create(m, .weight_decay = 0);
    ito_generator g = ito_generator_make((uint64_t)s->seed, 1);
    progress bar = {.quiet = false};
    bool good = opt != NULL;
    progress_begin(&bar, "step", "points", 0, s->steps);
    for (int64_t step = 0; good && step < s->steps; step++) {
        double lr = s->lr * ito_lr_warmup(step, 100) * ito_lr_cosine(step, s->steps, 0.0);
        ito_scope_begin();
        ito_module_zero_grad(m);
        ito_tensor *loss = loss_of(m, s, &g);
        good =
            loss != NULL && ito_backward(loss) == ITO_OK && ito_optimizer_step(opt, lr) == ITO_OK;
        progress_step(&bar, step + 1, s->batch, good ? ito_item(loss) : (double)NAN);
        ito_scope_end();
    }
    progress_end(&bar);
    ito_optimizer_free(opt);
    return good;
}

/* |a - b| / |b|. */
static double relative_error(ito_tensor *a, ito_tensor *b)
{
    ito_tensor *error = ito_sub(ito_cast(a, ITO_F64), b);
    return error == NULL ? (double)NAN : ito_item(ito_norm(error)) / ito_item(ito_norm(b));
}

/* ---- Burgers' equation -------------------------------------------------------------------------
 */

enum { GRID_X = 256, GRID_T = 256 };

static ito_tensor *burgers_loss(ito_module *m, const settings *s, ito_generator *g)
{
    ito_tensor *points = ito_rand(g, ITO_SHAPE(s->batch, 2), ITO_F32);
    for (int64_t i = 0; points != NULL && i < s->batch; i++) {
        float *x = (float *)ito_data(points) + 2 * i;
        *x = 2 * *x - 1;
    }
    return ito_mean(ito_square(burgers_residual(burgers_ansatz, m, points, s->nu)));
}

/* Value -1 is blue, 0 white, 1 red: rows are x from 1 down to -1, columns t from 0 to 1. */
static void paint(ito_tensor *picture, int64_t left, ito_tensor *values)
{
    const double *v = ito_const_data(values);
    int64_t width = ito_size(picture, 2);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t i = 0; i < GRID_X * GRID_T; i++) {
            double value = fmax(-1, fmin(1, v[i])), away = c == 0   ? -value
                                                           : c == 2 ? value
                                                                    : fabs(value);
            ((uint8_t *)ito_data(picture))[(c * GRID_X + i / GRID_T) * width + left + i % GRID_T] =
                (uint8_t)(255.5 - 215 * fmax(0, away));
        }
}

static bool burgers(const settings *s)
{
    ito_module *m = perceptron(s, 1);
    bool good = m != NULL && train(m, s, burgers_loss);
    ito_tensor *points = ito_empty(ITO_SHAPE(GRID_X * GRID_T, 2), ITO_F32);
    ito_tensor *exact = ito_empty(ITO_SHAPE(GRID_X * GRID_T, 1), ITO_F64), *found = NULL;
    for (int64_t i = 0; points != NULL && exact != NULL && i < GRID_X * GRID_T; i++) {
        double x = 1 - 2.0 * (double)(i / GRID_T) / (GRID_X - 1);
        double t = (double)(i % GRID_T) / (GRID_T - 1);
        ((float *)ito_data(points))[2 * i] = (float)x;
        ((float *)ito_data(points))[2 * i + 1] = (float)t;
        ((double *)ito_data(exact))[i] = burgers_exact(x, t, s->nu);
    }
    ITO_NO_GRAD
    {
        if (good && points != NULL)
            found = ito_contiguous(ito_cast(burgers_ansatz(&points, 1, m), ITO_F64));
    }
    ito_module_free(m);
    ito_tensor *picture = ito_full(ITO_SHAPE(3, GRID_X, 3 * GRID_T + 16), 255, ITO_U8);
    ito_tensor *wrong = ito_mul_scalar(ito_sub(found, exact), 100);
    if (picture == NULL || wrong == NULL)
        return false;
    paint(picture, 0, exact);
    paint(picture, GRID_T + 8, found);
    paint(picture, 2 * (GRID_T + 8), wrong);
    printf("relative L2 error %.2e\n", relative_error(found, exact));
    return ito_image_save(s->out, picture) == ITO_OK;
}

/* ---- a score -----------------------------------------------------------------------------------
 */

static ito_tensor *network(ito_tensor *const *x, int64_t n, void *m)
{
    (void)n;
    return ito_module_forward(m, x[0]);
}

static ito_tensor *score_loss(ito_module *m, const settings *s, ito_generator *g)
{
    ito_tensor *x = mixture_samples(g, s->batch);
    ito_tensor *v = ito_rademacher(ITO_SHAPE(s->batch, 2), ITO_F32, g);
    return sliced_score_loss(network, m, x, v, !s->sliced);
}

static bool score(const settings *s)
{
    enum { CLOUD = 10000, ARROWS = 300 };
    ito_module *m = perceptron(s, 2);
    bool good = m != NULL && train(m, s, score_loss);
    ito_generator g = ito_generator_make((uint64_t)s->seed, 2);
    ito_tensor *x = mixture_samples(&g, CLOUD), *exact = mixture_score(x), *found = NULL;
    ITO_NO_GRAD
    {
        if (good && x != NULL)
            found = ito_module_forward(m, x);
    }
    ito_module_free(m);
    ito_tensor *picture = draw_panels(2), *feet = ito_narrow(x, 0, 0, ARROWS);
    if (found == NULL || !draw_points(picture, 0, x) || !draw_points(picture, 1, x) ||
        !draw_arrows(picture, 0, feet, ito_narrow(exact, 0, 0, ARROWS), 0.5) ||
        !draw_arrows(picture, 1, feet, ito_narrow(found, 0, 0, ARROWS), 0.5))
        return false;
    printf("relative error of the score %.4f\n", relative_error(found, exact));
    return ito_image_save(s->out, picture) == ITO_OK;
}

/* ---- the program -------------------------------------------------------------------------------
 */

static const char solve_doc[] =
    "Solve Burgers' equation with a network, and compare it with the exact solution.\v"
    "The picture has both, and a hundred times their difference.";
static const char score_doc[] =
    "Learn the score of a density in the plane from samples, and compare it with the exact one.\v"
    "The picture has both: exact, learnt.";

static int run(int argc, char **argv)
{
    bool solves = strcmp(argv[0], "burgers") == 0;
    settings s = {.out = NULL};
    command_line line = {.command = solves ? "burgers" : "score",
                         .doc = solves ? solve_doc : score_doc,
                         .options = solves ? burgers_rows : score_rows,
                         .values = &s};
    options_parse(&line, argc, argv);
    ito_scope_begin();
    bool good = options_set_threads(s.threads) &&
                output_can_write((output){"out", s.out, FILE_IMAGE}, s.force) &&
                (solves ? burgers(&s) : score(&s));
    ito_scope_end();
    return good ? 0 : options_report(line.command);
}

int main(int argc, char **argv)
{
    static const program_command commands[] = {
        {"burgers", run, "solve Burgers' equation"},
        {"score", run, "learn the score of a density in the plane"},
        {NULL, NULL, NULL},
    };
    static const program physics = {.doc = "Networks and differential equations.",
                                    .commands = commands};
    return program_run(&physics, argc, argv);
}
