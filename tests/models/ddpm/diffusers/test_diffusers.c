/* Directories of diffusers, written and read: every setting that both sides have comes back. What
 * diffusers itself makes of them: tests/reference/diffusers_both_ways.py. */
#include "tests/models/ddpm/diffusers/diffusers_check.h"

#include <math.h>

TestSuite(diffusers, .init = check_enter, .fini = check_leave);

static uint32_t checksum(const ito_ddpm *m)
{
    uint32_t sum;
    cr_assert_eq(ito_module_checksum(&m->unet->base, &sum), ITO_OK);
    return sum;
}

/* ---- the network ---- */

/* The text of the network's settings. */
static char *model_text(const ito_ddpm *m)
{
    ito_ddpm_settings s = {.model = m->settings.model,
                           .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    char *text = ito_ddpm_settings_format(&s);
    cr_assert_not_null(text, "%s", ito_error());
    return text;
}

static void network_comes_back(ito_unet_config c, const char *what)
{
    ito_ddpm_settings s = {.model = c, .diffusion = ITO_OPTIONS(ito_diffusion_options)};
    ito_ddpm *m = model_with(s, c.classes > 0 ? ", \"class_names\": [\"cat\", \"dog\"]" : "");
    ito_ddpm *back = through(m, "d");
    char *before = model_text(m), *after = model_text(back);
    cr_expect_str_eq(after, before, "%s", what);
    cr_expect_eq(checksum(back), checksum(m), "%s", what);
    cr_expect_null(back->notes);
    free(before);
    free(after);
    ito_ddpm_free(m);
    ito_ddpm_free(back);
    remove_tree("d");
}

#define COMES_BACK(...)                                                                            \
    do {                                                                                           \
        ito_unet_config c = tiny_unet_config(1);                                                   \
        __VA_ARGS__;                                                                               \
        network_comes_back(c, #__VA_ARGS__);                                                       \
    } while (0)

Test(diffusers, every_setting_of_the_network_comes_back)
{
    COMES_BACK(c.in_channels = 3);
    COMES_BACK(c.in_channels = 1, c.width = 16);
    COMES_BACK(c.blocks = 2, c.dropout = 0.25);
    COMES_BACK(c.groups = 2);
    COMES_BACK(c.attention[0] = true, c.attention[1] = false);
    COMES_BACK(c.multipliers[1] = 0, c.widths[1] = 12);
    COMES_BACK(c.up_attention[1] = ITO_UNET_UP_NO_ATTENTION);
    COMES_BACK(c.up_attention[0] = ITO_UNET_UP_ATTENTION);
    COMES_BACK(c.head_channels = 8);
    COMES_BACK(c.middle = ITO_UNET_MIDDLE_NO_ATTENTION);
    COMES_BACK(c.middle = ITO_UNET_MIDDLE_NONE);
    COMES_BACK(c.middle_scale = 2.0);
    COMES_BACK(c.down_resnet[0] = true, c.up_resnet[1] = true);
    COMES_BACK(c.attention[0] = true, c.down_resnet[0] = true);
    COMES_BACK(c.downsample_padding = 1);
    COMES_BACK(c.activation = ITO_UNET_MISH);
    COMES_BACK(c.activation = ITO_UNET_GELU);
    COMES_BACK(c.activation = ITO_UNET_RELU);
    COMES_BACK(c.norm_eps = 1e-5);
    COMES_BACK(c.scale_shift = true);
    COMES_BACK(c.scale_shift = true, c.middle_attention_groups = 2);
    COMES_BACK(c.time = ITO_UNET_TIME_FOURIER);
    COMES_BACK(c.time = ITO_UNET_TIME_LEARNED, c.times = 1000);
    COMES_BACK(c.freq_divisor = 4, c.flip_sin_to_cos = true);
    COMES_BACK(c.time_channels = 24);
    COMES_BACK(c.class_kind = ITO_UNET_CLASS_TIMESTEP);
    COMES_BACK(c.class_kind = ITO_UNET_CLASS_EMBEDDED);
    COMES_BACK(c.classes = 2);
    COMES_BACK(c.classes = 2, c.class_kind = ITO_UNET_CLASS_ALWAYS);
    COMES_BACK(c.center_input = true);
}

Test(diffusers, every_setting_is_written_nulls_too)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    ito_ddpm_free(through(m, "d"));
    char *config = read_text("d/unet/config.json");
    static const char *const lines[] = {
        "\"_class_name\":\t\"UNet2DModel\"",
        "\"_diffusers_version\":",
        "\"sample_size\":\t8",
        "\"block_out_channels\":\t[8, 16]",
        "\"down_block_types\":\t[\"DownBlock2D\", \"AttnDownBlock2D\"]",
        "\"up_block_types\":\t[\"AttnUpBlock2D\", \"UpBlock2D\"]",
        "\"in_channels\":\t1",
        "\"out_channels\":\t1",
        "\"center_input_sample\":\tfalse",
        "\"time_embedding_type\":\t\"positional\"",
        "\"time_embedding_dim\":\tnull",
        "\"freq_shift\":\t1",
        "\"flip_sin_to_cos\":\tfalse",
        "\"mid_block_type\":\t\"UNetMidBlock2D\"",
        "\"layers_per_block\":\t1",
        "\"mid_block_scale_factor\":\t1",
        "\"downsample_padding\":\t0",
        "\"downsample_type\":\t\"conv\"",
        "\"upsample_type\":\t\"conv\"",
        "\"dropout\":\t0",
        "\"act_fn\":\t\"silu\"",
        "\"attention_head_dim\":\tnull",
        "\"norm_num_groups\":\t4",
        "\"attn_norm_num_groups\":\tnull",
        "\"norm_eps\":\t1e-06",
        "\"resnet_time_scale_shift\":\t\"default\"",
        "\"add_attention\":\ttrue",
        "\"class_embed_type\":\tnull",
        "\"num_class_embeds\":\tnull",
        "\"num_train_timesteps\":\tnull"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect_not_null(strstr(config, lines[i]), "%s lacks %s", config, lines[i]);
    char *index = read_text("d/model_index.json");
    cr_expect_str_eq(index, "{\n\t\"_class_name\":\t\"DDPMPipeline\",\n"
                            "\t\"_diffusers_version\":\t\"0.42.1\",\n"
                            "\t\"scheduler\":\t[\"diffusers\", \"DDPMScheduler\"],\n"
                            "\t\"unet\":\t[\"diffusers\", \"UNet2DModel\"]\n}\n");
    ito_safetensors *f = ito_safetensors_open("d/unet/diffusion_pytorch_model.safetensors");
    cr_expect_str_eq(ito_safetensors_metadata(f, "format"), "pt");
    ito_safetensors_close(f);
    free(config);
    free(index);
    ito_ddpm_free(m);
}

/* ---- the process ---- */

/* The process, the prediction and the variance are the same. */
static void diffusion_comes_back(ito_diffusion_options o, const char *what)
{
    ito_ddpm *m = model_with(tiny_settings(o), ""), *back = through(m, "d");
    const ito_process *p = m->diffusion->process, *q = back->diffusion->process;
    cr_assert_eq(q->steps, p->steps, "%s", what);
    for (int64_t t = 0; t < p->steps; t++) {
        cr_expect_float_eq(q->signal[t], p->signal[t], 1e-12, "%s, step %d", what, (int)t);
        cr_expect_float_eq(q->noise[t], p->noise[t], 1e-12, "%s, step %d", what, (int)t);
    }
    cr_expect_eq(back->diffusion->prediction, m->diffusion->prediction, "%s", what);
    cr_expect_eq(back->diffusion->variance, m->diffusion->variance, "%s", what);
    cr_expect_eq(back->diffusion->objective, m->diffusion->objective, "%s", what);
    cr_expect_str_eq(back->diffusion->weighting->name, m->diffusion->weighting->name, "%s", what);
    ito_ddpm_free(m);
    ito_ddpm_free(back);
    remove_tree("d");
}

#define DIFFUSION_COMES_BACK(...)                                                                  \
    diffusion_comes_back(ITO_OPTIONS(ito_diffusion_options, __VA_ARGS__), #__VA_ARGS__)

Test(diffusers, every_process_in_steps_that_preserves_the_variance_comes_back)
{
    int64_t n, written = 0;
    const ito_choice *const *all = ito_choices("schedule", &n);
    for (int64_t i = 0; i < n; i++) {
        const ito_schedule_family *family = ito_schedule_find(all[i]->name);
        ito_process *p = ito_process_create(family, .steps = 20);
        if (p == NULL || fabs(hypot(p->signal[9], p->noise[9]) - 1.0) > 1e-9) {
            ito_error_clear();
            ito_process_free(p);
            continue;
        }
        ito_process_free(p);
        diffusion_comes_back(ITO_OPTIONS(ito_diffusion_options, .schedule = family, .steps = 20),
                             family->name);
        written++;
    }
    cr_expect_geq(written, 8);
    static const double betas[] = {0.1, 0.25, 0.5};
    DIFFUSION_COMES_BACK(.betas = betas, .steps = 3);
    DIFFUSION_COMES_BACK(.beta_start = 0.002, .beta_end = 0.1, .steps = 30);
    DIFFUSION_COMES_BACK(.schedule = &ito_schedule_cosine, .steps = 30, .zero_terminal_snr = true,
                         .prediction = &ito_prediction_v);
    DIFFUSION_COMES_BACK(.schedule = &ito_schedule_const, .steps = 30, .zero_terminal_snr = true,
                         .prediction = &ito_prediction_x_0);
}

Test(diffusers, predictions_variances_and_the_loss_come_back)
{
    DIFFUSION_COMES_BACK(.prediction = &ito_prediction_eps);
    DIFFUSION_COMES_BACK(.prediction = &ito_prediction_x_0);
    DIFFUSION_COMES_BACK(.prediction = &ito_prediction_v, .weighting = &ito_weighting_min_snr,
                         .gamma = 3.0);
    DIFFUSION_COMES_BACK(.variance = &ito_variance_fixedsmall);
    DIFFUSION_COMES_BACK(.variance = &ito_variance_fixedlarge);
    DIFFUSION_COMES_BACK(.variance = &ito_variance_learned_range, .objective = &ito_objective_vlb);
}

/* ---- samples ---- */

static void sampling_comes_back(const char *said, const char *class)
{
    char more[300];
    snprintf(more, sizeof more, ", \"sampling\": %s", said);
    ito_ddpm *m = model_with(
        tiny_settings(ITO_OPTIONS(ito_diffusion_options, .variance = &ito_variance_fixedsmall)),
        more);
    ito_ddpm *back = through(m, "d");
    const ito_ddpm_sampling *a = &m->sampling, *b = &back->sampling;
    char *text = read_text("d/scheduler/scheduler_config.json");
    cr_expect_not_null(strstr(text, class), "%s is no %s", text, class);
    cr_expect_eq(b->sampler, a->sampler != NULL ? a->sampler : &ito_sampler_ddpm, "%s", said);
    cr_expect_eq(b->spacing, a->spacing != NULL ? a->spacing : ito_sampler_ddpm.spacing, "%s",
                 said);
    cr_expect_eq(b->no_clip, a->no_clip, "%s", said);
    cr_expect_eq(b->threshold, a->threshold, "%s", said);
    cr_expect_eq(b->end_at_first, a->end_at_first, "%s", said);
    cr_expect_eq(b->steps, a->steps, "%s", said);
    free(text);
    ito_ddpm_free(m);
    ito_ddpm_free(back);
    remove_tree("d");
}

Test(diffusers, how_samples_are_made_comes_back)
{
    sampling_comes_back("{}", "\"DDPMScheduler\"");
    sampling_comes_back("{\"sampler\": \"ddpm\", \"spacing\": \"leading\", \"steps\": 40}",
                        "\"DDPMScheduler\"");
    sampling_comes_back("{\"spacing\": \"trailing\", \"threshold\": 0.99}", "\"DDPMScheduler\"");
    sampling_comes_back("{\"sampler\": \"ddim\", \"spacing\": \"linspace\", \"no_clip\": true}",
                        "\"DDIMScheduler\"");
    sampling_comes_back("{\"sampler\": \"ddim\", \"spacing\": \"leading\", \"end_at_first\": true}",
                        "\"DDIMScheduler\"");
    static const char dpm[] = "\"DPMSolverMultistepScheduler\"";
    sampling_comes_back("{\"sampler\": \"dpm++2m\", \"spacing\": \"karras\"}", dpm);
    sampling_comes_back("{\"sampler\": \"dpm++3m\", \"spacing\": \"log-snr\", \"no_clip\": true}",
                        dpm);
    sampling_comes_back("{\"sampler\": \"dpm++2m-sde\", \"spacing\": \"trailing\", "
                        "\"end_at_first\": true}",
                        dpm);
    sampling_comes_back("{\"sampler\": \"dpm++1s\", \"spacing\": \"leading\", \"threshold\": 0.9}",
                        dpm);
}

/* The notes of a save, which are then freed. */
static void notes_are(const char *more, const char *notes)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), more);
    char *said = NULL;
    cr_assert_eq(ito_ddpm_save_diffusers(m, "d", .notes = &said), ITO_OK, "%s", ito_error());
    cr_assert_not_null(said);
    cr_expect_str_eq(said, notes);
    free(said);
    ito_ddpm_free(m);
    remove_tree("d");
}

