/* A trained network in one call: runs, checkpoints and files of weights, and what is refused. */
#include "models/ddpm/load.h"

#include "models/ddpm/sampler/sampler.h"
#include "nn/checkpoint.h"
#include "nn/layers.h"
#include "tensor/internal.h"
#include "tests/expect.h"
#include "tests/german.h"
#include "tests/models/ddpm/ddpm_check.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory;

static void enter(void)
{
    directory = temporary_directory();
    cr_assert_eq(chdir(directory), 0);
    ito_scope_begin();
}

static void leave(void)
{
    ito_scope_end();
    cr_assert_eq(chdir("/"), 0);
    remove_tree(directory);
}

TestSuite(load, .init = enter, .fini = leave);

#define SAYS ", \"class_names\": [\"cat\", \"dog\"], \"label_dropout\": 0.25"

/* Two classes, with the run's own members `more` behind "model" and "diffusion". */
static char *settings_text(const char *more, bool self_condition)
{
    ito_ddpm_settings s = {.model = tiny_unet_config(1),
                           .diffusion = ITO_OPTIONS(ito_diffusion_options, .steps = 10)};
    s.model.classes = 2;
    s.model.self_condition = self_condition;
    char *text = ito_ddpm_settings_format(&s), *all = NULL;
    cr_assert_not_null(text, "%s", ito_error());
    *strrchr(text, '}') = '\0';
    cr_assert_gt(asprintf(&all, "%s%s}", text, more), 0);
    free(text);
    return all;
}

/* A run with a checkpoint of this step; its averages are not its weights. */
static void write_run(const char *dir, const char *more, int64_t step, bool self_condition)
{
    char *text = settings_text(more, self_condition), path[100];
    ito_ddpm_settings s;
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &s), ITO_OK, "%s", ito_error());
    ito_generator g = ito_generator_make((uint64_t)step, 0);
    ito_unet *unet = ito_unet_create(&s.model, &g);
    ito_ema *ema = ito_ema_create(&unet->base, .decay = 0.5);
    ito_named_tensors *p = ito_module_parameters(&unet->base);
    ITO_NO_GRAD ito_fill_(p->tensors[0], 1.0);
    ito_named_tensors_free(p);
    ito_training_state state = {.model = &unet->base, .ema = ema, .step = step, .settings = text};
    snprintf(path, sizeof path, "%s/checkpoints", dir);
    mkdir(dir, 0777);
    cr_assert_eq(ito_checkpoint_save(path, &state), ITO_OK, "%s", ito_error());
    ito_ema_free(ema);
    ito_module_free(&unet->base);
    free(text);
}

static ito_ddpm *loaded(ito_ddpm *m)
{
    cr_assert_not_null(m, "%s", ito_error());
    cr_assert_eq(ito_error_code(), ITO_OK);
    return m;
}

static uint32_t checksum(const ito_ddpm *m)
{
    uint32_t sum;
    cr_assert_eq(ito_module_checksum(&m->unet->base, &sum), ITO_OK);
    return sum;
}

static uint32_t checksum_of(ito_ddpm *m)
{
    uint32_t sum = checksum(loaded(m));
    ito_ddpm_free(m);
    return sum;
}

Test(load, the_shipped_network_is_ready_to_sample)
{
    ito_ddpm *m = loaded(ito_ddpm_fashion_mnist());
    cr_expect_eq(m->settings.model.classes, 10);
    cr_expect_eq(m->step, 12000);
    cr_expect_str_eq(m->class_names[9], "boot");
    cr_expect_str_eq(m->path, "fashion-mnist");
    cr_expect_eq(ito_ddpm_class(m, "boot"), 9);
    cr_expect(!m->unet->base.training);
    m->condition->labels = ito_full(ITO_SHAPE(2), 9, ITO_I64);
    ito_tensor *x = ito_diffusion_sample(m->diffusion, m->network, ito_ddpm_shape(m, 2), .steps = 2,
                                         .sampler = &ito_sampler_dpmpp_2m);
    cr_assert_not_null(x, "%s", ito_error());
    cr_expect(ito_size(x, 0) == 2 && ito_size(x, 1) == 1 && ito_size(x, 2) == 28);
    cr_expect(isfinite(ito_item(ito_sum(x))));
    ito_ddpm_free(m);
}

