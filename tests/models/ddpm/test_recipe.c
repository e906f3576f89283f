/* Recipes: their numbers against the papers, that each of them trains and samples, and what is
 * refused. */
#include "models/ddpm/recipe.h"

#include "models/ddpm/train.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <math.h>
#include <string.h>

static ito_recipe_values read(const ito_recipe *recipe)
{
    ito_recipe_values v;
    cr_assert_eq(ito_recipe_read(recipe, &v), ITO_OK, "%s: %s", recipe->name, ito_error());
    return v;
}

static const ito_choice *const *all_recipes(int64_t *n)
{
    const ito_choice *const *list = ito_choices("recipe", n);
    cr_assert(list != NULL && *n > 0);
    return list;
}

#define FOR_EACH_RECIPE(recipe)                                                                    \
    int64_t n_recipes;                                                                             \
    const ito_choice *const *list = all_recipes(&n_recipes);                                       \
    const ito_recipe *recipe;                                                                      \
    for (int64_t i = 0; i < n_recipes && (recipe = (const void *)list[i]) != NULL; i++)

/* ---- the papers ---- */

static void assert_ddpm_process(const ito_diffusion_options *o)
{
    cr_expect_eq(o->schedule, &ito_schedule_linear);
    cr_expect(o->steps == 1000 && o->beta_start == 1e-4 && o->beta_end == 0.02);
    cr_expect_eq(o->prediction, &ito_prediction_eps);
}

Test(recipe, ddpm_is_that_of_appendix_b)
{
    ito_recipe_values v = read(&ito_recipe_ddpm);
    assert_ddpm_process(&v.diffusion);
    cr_expect_eq(v.diffusion.time_input, &ito_time_input_timestep);
    cr_expect_eq(v.diffusion.variance, &ito_variance_fixedlarge);
    cr_expect_eq(v.diffusion.objective, &ito_objective_simple);
    cr_expect_eq(v.diffusion.weighting, &ito_weighting_simple);
    cr_expect_str_eq(v.timestep_law.name, "uniform");
    cr_expect(v.sampling.sampler == &ito_sampler_ddpm && v.sampling.steps == 1000);
    cr_expect_eq(v.optimizer, &ito_optimizer_adam);
    cr_expect(v.lr == 2e-4 && v.ema == 0.9999 && v.dropout == 0.1);
    cr_expect(isnan(v.guidance) && isnan(v.beta1) && isnan(v.weight_decay));
}

Test(recipe, iddpm_learns_the_variance_by_the_hybrid_of_a_cosine_of_4000)
{
    ito_recipe_values v = read(&ito_recipe_iddpm);
    cr_expect(v.diffusion.schedule == &ito_schedule_cosine && v.diffusion.steps == 4000);
    cr_expect_eq(v.diffusion.prediction, &ito_prediction_eps);
    cr_expect_eq(v.diffusion.variance, &ito_variance_learned_range);
    cr_expect_eq(v.diffusion.objective, &ito_objective_hybrid);
    cr_expect_eq(v.diffusion.weighting, &ito_weighting_simple);
    cr_expect_str_eq(v.timestep_law.name, "uniform");
    cr_expect(v.sampling.sampler == &ito_sampler_ddpm && v.sampling.steps == 100);
    cr_expect_eq(v.sampling.spacing, &ito_spacing_linspace);
    cr_expect(v.lr == 1e-4 && v.ema == 0.9999 && v.dropout == 0.3);
}

Test(recipe, p2_weighs_the_linear_schedule_by_gamma_and_k_of_1)
{
    ito_recipe_values v = read(&ito_recipe_p2);
    assert_ddpm_process(&v.diffusion);
    cr_expect_eq(v.diffusion.weighting, &ito_weighting_p2);
    cr_expect(v.diffusion.gamma == 1.0 && v.diffusion.k == 1.0);
    cr_expect_eq(v.diffusion.variance, &ito_variance_learned_range);
    cr_expect_eq(v.diffusion.objective, &ito_objective_hybrid);
    cr_expect(v.sampling.sampler == &ito_sampler_ddpm && v.sampling.steps == 250);
    cr_expect(v.lr == 2e-5 && v.ema == 0.9999 && v.dropout == 0.0);
}

Test(recipe, min_snr_has_a_gamma_of_5_for_x_0)
{
    ito_recipe_values v = read(&ito_recipe_min_snr);
    cr_expect(v.diffusion.schedule == &ito_schedule_cosine && v.diffusion.steps == 1000);
    cr_expect_eq(v.diffusion.prediction, &ito_prediction_x_0);
    cr_expect_eq(v.diffusion.weighting, &ito_weighting_min_snr);
    cr_expect_eq(v.diffusion.gamma, 5.0);
    cr_expect(v.sampling.sampler == &ito_sampler_heun && v.sampling.steps == 50);
    cr_expect_eq(v.optimizer, &ito_optimizer_adamw);
    cr_expect(v.lr == 1e-4 && v.beta1 == 0.99 && v.beta2 == 0.99 && v.weight_decay == 0.03);
    cr_expect(v.ema == 0.9999 && v.label_dropout == 0.15 && v.guidance == 1.5);
}