Test(diffusers, samples_that_are_made_otherwise_there_are_said)
{
    notes_are(", \"sampling\": {\"sampler\": \"heun\"}",
              "the sampler heun has no scheduler that DDPMPipeline drives: DDPMScheduler was "
              "written\n");
    notes_are(", \"sampling\": {\"spacing\": \"trailing\"}",
              "DDPMScheduler would leave noise after the last of trailing steps, with fixed_large: "
              "linspace was written\n");
    notes_are(", \"sampling\": {\"spacing\": \"karras\"}",
              "the spacing karras has no form in this scheduler: linspace was written\n");
}

/* ---- classes ---- */

#define CLASSES ", \"class_names\": [\"cat\", \"dog\"], \"label_dropout\": 0.25"

static ito_ddpm *model_of_two_classes(void)
{
    ito_ddpm_settings s = tiny_settings(ITO_OPTIONS(ito_diffusion_options));
    s.model.classes = 2;
    return model_with(s, CLASSES);
}

Test(diffusers, classes_keep_their_names_and_have_no_pipeline)
{
    ito_ddpm *m = model_of_two_classes();
    char *notes = NULL;
    cr_assert_eq(ito_ddpm_save_diffusers(m, "d", .notes = &notes), ITO_OK, "%s", ito_error());
    cr_expect_str_eq(notes, "DDPMPipeline gives no labels, and the network takes them: there is no "
                            "model_index.json; load unet/ and scheduler/ by themselves\n");
    free(notes);
    cr_expect(!is_there("d/model_index.json"));
    char *config = read_text("d/unet/config.json");
    cr_expect_not_null(strstr(config, "\"num_class_embeds\":\t3"), "%s", config);
    free(config);
    ito_ddpm *back = ito_ddpm_load("d");
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(back->settings.model.classes, 2);
    cr_expect_eq(back->label_dropout, 0.25);
    cr_expect_str_eq(back->class_names[1], "dog");
    ito_ddpm_free(m);
    ito_ddpm_free(back);
}

