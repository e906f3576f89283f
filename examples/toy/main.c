/* ito-toy: a diffusion of points in the plane, trained in seconds. Draws the data beside samples,
 * and the score at three levels of noise. */
#include "examples/common/draw.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/toy/data.h"
#include "examples/toy/distance.h"
#include "examples/toy/mlp.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct toy_options {
    const char *data, *out, *recipe;
    const char *schedule, *prediction, *time_input, *weighting, *timestep_law, *sampler, *spacing;
    int64_t steps, batch, width, sampling_steps, n, seed, threads;
    double lr;
} toy_options;

#define AT(field) offsetof(toy_options, field)

static const option_row rows[] = {
    GROUP_ROW("What is learned"),
    LIST_ROW("data", data, "NAME", toy_distributions, "moons", "The distribution"),
    KIND_ROW("recipe", recipe, "recipe", NULL,
             "What a paper chose of what follows, the sampler and the spacing; options win"),
    KIND_ROW("schedule", schedule, "schedule", "flow", "The process from data to noise"),
    KIND_ROW("prediction", prediction, "prediction", "flow", "What the network predicts"),
    KIND_ROW("time-input", time_input, "time_input", "timestep", "What it is told of the time"),
    KIND_ROW("weighting", weighting, "weighting", "simple", "What an error counts at each time"),
    KIND_ROW("timestep-law", timestep_law, "timestep_law", "uniform", "Which times are trained at"),
    GROUP_ROW("How"),
    INT_ROW("steps", steps, "N", 1, 1e7, "3000", "Training steps"),
    INT_ROW("batch", batch, "N", 1, 1e6, "512", "Points in each"),
    INT_ROW("width", width, "N", 1, 8192, "128", "Of the network's hidden layers"),
    REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.01", "Learning rate, falling to 0 along a cosine"),
    GROUP_ROW("What is drawn"),
    KIND_ROW("sampler", sampler, "sampler", "heun", "From noise to points"),
    KIND_ROW("spacing", spacing, "spacing", "linspace", "Which times it visits"),
    INT_ROW("sampling-steps", sampling_steps, "N", 1, 1e6, "50", "How many"),
    INT_ROW("n", n, "N", 2, 1e6, "4000", "Points"),
    TEXT_ROW("out", out, "DIR", "toy", "Where samples.png and score.png go"),
    SEED_ROW,
    THREADS_ROW,
    END_ROW,
};

static const ito_recipe no_recipe = {.settings = &(ito_recipe_setting){.name = NULL}};

/* Options that were not given, as the recipe has them. */
static void take_recipe(const command_line *c, const ito_recipe *recipe)
{
    for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++)
        for (const option_row *row = c->options; s->choice != NULL && row->type != OPTION_END;
             row++)
            if (row->choices.kind != NULL && strcmp(row->choices.kind, s->name) == 0 &&
                !options_given(c, row->name))
                option_set(row, c->values, s->choice);
}

/* The model and its training. */
typedef struct toy {
    const toy_options *o;
    const toy_data *data;
    ito_diffusion *diffusion;
    ito_timestep_law law;
    ito_timestep_sampler *timesteps;
    mlp *network;
    ito_optimizer *optimizer;
} toy;

/* A recipe has numbers beside its choices. The network has no second head for a variance. */
static bool set_choices(toy *t)
{
    const toy_options *o = t->o;
    const ito_recipe *recipe = o->recipe != NULL ? ito_recipe_find(o->recipe) : &no_recipe;
    ito_recipe_values v;
    if (recipe == NULL || ito_recipe_read(recipe, &v) != ITO_OK)
        return false;
    v.diffusion.schedule = ito_schedule_find(o->schedule);
    v.diffusion.prediction = ito_prediction_find(o->prediction);
    v.diffusion.time_input = ito_time_input_find(o->time_input);
    v.diffusion.weighting = ito_weighting_find(o->weighting);
    v.diffusion.variance = NULL;
    v.diffusion.objective = NULL;
    t->law = v.timestep_law;
    if (strcmp(t->law.name, o->timestep_law) != 0)
        t->law = *ito_timestep_law_find(o->timestep_law);
    return (t->diffusion = ito_diffusion_create_with(v.diffusion)) != NULL;
}

static bool toy_open(toy *t, const toy_options *o)
{
    const choice_list distributions = {.own = toy_distributions};
    ito_generator init = ito_diffusion_generator((uint64_t)o->seed, ITO_DRAW_INIT, 0);
    *t = (toy){.o = o, .data = (const void *)choices_find(&distributions, o->data)};
    if (!set_choices(t))
        return false;
    t->timesteps = ito_timestep_sampler_create(t->diffusion->process, &t->law);
    t->network = mlp_create(o->width, &init);
    t->optimizer = t->network == NULL ? NULL : ito_adam_create(&t->network->base);
    return t->timesteps != NULL && t->optimizer != NULL;
}

static void toy_close(toy *t)
{
    ito_optimizer_free(t->optimizer);
    if (t->network != NULL)
        ito_module_free(&t->network->base);
    ito_timestep_sampler_free(t->timesteps);
    ito_diffusion_free(t->diffusion);
}