static void assert_edm(const ito_recipe_values *v, double mean, double std, int64_t steps)
{
    const ito_diffusion_options *o = &v->diffusion;
    cr_expect(o->schedule == &ito_schedule_edm && o->steps == ITO_USUAL_STEPS);
    cr_expect(o->sigma_min == 0.002 && o->sigma_max == 80.0 && o->sigma_data == 0.5);
    cr_expect_eq(o->prediction, &ito_prediction_edm);
    cr_expect_eq(o->weighting, &ito_weighting_edm);
    cr_expect_eq(o->time_input, &ito_time_input_c_noise);
    cr_expect_str_eq(v->timestep_law.name, "lognormal-sigma");
    cr_expect(v->timestep_law.mean == mean && v->timestep_law.std == std);
    cr_expect(v->sampling.sampler == &ito_sampler_heun && v->sampling.steps == steps);
    cr_expect_eq(v->sampling.spacing, &ito_spacing_karras);
    cr_expect_eq(v->optimizer, &ito_optimizer_adam);
}

Test(recipe, edm_is_that_of_table_1_and_its_training_that_of_table_7)
{
    ito_recipe_values v = read(&ito_recipe_edm);
    assert_edm(&v, -1.2, 1.2, 18);
    cr_expect(v.lr == 1e-3 && v.dropout == 0.13 && v.uncertainty == 0);
    /* half of the weight after 0.5 million images */
    cr_expect_float_eq(log(0.5) / log(v.ema) * 512.0, 5e5, 0.02 * 5e5);
}

Test(recipe, edm2_is_that_of_table_6)
{
    ito_recipe_values v = read(&ito_recipe_edm2);
    assert_edm(&v, -0.4, 1.0, 32);
    cr_expect(v.beta1 == 0.9 && v.beta2 == 0.99 && v.dropout == 0.0 && v.guidance == 1.4);
    cr_expect(isnan(v.lr) && isnan(v.ema) && v.ema_sigma_rel == 0.025 && v.uncertainty == 128);
}

Test(recipe, edm2_interval_guides_where_kynkaanniemi_et_al_do)
{
    ito_recipe_values v = read(&ito_recipe_edm2_interval);
    assert_edm(&v, -0.4, 1.0, 32);
    cr_expect(v.guidance == 2.1 && v.guidance_lo == 0.28 && v.guidance_hi == 2.9);
    cr_expect(isnan(read(&ito_recipe_edm2).guidance_lo));
}

static void assert_flow(const ito_recipe_values *v, double shift)
{
    cr_expect(v->diffusion.schedule == &ito_schedule_flow && v->diffusion.shift == shift);
    cr_expect_eq(v->diffusion.prediction, &ito_prediction_flow);
    cr_expect_eq(v->diffusion.weighting, &ito_weighting_simple);
    cr_expect_eq(v->sampling.sampler, &ito_sampler_euler);
    cr_expect_eq(v->sampling.spacing, &ito_spacing_trailing);
}

Test(recipe, flow_is_that_of_lipman_et_al)
{
    ito_recipe_values v = read(&ito_recipe_flow);
    assert_flow(&v, 1.0);
    cr_expect_str_eq(v.timestep_law.name, "uniform");
    cr_expect(v.lr == 5e-4 && v.dropout == 0.0 && v.sampling.steps == ITO_ALL_STEPS);
}

Test(recipe, rectified_flow_has_logit_normal_times_and_sd3_a_shift)
{
    ito_recipe_values v = read(&ito_recipe_rectified_flow);
    assert_flow(&v, 1.0);
    cr_expect_eq(v.diffusion.time_input, &ito_time_input_timestep);
    cr_expect(v.optimizer == &ito_optimizer_adamw && v.lr == 1e-4 && v.label_dropout == 0.1);
    cr_expect_float_eq(pow(v.ema, 100.0), 0.99, 1e-4); /* 0.99 every 100 steps */
    ito_recipe_values w = read(&ito_recipe_sd3);
    assert_flow(&w, 3.0);
    cr_expect_eq(w.diffusion.time_input, &ito_time_input_noise);
    cr_expect_str_eq(w.timestep_law.name, "logit-normal");
    cr_expect(w.timestep_law.mean == 0.0 && w.timestep_law.std == 1.0 && w.sampling.steps == 25);
    cr_expect(memcmp(&v.timestep_law, &w.timestep_law, sizeof v.timestep_law) == 0);
}

/* ---- laws of times ---- */