/* Metadata of weights that no longer fit config.json say nothing of its classes. */
Test(diffusers, classes_that_were_others_are_numbered)
{
    ito_ddpm *m = model_of_two_classes();
    cr_assert_eq(ito_ddpm_save_diffusers(m, "d"), ITO_OK, "%s", ito_error());
    cr_assert_eq(system("sed -i 's/\"num_class_embeds\":.*/\"num_class_embeds\": 7,/' "
                        "d/unet/config.json"),
                 0);
    ito_ddpm *back = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(back->settings.model.classes, 7);
    cr_expect_eq(back->label_dropout, 0.0);
    cr_expect_str_eq(back->class_names[6], "6");
    ito_ddpm_free(back);
    ito_ddpm_free(m);
}

/* As diffusers' own save_pretrained leaves them: without Ito's metadata. */
Test(diffusers, classes_of_weights_of_diffusers_are_numbered)
{
    ito_ddpm *m = model_of_two_classes();
    cr_assert_eq(ito_ddpm_save_diffusers(m, "d"), ITO_OK, "%s", ito_error());
    cr_assert_eq(ito_module_save(&m->unet->base, "d/unet/diffusion_pytorch_model.safetensors"),
                 ITO_OK);
    ito_ddpm *back = ito_ddpm_load("d");
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(back->settings.model.classes, 3);
    cr_expect_eq(back->settings.model.class_kind, ITO_UNET_CLASS_ALWAYS);
    cr_expect_eq(back->label_dropout, 0.0);
    cr_expect_str_eq(back->class_names[2], "2");
    cr_expect_eq(checksum(back), checksum(m));
    ito_ddpm_free(m);
    ito_ddpm_free(back);
}