static bool train(toy *t)
{
    const toy_options *o = t->o;
    ito_diffusion_trainer trainer = {.diffusion = t->diffusion,
                                     .network = &t->network->network,
                                     .model = &t->network->base,
                                     .optimizer = t->optimizer,
                                     .timesteps = t->timesteps,
                                     .max_norm = 1.0,
                                     .seed = (uint64_t)o->seed};
    ito_generator points = ito_generator_make((uint64_t)o->seed, 1);
    double mean = 0.0;
    for (int64_t step = 0; step < o->steps; step++) {
        ito_train_result r;
        ito_scope_begin();
        ito_status status = ito_diffusion_train_step(
            &trainer, toy_points(t->data, &points, o->batch), step,
            0.5 * o->lr * (1.0 + cos(M_PI * (double)step / (double)o->steps)), &r);
        ito_scope_end();
        if (status != ITO_OK)
            return false;
        mean += (r.loss - mean) / (double)(step % 500 + 1);
        if (step % 500 == 499 || step == o->steps - 1) {
            note("step %" PRId64 "/%" PRId64 "  loss %.4f\n", step + 1, o->steps, mean);
            mean = 0.0;
        }
    }
    return true;
}

/* Points beside samples, and their distance. */
static bool draw_samples(const toy *t, const char *path)
{
    const toy_options *o = t->o;
    ito_generator g = ito_generator_make((uint64_t)o->seed, 2);
    ito_tensor *points = toy_points(t->data, &g, o->n), *others = toy_points(t->data, &g, o->n);
    ito_tensor *samples = ito_diffusion_sample(
        t->diffusion, &t->network->network, ITO_SHAPE(o->n, 2),
        .sampler = ito_sampler_find(o->sampler), .spacing = ito_spacing_find(o->spacing),
        .steps = o->sampling_steps, .no_clip = true, .seed = (uint64_t)o->seed);
    ito_tensor *picture = draw_panels(2);
    double distance = sliced_distance(points, samples), least = sliced_distance(points, others);
    if (distance < 0.0 || least < 0.0 || !draw_points(picture, 0, points) ||
        !draw_points(picture, 1, samples) || ito_png_save(path, picture) != ITO_OK)
        return false;
    note("%s: data, and samples; sliced Wasserstein distance %.4f (of two samples of the data: "
         "%.4f)\n",
         path, distance, least);
    return true;
}

/* Points of a grid in the plane: [side^2, 2]. */
static ito_tensor *grid(int64_t side)
{
    ito_tensor *places = ito_empty(ITO_SHAPE(side * side, 2), ITO_F32);
    for (int64_t i = 0; places != NULL && i < side * side; i++) {
        float *xy = (float *)ito_data(places) + 2 * i;
        xy[0] = (float)(-1.1 + 2.2 * (double)(i % side) / (double)(side - 1));
        xy[1] = (float)(-1.1 + 2.2 * (double)(i / side) / (double)(side - 1));
    }
    return places;
}

/* The score, -eps / noise, where noise / signal is sigma, over data with the same noise. */
static bool draw_score(const toy *t, ito_tensor *picture, int panel, double sigma)
{
    enum { ARROWS = 21, POINTS = 2000 };
    const ito_process *p = t->diffusion->process;
    double time = ito_process_time(p, sigma);
    ito_level level = ito_process_level(p, time);
    ito_generator g = ito_generator_make((uint64_t)t->o->seed, 3 + (uint64_t)panel);
    ito_tensor *noisy = ito_axpby(1.0, toy_points(t->data, &g, POINTS), level.noise / level.signal,
                                  ito_randn(&g, ITO_SHAPE(POINTS, 2), ITO_F32));
    ito_tensor *places = grid(ARROWS);
    ito_estimate e;
    if (ito_diffusion_estimate(t->diffusion, &t->network->network,
                               ito_mul_scalar(places, level.signal),
                               ito_full(ITO_SHAPE(ARROWS * ARROWS), time, ITO_F64), &e) != ITO_OK)
        return false;
    return draw_points(picture, panel, noisy) &&
           draw_arrows(picture, panel, places, ito_mul_scalar(e.eps, -1.0 / level.noise), 0.25);
}

static bool draw_scores(const toy *t, const char *path)
{
    static const double sigmas[] = {0.1, 0.3, 1.0};
    ito_tensor *picture = draw_panels(3);
    bool good = picture != NULL;
    ITO_NO_GRAD
    {
        for (int i = 0; good && i < 3; i++)
            good = draw_score(t, picture, i, sigmas[i]);
    }
    if (!good || ito_png_save(path, picture) != ITO_OK)
        return false;
    note("%s: the score where noise / signal is 0.1, 0.3 and 1\n", path);
    return true;
}

static bool run(const toy_options *o)
{
    toy t = {.o = o};
    char samples[4096], score[4096];
    snprintf(samples, sizeof samples, "%s/samples.png", o->out);
    snprintf(score, sizeof score, "%s/score.png", o->out);
    bool good = path_make_directory(o->out, true) && options_set_threads(o->threads) &&
                toy_open(&t, o) && train(&t);
    ito_scope_begin();
    good = good && draw_samples(&t, samples) && draw_scores(&t, score);
    ito_scope_end();
    toy_close(&t);
    return good;
}

int main(int argc, char **argv)
{
    toy_options o;
    command_line c = {
        .command = "",
        .doc = "Train a diffusion of points in the plane in seconds, and draw samples and "
               "the score.\vFlow matching is the default. DDPM and EDM are\n"
               "  ito-toy --recipe ddpm --sampling-steps 1000\n  ito-toy --recipe edm\n",
        .options = rows,
        .values = &o};
    options_parse(&c, argc, argv);
    if (o.recipe != NULL)
        take_recipe(&c, ito_recipe_find(o.recipe));
    if (run(&o))
        return 0;
    options_blame();
    return options_report(c.command);
}