/* Quantiles of the standard normal distribution, from a table. */
static const struct {
    double u, z;
} normal[] = {
    {0.025, -1.959963984540054}, {0.5, 0.0}, {0.8413447460685429, 1.0}, {0.99, 2.326347874040841}};

Test(recipe, quantiles_of_its_law_are_those_of_the_distribution)
{
    ito_recipe_values edm2 = read(&ito_recipe_edm2), sd3 = read(&ito_recipe_sd3);
    ito_diffusion *d = ito_diffusion_create_with(edm2.diffusion);
    ito_diffusion *e = ito_diffusion_create_with(sd3.diffusion);
    for (size_t i = 0; i < sizeof normal / sizeof normal[0]; i++) {
        double sigma = edm2.timestep_law.quantile(&edm2.timestep_law, d->process, normal[i].u);
        cr_expect_float_eq(log(sigma), -0.4 + normal[i].z, 1e-9);
        double t = sd3.timestep_law.quantile(&sd3.timestep_law, e->process, normal[i].u);
        double share = (t - 1e-3) / (1.0 - 1e-3);
        cr_expect_float_eq(log(share / (1.0 - share)), normal[i].z, 1e-9);
        /* After the shift it is the same law with a mean of log 3, but for the first thousandth. */
        ito_level at = ito_process_level(e->process, t);
        cr_expect_float_eq(log(at.noise / at.signal), log(3.0) + normal[i].z, 0.02);
    }
    ito_diffusion_free(d);
    ito_diffusion_free(e);
}

/* ---- all of them ---- */

Test(recipe, each_setting_has_its_place_in_the_paper_and_is_there_once)
{
    static const char *const needed[] = {"schedule",     "prediction", "objective", "weighting",
                                         "timestep_law", "sampler",    "spacing",   "optimizer"};
    FOR_EACH_RECIPE(recipe)
    {
        cr_expect_not_null(strstr(recipe->source, "arXiv:"), "%s", recipe->name);
        int found = 0;
        for (const ito_recipe_setting *s = recipe->settings; s->name != NULL; s++) {
            cr_expect(s->source != NULL && s->source[0] != '\0', "%s: %s", recipe->name, s->name);
            for (size_t k = 0; k < sizeof needed / sizeof needed[0]; k++)
                found += strcmp(s->name, needed[k]) == 0;
            for (const ito_recipe_setting *r = recipe->settings; r != s; r++)
                cr_expect_str_neq(r->name, s->name, "%s", recipe->name);
        }
        cr_expect_eq(found, (int)(sizeof needed / sizeof needed[0]), "%s", recipe->name);
    }
}

/* With the fewest steps of sampling that a solver can take. */
Test(recipe, each_trains_a_step_and_samples)
{
    FOR_EACH_RECIPE(recipe)
    {
        ito_scope_begin();
        ito_recipe_values v = read(recipe);
        ito_diffusion *d = ito_diffusion_create_with(v.diffusion);
        cr_assert_not_null(d, "%s: %s", recipe->name, ito_error());
        ito_unet_config c = tiny_unet_config(1);
        c.out_channels = d->variance->learned ? 2 : 1;
        c.dropout = isnan(v.dropout) ? 0.0 : v.dropout;
        ito_generator g = ito_generator_make(1, 0);
        ito_unet *unet = ito_unet_create(&c, &g);
        ito_uncertainty *u = NULL;
        if (v.uncertainty > 0)
            u = ito_uncertainty_create(&unet->base, "u", v.uncertainty, .generator = &g);
        ito_optimizer *opt = v.optimizer->create(&unet->base);
        ito_timestep_sampler *times = ito_timestep_sampler_create(d->process, &v.timestep_law);
        ito_diffusion_trainer trainer = {.diffusion = d,
                                         .network = &unet->network,
                                         .model = &unet->base,
                                         .optimizer = opt,
                                         .timesteps = times,
                                         .uncertainty = u};
        ito_train_result r;
        ito_tensor *x = ito_rand(&g, ITO_SHAPE(4, 1, 8, 8), ITO_F32);
        cr_assert_eq(ito_diffusion_train_step(&trainer, x, 0, 1e-3, &r), ITO_OK, "%s: %s",
                     recipe->name, ito_error());
        cr_expect(r.applied && r.loss > 0.0, "%s: %s", recipe->name, r.culprit);
        ito_module_train(&unet->base, false);
        if (v.sampling.steps == ITO_ALL_STEPS || v.sampling.steps > 4)
            v.sampling.steps = 4;
        ito_tensor *y =
            ito_diffusion_sample_with(d, &unet->network, ITO_SHAPE(2, 1, 8, 8), v.sampling);
        cr_assert_not_null(y, "%s: %s", recipe->name, ito_error());
        cr_expect(isfinite(ito_item(ito_sum(ito_abs(y)))), "%s", recipe->name);
        ito_timestep_sampler_free(times);
        ito_optimizer_free(opt);
        ito_module_free(&unet->base);
        ito_diffusion_free(d);
        ito_scope_end();
    }
}