/* ---- layouts ---- */

Test(diffusers, files_in_the_root_and_a_unet_alone_are_read)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options, .steps = 50)), "");
    ito_ddpm *pipeline = through(m, "d");
    cr_assert_eq(system("mkdir root alone && cp d/unet/* d/model_index.json root && "
                        "cp d/scheduler/* root && cp d/unet/* alone"),
                 0);
    static const char *const paths[] = {"root", "d/unet", "root/", "alone",
                                        "alone/diffusion_pytorch_model.safetensors"};
    for (int i = 0; i < 5; i++) {
        ito_ddpm *other = ito_ddpm_load(paths[i]);
        cr_assert_not_null(other, "%s", ito_error());
        cr_expect_eq(checksum(other), checksum(pipeline), "%s", paths[i]);
        bool lone = i == 3;
        cr_expect_eq(other->diffusion->process->steps, lone ? 1000 : 50, "%s", paths[i]);
        if (lone)
            cr_expect_str_eq(other->notes, "alone: it has no scheduler_config.json: taken as "
                                           "linear, 1000 steps, eps\n");
        ito_ddpm_free(other);
    }
    ito_ddpm_free(m);
    ito_ddpm_free(pipeline);
}

Test(diffusers, a_file_is_read_by_the_config_beside_it)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    ito_ddpm_free(through(m, "d"));
    cr_assert_eq(ito_module_save(&m->unet->base, "d/unet/mine.safetensors"), ITO_OK);
    ito_ddpm *back = ito_ddpm_load("d/unet/mine.safetensors");
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(checksum(back), checksum(m));
    cr_expect_str_eq(back->path, "d/unet/mine.safetensors");
    ito_ddpm_free(back);
    cr_assert_eq(rename("d/unet/mine.safetensors", "mine.safetensors"), 0);
    expect_refused(ito_ddpm_load("mine.safetensors"), ITO_ERR_IO,
                   "mine.safetensors: neither the file nor a state.json beside it says what "
                   "network it is for; weights of diffusers need their config.json beside them");
    ito_ddpm_free(m);
}