Test(load, a_run_a_checkpoint_and_its_file_are_one_network)
{
    write_run("r", SAYS, 3, false);
    write_run("r", SAYS, 12, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    cr_expect_eq(m->step, 12);
    cr_expect_str_eq(m->path, "r/checkpoints/step-12/ema.safetensors");
    cr_expect_eq(m->label_dropout, 0.25);
    cr_expect_str_eq(m->class_names[0], "cat");
    cr_expect_str_eq(m->class_names[1], "dog");
    cr_expect_eq(m->diffusion->process->steps, 10);
    uint32_t sum = checksum(m);
    ito_ddpm_free(m);
    cr_expect_eq(checksum_of(ito_ddpm_load("r/checkpoints/step-12")), sum);
    cr_expect_eq(checksum_of(ito_ddpm_load("r/checkpoints/step-12/ema.safetensors")), sum);
    cr_assert_eq(chdir("r/checkpoints/step-12"), 0);
    cr_expect_eq(checksum_of(ito_ddpm_load("ema.safetensors")), sum);
    cr_assert_eq(chdir(directory), 0);
    cr_expect_neq(checksum_of(ito_ddpm_load("r/checkpoints/step-3")), sum);

    uint32_t plain = checksum_of(ito_ddpm_load("r", .plain = true));
    cr_expect_neq(plain, sum);
    cr_expect_eq(checksum_of(ito_ddpm_load("r/checkpoints/step-12/model.safetensors")), plain);
}

Test(load, what_is_saved_is_loaded)
{
    write_run("r", SAYS, 5, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    cr_assert_eq(ito_ddpm_save(m, "exact.safetensors"), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_ddpm_save(m, "half.safetensors", .bf16 = true), ITO_OK, "%s", ito_error());
    cr_expect_eq(checksum_of(ito_ddpm_load("exact.safetensors")), checksum(m));
    ito_ddpm *half = loaded(ito_ddpm_load("half.safetensors"));
    cr_expect_eq(half->step, 5);
    cr_expect_str_eq(half->class_names[1], "dog");
    cr_expect_str_eq(ito_safetensors_metadata(half->file, "ito_ddpm_step"), "5");
    cr_expect_eq(ito_safetensors_dtype(half->file, 0), ITO_BF16);
    ito_ddpm_free(half);
    ito_ddpm_free(m);
}

Test(load, the_samples_that_the_run_wants_are_known)
{
    write_run("r",
              SAYS ", \"sampling\": {\"recipe\": \"edm\", \"sampler\": \"heun\", \"spacing\": "
                   "\"karras\", \"steps\": 18, \"guidance\": 1.5, \"guidance_interval\": "
                   "\"0.19,1.61\"}",
              1, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    const ito_ddpm_sampling *s = &m->sampling;
    cr_expect_eq(s->recipe, &ito_recipe_edm);
    cr_expect_eq(s->sampler, &ito_sampler_heun);
    cr_expect_eq(s->spacing, &ito_spacing_karras);
    cr_expect_eq(s->steps, 18);
    cr_expect_eq(s->guidance, 1.5);
    cr_expect(s->guidance_lo == 0.19 && s->guidance_hi == 1.61);
    cr_expect(m->guidance->sigma_lo == 0.19 && m->guidance->sigma_hi == 1.61);
    cr_expect_eq(m->guidance->scale, 1.0);
    ito_ddpm_free(m);

    write_run("silent", SAYS, 1, false);
    m = loaded(ito_ddpm_load("silent"));
    s = &m->sampling;
    cr_expect(s->recipe == NULL && s->sampler == NULL && s->spacing == NULL);
    cr_expect(s->steps == ITO_ALL_STEPS && isnan(s->guidance));
    cr_expect(s->guidance_lo == 0.0 && isinf(s->guidance_hi));
    ito_ddpm_free(m);

    write_run("open", SAYS ", \"sampling\": {\"guidance_interval\": \"0.5,inf\"}", 1, false);
    m = loaded(ito_ddpm_load("open"));
    cr_expect(m->sampling.guidance_lo == 0.5 && isinf(m->sampling.guidance_hi));
    ito_ddpm_free(m);
}

Test(load, settings_are_the_same_in_any_locale)
{
    const char *locale = begin_german();
    write_run("r", SAYS ", \"sampling\": {\"guidance\": 1.5, \"guidance_interval\": \"0.5,1.75\"}",
              1, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    end_german(locale);
    cr_expect_eq(m->label_dropout, 0.25);
    cr_expect_eq(m->settings.diffusion.beta_end, 0.02);
    cr_expect_eq(m->sampling.guidance, 1.5);
    cr_expect(m->sampling.guidance_lo == 0.5 && m->sampling.guidance_hi == 1.75);
    ito_ddpm_free(m);
}

Test(load, a_network_gets_what_it_takes)
{
    write_run("r", SAYS, 1, true);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    cr_expect_eq(m->guidance->network, &m->unet->network);
    cr_assert_not_null(m->self_condition);
    cr_expect_eq(m->self_condition->network, &m->guidance->base);
    cr_expect_eq(m->condition->network, &m->self_condition->base);
    cr_expect_eq(m->network, &m->condition->base);
    cr_assert_not_null(
        ito_diffusion_sample(m->diffusion, m->network, ito_ddpm_shape(m, 1), .steps = 2), "%s",
        ito_error());
    ito_ddpm_free(m);
}

Test(load, an_uncertainty_is_left_in_the_file)
{
    char *text = settings_text(SAYS ", \"uncertainty\": 4", false);
    ito_ddpm_settings s;
    cr_assert_eq(ito_ddpm_settings_parse(text, "here", &s), ITO_OK);
    ito_unet *unet = ito_unet_create(&s.model, NULL);
    ito_linear_create(&unet->base, "uncertainty", 4, 1, .generator = NULL);
    cr_assert_eq(
        ito_module_save(&unet->base, "u.safetensors",
                        .metadata_keys = (const char *const[]){"ito_ddpm_settings", "ito_step"},
                        .metadata_values = (const char *const[]){text, "9"}, .n_metadata = 2),
        ITO_OK, "%s", ito_error());
    ito_module_free(&unet->base);
    free(text);
    ito_ddpm *m = loaded(ito_ddpm_load("u.safetensors"));
    cr_expect_eq(m->step, 9); /* by the key of some files */
    ito_ddpm_free(m);
}

Test(load, settings_alone_have_no_network)
{
    write_run("r", SAYS, 7, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r", .settings_only = true));
    cr_expect(m->unet == NULL && m->network == NULL && m->diffusion == NULL && m->guidance == NULL);
    cr_expect_eq(m->step, 7);
    cr_expect_str_eq(m->class_names[1], "dog");
    cr_expect_eq(ito_ddpm_shape(m, 3).dim[0], 3);
    assert_refused_status(ito_ddpm_save(m, "x"), ITO_ERR_ARGUMENT,
                          "ddpm_save: the network is NULL");
    assert_refused_status(ito_ddpm_save(m, NULL), ITO_ERR_ARGUMENT, "ddpm_save: the path is NULL");
    assert_refused_status(ito_ddpm_set_variance(m, &ito_variance_fixedsmall), ITO_ERR_ARGUMENT,
                          "ddpm_set_variance: the network is NULL");
    ito_ddpm_free(m);
}

Test(load, another_variance_serves_all_parts)
{
    write_run("r", SAYS, 1, true);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    cr_expect_neq(m->diffusion->variance, &ito_variance_fixedsmall);
    cr_assert_eq(ito_ddpm_set_variance(m, &ito_variance_fixedsmall), ITO_OK, "%s", ito_error());
    cr_expect_eq(m->diffusion->variance, &ito_variance_fixedsmall);
    cr_expect_eq(m->settings.diffusion.variance, &ito_variance_fixedsmall);
    cr_expect_eq(m->guidance->diffusion, m->diffusion);
    cr_expect_eq(m->self_condition->diffusion, m->diffusion);
    assert_refused_status(ito_ddpm_set_variance(m, NULL), ITO_ERR_ARGUMENT,
                          "ddpm_set_variance: the variance is NULL");
    assert_refused_status(ito_ddpm_set_variance(m, &ito_variance_learned_range), ITO_ERR_ARGUMENT,
                          "ddpm_set_variance: the network has not learned one");
    m->settings.diffusion.variance = &ito_variance_learned_range;
    assert_refused_status(ito_ddpm_set_variance(m, &ito_variance_fixedsmall), ITO_ERR_ARGUMENT,
                          "ddpm_set_variance: the network has learned its own");
    ito_ddpm_free(m);
    ito_ddpm_free(NULL);
}

Test(load, classes_are_found_by_name)
{
    write_run("r", SAYS, 1, false);
    ito_ddpm *m = loaded(ito_ddpm_load("r"));
    cr_expect_eq(ito_ddpm_class(m, "dog"), 1);
    cr_expect_eq(ito_ddpm_class(m, "cow"), -1);
    expect_error(ITO_ERR_ARGUMENT, "ddpm_class: \"cow\" is none of cat, dog");
    cr_expect_eq(ito_ddpm_class(m, NULL), -1);
    expect_error(ITO_ERR_ARGUMENT, "ddpm_class: \"NULL\" is none of cat, dog");
    m->settings.model.classes = 0;
    cr_expect_eq(ito_ddpm_class(m, "dog"), -1);
    expect_error(ITO_ERR_ARGUMENT, "ddpm_class: the network has no classes");
    ito_ddpm_free(m);
}

/* ---- refusals ---- */

Test(load, paths_that_lead_nowhere_are_refused)
{
    mkdir("empty", 0777);
    mkdir("young", 0777);
    mkdir("young/checkpoints", 0777);
    expect_refused(ito_ddpm_load(NULL), ITO_ERR_ARGUMENT, "ddpm_load: the path is NULL");
    expect_refused(ito_ddpm_load("no"), ITO_ERR_IO, "no: cannot open: No such file or directory");
    expect_refused(
        ito_ddpm_load("empty"), ITO_ERR_ARGUMENT,
        "empty: it is neither a run (no checkpoints in it) nor a checkpoint (no state.json), nor "
        "does a config.json in it name a class of diffusers");
    expect_refused(ito_ddpm_load("young"), ITO_ERR_IO, "young: the run has no checkpoint yet");
    write_run("r", SAYS, 1, false);
    expect_refused(
        ito_ddpm_load("r/checkpoints/step-1/ema.safetensors", .plain = true), ITO_ERR_ARGUMENT,
        "r/checkpoints/step-1/ema.safetensors: it is one file of weights; a run or a checkpoint "
        "has plain weights beside averages");
    cr_assert_eq(system("cp r/checkpoints/step-1/ema.safetensors lone.safetensors"), 0);
    expect_refused(ito_ddpm_load("lone.safetensors"), ITO_ERR_IO,
                   "lone.safetensors: neither the file nor a state.json beside it says what "
                   "network it is for; weights of diffusers need their config.json beside them");
}

/* What a run says that is wrong is refused by what it is loaded from. */
static void is_refused(const char *more, ito_status code, const char *message)
{
    cr_assert_eq(system("rm -rf r"), 0);
    write_run("r", more, 1, false);
    ito_ddpm *m = ito_ddpm_load("r", .settings_only = true);
    cr_expect_null(m, "not refused: %s", message);
    ito_ddpm_free(m);
    expect_error(code, message);
}

#define FILE_OF "r/checkpoints/step-1/ema.safetensors: "

Test(load, settings_that_are_wrong_are_refused)
{
    static const char names[] = FILE_OF "\"class_names\" is missing or not 2 texts";
    static const char interval[] =
        FILE_OF "\"guidance_interval\" is not LOW,HIGH, two numbers from 0 that rise";
    is_refused("", ITO_ERR_FORMAT, names);
    is_refused(", \"class_names\": [\"cat\"]", ITO_ERR_FORMAT, names);
    is_refused(", \"class_names\": [\"cat\", 1]", ITO_ERR_FORMAT, names);
    is_refused(SAYS ", \"uncertainty\": \"x\"", ITO_ERR_FORMAT,
               FILE_OF "\"uncertainty\" is not a number from 0 on");
    is_refused(SAYS ", \"sampling\": {\"steps\": -1}", ITO_ERR_FORMAT,
               FILE_OF "\"steps\" is not a number from 0 on");
    is_refused(SAYS ", \"sampling\": {\"guidance\": true}", ITO_ERR_FORMAT,
               FILE_OF "\"guidance\" is not a number from 0 on");
    is_refused(SAYS ", \"sampling\": {\"sampler\": \"x\"}", ITO_ERR_ARGUMENT,
               no_such_choice("sampler", "sampler", "x"));
    for (int i = 0; i < 5; i++) {
        static const char *const bad[] = {"1", "2,1", "a,b", "-1,2", "1,2x"};
        char more[200];
        snprintf(more, sizeof more, SAYS ", \"sampling\": {\"guidance_interval\": \"%s\"}", bad[i]);
        is_refused(more, ITO_ERR_FORMAT, interval);
    }
}

Test(load, weights_that_lack_a_part_are_refused)
{
    char *text = settings_text(SAYS ", \"uncertainty\": 4", false);
    ito_tensor *x = ito_zeros(ITO_SHAPE(2), ITO_F32);
    cr_assert_eq(ito_safetensors_save("x.safetensors", 1, (const char *const[]){"x"}, &x, 1,
                                      (const char *const[]){"ito_ddpm_settings"},
                                      (const char *const[]){text}),
                 ITO_OK);
    free(text);
    expect_refused(ito_ddpm_load("x.safetensors"), ITO_ERR_FORMAT,
                   "x.safetensors: lacks conv_in.weight of the model");
}

static ito_status attempt(void *context)
{
    ito_ddpm *m = ito_ddpm_load(context);
    if (m == NULL)
        return ito_error_code();
    ito_ddpm_free(m);
    return ITO_OK;
}

Test(load, failed_allocations_are_errors)
{
    write_run("r", SAYS ", \"sampling\": {\"guidance_interval\": \"0.5,1\"}", 1, true);
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = struct_alloc, .free_fn = free});
    int64_t failed = count_failed_allocations(attempt, (void *)"r");
    cJSON_InitHooks(NULL);
    cr_expect_gt(failed, 100, "%d", (int)failed);
}