Test(recipe, no_two_are_the_same)
{
    FOR_EACH_RECIPE(recipe)
    {
        ito_recipe_values v = read(recipe);
        for (int64_t k = 0; k < i; k++) {
            ito_recipe_values w = read((const void *)list[k]);
            cr_expect_neq(memcmp(&v, &w, sizeof v), 0, "%s and %s", recipe->name, list[k]->name);
        }
    }
}

/* ---- a user's own, and what is refused ---- */

static ito_recipe own(const ito_recipe_setting *settings)
{
    return (ito_recipe){.name = "mine", .settings = settings};
}

Test(recipe, a_recipe_of_ones_own_is_as_good)
{
    ito_recipe mine = own((ito_recipe_setting[]){{"schedule", "vp", 0, NULL},
                                                 {"steps", NULL, 0, NULL},
                                                 {"timestep_law", "logit-normal", 0, NULL},
                                                 {"mean", NULL, -1, NULL},
                                                 {NULL, NULL, 0, NULL}});
    ito_recipe_values v = read(&mine);
    cr_expect(v.diffusion.schedule == &ito_schedule_vp && v.diffusion.steps == 0);
    cr_expect(v.timestep_law.mean == -1.0 && v.timestep_law.std == 1.0);
    cr_expect(v.diffusion.prediction == NULL && v.optimizer == NULL && isnan(v.lr));
}

/* A recipe of these settings and their end; out stays as it was. */
static void assert_unread(ito_recipe_setting first, ito_recipe_setting second, ito_status code,
                          const char *message)
{
    ito_recipe mine = own((ito_recipe_setting[]){first, second, {NULL, NULL, 0, NULL}});
    ito_recipe_values v = {.lr = 7.0};
    assert_refused_status(ito_recipe_read(&mine, &v), code, message);
    cr_expect_eq(v.lr, 7.0);
}

#define NOTHING ((ito_recipe_setting){NULL, NULL, 0, NULL})
#define CHOSEN(name, choice) ((ito_recipe_setting){name, choice, 0, NULL})
#define NUMBERED(name, number) ((ito_recipe_setting){name, NULL, number, NULL})

Test(recipe, a_setting_that_there_is_not_is_refused)
{
    assert_unread(NUMBERED("colour", 1), NOTHING, ITO_ERR_ARGUMENT,
                  "recipe mine: there is no setting \"colour\"");
}

Test(recipe, an_unknown_choice_is_refused)
{
    assert_unread(CHOSEN("sampler", "x"), NOTHING, ITO_ERR_ARGUMENT,
                  no_such_choice("sampler", "sampler", "x"));
}

Test(recipe, a_choice_in_place_of_a_number_is_refused)
{
    assert_unread(CHOSEN("lr", "fast"), NOTHING, ITO_ERR_ARGUMENT,
                  "recipe mine: lr is a number, and a choice was given");
}

Test(recipe, a_number_in_place_of_a_choice_is_refused)
{
    assert_unread(NUMBERED("schedule", 3), NOTHING, ITO_ERR_ARGUMENT,
                  "recipe mine: schedule is a choice, and a number was given");
}

Test(recipe, a_count_that_is_not_whole_is_refused)
{
    assert_unread(NUMBERED("sampling_steps", 2.5), NOTHING, ITO_ERR_RANGE,
                  "recipe mine: sampling_steps is 2.5, which is not a whole number");
    assert_unread(NUMBERED("steps", -1), NOTHING, ITO_ERR_RANGE,
                  "recipe mine: steps is -1, which is not a whole number");
}

Test(recipe, a_mean_of_a_law_without_one_is_refused)
{
    assert_unread(NUMBERED("mean", 1), NOTHING, ITO_ERR_ARGUMENT,
                  "recipe mine: the law of times uniform has no mean");
    assert_unread(CHOSEN("timestep_law", "stratified"), NUMBERED("std", 1), ITO_ERR_ARGUMENT,
                  "recipe mine: the law of times stratified has no std");
}

Test(recipe, a_missing_recipe_is_refused)
{
    ito_recipe_values v;
    assert_refused_status(ito_recipe_read(NULL, &v), ITO_ERR_ARGUMENT,
                          "recipe: the recipe is NULL");
    assert_refused_status(ito_recipe_read(&(ito_recipe){.name = "mine"}, &v), ITO_ERR_ARGUMENT,
                          "recipe: the list of settings is NULL");
}

Test(recipe, an_unknown_name_is_refused_with_those_there_are)
{
    assert_refused(ito_recipe_find("edm3"), ITO_ERR_ARGUMENT,
                   no_such_choice("recipe", "recipe", "edm3"));
}