Test(diffusers, python_writes_infinities)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    ito_ddpm_free(through(m, "d"));
    write_text("d/scheduler/scheduler_config.json",
               "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": "
               "-Infinity, \"_\": \"\\\"-Infinity\", \"sigma_max\": null}");
    ito_ddpm *back = ito_ddpm_load("d");
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(back->sampling.sampler, &ito_sampler_dpmpp_2m);
    cr_expect(back->sampling.no_clip);
    cr_expect_null(back->notes);
    ito_ddpm_free(m);
    ito_ddpm_free(back);
}

/* ---- nothing half-written ---- */

Test(diffusers, a_directory_is_never_written_over)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    mkdir("empty", 0777);
    mkdir("full", 0777);
    write_text("full/mine", "x");
    cr_expect_eq(ito_ddpm_save_diffusers(m, "empty"), ITO_OK, "%s", ito_error());
    cr_expect_eq(ito_ddpm_save_diffusers(m, "full/"), ITO_ERR_IO);
    expect_error(ITO_ERR_IO, "full/: it is there already; name a directory that is new or empty");
    cr_expect_eq(ito_ddpm_save_diffusers(m, "full/mine"), ITO_ERR_IO);
    expect_error(ITO_ERR_IO,
                 "full/mine: it is there already; name a directory that is new or empty");
    cr_expect_eq(ito_ddpm_save_diffusers(m, "no/where"), ITO_ERR_IO);
    expect_error_with(ITO_ERR_IO, ": cannot make the directory: No such file or directory");
    cr_expect_eq(system("test -z \"$(find . -name '*.tmp*')\""), 0);
    ito_ddpm_free(m);
}

typedef struct attempt {
    const ito_ddpm *model;
} attempt;

static ito_status save_attempt(void *context)
{
    remove_tree("d");
    return ito_ddpm_save_diffusers(((attempt *)context)->model, "d");
}

static ito_status load_attempt(void *context)
{
    ito_ddpm *m = ito_ddpm_load(context);
    ito_ddpm_free(m);
    return m != NULL ? ITO_OK : ito_error_code();
}

Test(diffusers, failed_allocations_are_errors)
{
    ito_ddpm *m = model_of_two_classes();
    attempt a = {m};
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = struct_alloc, .free_fn = free});
    int64_t saves = count_failed_allocations(save_attempt, &a);
    int64_t loads = count_failed_allocations(load_attempt, (void *)"d");
    cJSON_InitHooks(NULL);
    cr_expect_gt(saves, 100, "%d", (int)saves);
    cr_expect_gt(loads, 100, "%d", (int)loads);
    cr_expect_eq(system("test -z \"$(find . -name '*.tmp*')\""), 0);
    ito_ddpm_free(m);
}

/* ---- weights that another program saved ---- */

/* The weights of "d" once more, with something in front of their names. */
static void put_in_front(const char *prefix)
{
    enum { MOST = 400 };
    static char text[MOST][120];
    static const char *names[MOST];
    static ito_tensor *tensors[MOST];
    const char *path = "d/unet/diffusion_pytorch_model.safetensors";
    ito_weights *w = ito_weights_open(path);
    int64_t n = ito_weights_count(w);
    cr_assert(n > 0 && n <= MOST, "%s", ito_error());
    for (int64_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], "%s%.90s", prefix, ito_weights_name(w, i));
        names[i] = text[i];
        tensors[i] = ito_weights_read(w, ito_weights_name(w, i));
    }
    ito_weights_close(w);
    cr_assert_eq(ito_safetensors_save(path, n, names, tensors, 0, NULL, NULL), ITO_OK, "%s",
                 ito_error());
}

Test(diffusers, what_stands_in_front_of_the_names_is_cut_off_with_a_word)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    cr_assert_eq(ito_ddpm_save_diffusers(m, "d"), ITO_OK, "%s", ito_error());
    put_in_front("state_dict.module.");
    ito_ddpm *back = ito_ddpm_load("d");
    cr_assert_not_null(back, "%s", ito_error());
    cr_expect_eq(checksum(back), checksum(m));
    cr_expect_str_eq(back->notes,
                     "d/unet/diffusion_pytorch_model.safetensors: \"state_dict.module.\" in front "
                     "of its names was left out\n");
    ito_ddpm_free(m);
    ito_ddpm_free(back);
}

Test(diffusers, weights_without_settings_are_refused)
{
    write_text("a.index.json", "{\"weight_map\": {\"a\": \"b.safetensors\"}}");
    ito_tensor *t = ito_ones(ITO_SHAPE(2), ITO_F32);
    cr_assert_eq(ito_safetensors_save("b.safetensors", 1, (const char *[]){"a"}, &t, 0, NULL, NULL),
                 ITO_OK, "%s", ito_error());
    cr_expect_null(ito_ddpm_load("a.index.json"));
    expect_error(ITO_ERR_IO, "a.index.json: neither the file nor a state.json beside it says what "
                             "network it is for; weights of diffusers need their config.json "
                             "beside them");
}
