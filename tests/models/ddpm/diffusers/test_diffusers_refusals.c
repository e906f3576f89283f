/* What diffusers has and Ito has not, and the other way round: each is refused by its name. */
#include "tests/models/ddpm/diffusers/diffusers_check.h"

TestSuite(diffusers_refusals, .init = check_enter, .fini = check_leave);

/* ---- reading ---- */

static const char unet[] = "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, "
                           "\"block_out_channels\": [8, 16], \"norm_num_groups\": 4, "
                           "\"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\"], "
                           "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"]";
static const char scheduler[] = "{\"_class_name\": \"DDPMScheduler\"";

/* Files of these settings, with one changed or added, in d; and a file of weights, which is not
 * reached. */
static void write_files(const char *unet_change, const char *scheduler_change)
{
    const char *const changes[] = {unet_change, scheduler_change};
    const char *const texts[] = {unet, scheduler};
    const char *const paths[] = {"d/unet/config.json", "d/scheduler/scheduler_config.json"};
    mkdir("d", 0777);
    mkdir("d/unet", 0777);
    mkdir("d/scheduler", 0777);
    for (int i = 0; i < 2; i++) {
        char text[2000];
        snprintf(text, sizeof text, "%s}", texts[i]);
        cJSON *root = cJSON_Parse(text), *change = cJSON_Parse(changes[i]), *item;
        cr_assert(root != NULL && change != NULL, "%s", changes[i]);
        while ((item = change->child) != NULL) {
            cJSON_DeleteItemFromObject(root, item->string);
            cJSON_AddItemToObject(root, item->string, cJSON_DetachItemViaPointer(change, item));
        }
        char *all = cJSON_Print(root);
        write_text(paths[i], all);
        free(all);
        cJSON_Delete(root);
        cJSON_Delete(change);
    }
    write_text("d/unet/diffusion_pytorch_model.safetensors", "x");
}

static void is_refused(const char *unet_change, const char *scheduler_change, const char *message)
{
    write_files(unet_change, scheduler_change);
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_expect_null(m, "was read: %s %s", unet_change, scheduler_change);
    ito_ddpm_free(m);
    cr_expect_str_eq(ito_error_message(), message);
    ito_error_clear();
}

/* The files as they are, which all cases change in one place. */
Test(diffusers_refusals, what_is_changed_below_is_read)
{
    write_files("{}", "{}");
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(m, "%s", ito_error());
    cr_expect_eq(m->settings.model.head_channels, 8);
    cr_expect_eq(m->settings.model.freq_divisor, 4);
    cr_expect_eq(m->sampling.spacing, &ito_spacing_leading);
    ito_ddpm_free(m);
}

#define UNET(change, message) is_refused(change, "{}", "d/unet/config.json: " message)

Test(diffusers_refusals, networks_that_ito_has_not)
{
    UNET("{\"_class_name\": \"UNet2DConditionModel\"}",
         "\"_class_name\" is \"UNet2DConditionModel\"; Ito reads UNet2DModel");
    UNET("{\"_class_name\": \"VQModel\"}", "\"_class_name\" is \"VQModel\"; Ito reads UNet2DModel");
    UNET("{\"addition_embed_type\": \"text\"}",
         "\"addition_embed_type\" is \"text\"; Ito has no such setting");
    UNET("{\"sample_size\": null}",
         "\"sample_size\" is null; Ito needs the height and width of the "
         "images: [32, 32]");
    UNET("{\"sample_size\": [8, 1e300]}",
         "\"sample_size\" is [8,1e+300]; Ito needs the height and width of the images: [32, 32]");
    UNET("{\"sample_size\": [8]}",
         "\"sample_size\" is [8]; Ito needs the height and width of the images: [32, 32]");
    UNET("{\"freq_shift\": -1e15}", "\"freq_shift\" is -1000000000000000; it is a whole number "
                                    "below 4, half of the channels");
    UNET("{\"freq_shift\": 0.5}", "\"freq_shift\" is 0.5; it is a whole number");
    UNET("{\"block_out_channels\": []}",
         "\"block_out_channels\" is []; it is a list of 1 to 8 numbers");
    UNET("{\"block_out_channels\": [8, 0.5]}",
         "\"block_out_channels\" is [8,0.5]; it is a list of whole numbers");
    UNET("{\"down_block_types\": [\"DownBlock2D\"]}",
         "\"down_block_types\" is [\"DownBlock2D\"]; it is a list of 2, as block_out_channels is");
    UNET("{\"down_block_types\": [\"DownBlock2D\", \"SkipDownBlock2D\"]}",
         "\"down_block_types\" is \"SkipDownBlock2D\"; a block can be DownBlock2D, AttnDownBlock2D "
         "or ResnetDownsampleBlock2D");
    UNET("{\"up_block_types\": [\"UpBlock2D\", \"KUpBlock2D\"]}",
         "\"up_block_types\" is \"KUpBlock2D\"; a block can be UpBlock2D, AttnUpBlock2D or "
         "ResnetUpsampleBlock2D");
    UNET("{\"downsample_type\": \"fir\"}",
         "\"downsample_type\" is \"fir\"; it can be conv or resnet");
    UNET("{\"mid_block_type\": \"UNetMidBlock2DCrossAttn\"}",
         "\"mid_block_type\" is \"UNetMidBlock2DCrossAttn\"; it can be UNetMidBlock2D");
    UNET("{\"act_fn\": \"tanh\"}",
         "\"act_fn\" is \"tanh\"; it can be silu, swish, gelu, mish or relu");
    UNET("{\"time_embedding_type\": \"sines\"}",
         "\"time_embedding_type\" is \"sines\"; it can be positional, fourier or learned");
    UNET("{\"resnet_time_scale_shift\": \"ada_group\"}",
         "\"resnet_time_scale_shift\" is \"ada_group\"; it can be default or scale_shift");
    UNET("{\"class_embed_type\": \"projection\"}",
         "\"class_embed_type\" is \"projection\"; it can be timestep or identity");
    UNET("{\"freq_shift\": 4}",
         "\"freq_shift\" is 4; it is a whole number below 4, half of the channels");
    UNET("{\"norm_eps\": 0}", "\"norm_eps\" is 0; it is a number above 0");
    UNET("{\"norm_eps\": \"1e-5\"}", "\"norm_eps\" is \"1e-5\"; it is a number");
    UNET("{\"layers_per_block\": 1.5}", "\"layers_per_block\" is 1.5; it is a whole number");
    UNET("{\"attention_head_dim\": 0}",
         "\"attention_head_dim\" is 0; it is null or a whole number from 1 on");
    UNET("{\"add_attention\": 1}", "\"add_attention\" is 1; it is true or false");
    UNET("{\"norm_num_groups\": 3}", "unet: 8 channels do not form 3 groups");
    UNET("{\"sample_size\": 9}",
         "unet: images of 9x9 cannot be halved 1 times; 2 levels need sides "
         "that are multiples of 2");
}

#define SCHEDULER(change, message)                                                                 \
    is_refused("{}", change, "d/scheduler/scheduler_config.json: " message)

Test(diffusers_refusals, schedulers_that_ito_has_not)
{
    SCHEDULER("{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}",
              "\"_class_name\" is \"FlowMatchEulerDiscreteScheduler\"; Ito has the samplers of "
              "DDPMScheduler, DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler, "
              "EulerAncestralDiscreteScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler, "
              "DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler, DEISMultistepScheduler "
              "and UniPCMultistepScheduler");
    SCHEDULER("{\"prediction_type\": \"flow_prediction\"}",
              "\"prediction_type\" is \"flow_prediction\"; it can be epsilon, sample or "
              "v_prediction");
    SCHEDULER("{\"beta_schedule\": \"laplace\"}",
              "\"beta_schedule\" is \"laplace\"; it can be linear, scaled_linear, "
              "squaredcos_cap_v2 or sigmoid");
    SCHEDULER("{\"trained_betas\": [0.1, 0.2]}",
              "\"trained_betas\" is [0.1,0.2]; it is a list of as many numbers as "
              "num_train_timesteps says, 1000");
    SCHEDULER("{\"trained_betas\": [0.1, 0.2], \"num_train_timesteps\": 2, "
              "\"rescale_betas_zero_snr\": true}",
              "\"trained_betas\" is [0.1,0.2]; with rescale_betas_zero_snr the list is to be the "
              "rescaled one");
    SCHEDULER("{\"variance_type\": \"learned\"}",
              "\"variance_type\" is \"learned\"; it can be fixed_small, fixed_small_log, "
              "fixed_large or learned_range");
    SCHEDULER("{\"variance_type\": \"learned_range\"}",
              "the network has 3 channels in and 3 out; with this scheduler (variance_type "
              "learned_range) Ito takes 6 out");
    SCHEDULER("{\"timestep_spacing\": \"even\"}",
              "\"timestep_spacing\" is \"even\"; it can be linspace, leading or trailing");
    SCHEDULER("{\"clip_sample_range\": 2}", "\"clip_sample_range\" is 2; Ito clips to 1");
    SCHEDULER("{\"thresholding\": true, \"sample_max_value\": 1.5}",
              "\"sample_max_value\" is 1.5; Ito's thresholding has no such limit: 1 clips, and "
              "1e+06 is none");
    SCHEDULER("{\"use_flow_sigmas\": true}", "\"use_flow_sigmas\" is true; Ito takes false alone");
    SCHEDULER("{\"stochasticity\": 0.5}", "\"stochasticity\" is 0.5; Ito has no such setting");
    SCHEDULER("{\"num_train_timesteps\": \"x\"}",
              "\"num_train_timesteps\" is \"x\"; it is a whole number");
    SCHEDULER("{\"num_train_timesteps\": -1}",
              "\"num_train_timesteps\" is -1; it is a whole number from 1 on");
    SCHEDULER("{\"num_train_timesteps\": 1e12}",
              "process: 1000000000000 steps; there are 1 to 1000000");
    SCHEDULER("{\"beta_end\": 2, \"num_train_timesteps\": 3}",
              "process: with a beta of 1.00005 step 1 takes alpha_bar from 0.9999 to -4.9995e-05; "
              "it must fall, "
              "and reach 0 at the last step only");
    SCHEDULER("{\"_class_name\": \"UniPCMultistepScheduler\", \"solver_type\": \"bh1\"}",
              "\"solver_type\" is \"bh1\"; Ito has bh2");
    SCHEDULER("{\"_class_name\": \"UniPCMultistepScheduler\", \"predict_x0\": false}",
              "\"predict_x0\" is false; Ito takes true alone");
    SCHEDULER("{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 4}",
              "\"solver_order\" is 4; Ito has no DPMSolverMultistepScheduler of this order");
    SCHEDULER("{\"_class_name\": \"DPMSolverMultistepScheduler\", \"solver_order\": 3, "
              "\"algorithm_type\": \"sde-dpmsolver++\"}",
              "\"solver_order\" is 3; Ito has no DPMSolverMultistepScheduler with noise of this "
              "order");
    SCHEDULER(
        "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": \"dpmsolver\"}",
        "\"algorithm_type\" is \"dpmsolver\"; it can be dpmsolver++ or sde-dpmsolver++");
}

/* What the class does not heed may be anything: files carry settings of other classes along. */
Test(diffusers_refusals, settings_of_other_classes_mean_nothing)
{
    write_files("{}", "{\"_class_name\": \"PNDMScheduler\", \"skip_prk_steps\": true, "
                      "\"solver_order\": 7, \"clip_sample_range\": 2, \"clip_sample\": true, "
                      "\"variance_type\": \"learned\", \"steps_offset\": 1}");
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(m, "%s", ito_error());
    cr_expect_eq(m->sampling.sampler, &ito_sampler_plms);
    cr_expect(m->sampling.no_clip && m->sampling.end_at_first);
    cr_expect_str_eq(m->notes, "d/scheduler/scheduler_config.json: \"steps_offset\" is 1, and "
                               "leading steps begin at 0 here: samples differ a little\n");
    ito_ddpm_free(m);
}

Test(diffusers_refusals, networks_without_a_scheduler_have_its_heads)
{
    write_files("{\"out_channels\": 6, \"decay\": 0.9999, \"optimization_step\": 7}", "{}");
    cr_assert_eq(system("rm -r d/scheduler"), 0);
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(m, "%s", ito_error());
    cr_expect_eq(m->settings.diffusion.variance, &ito_variance_learned_range);
    cr_expect_str_eq(m->notes, "d: it has no scheduler_config.json: taken as linear, 1000 steps, "
                               "eps, learned range\n");
    ito_ddpm_free(m);
    write_files("{\"out_channels\": 4}", "{}");
    cr_assert_eq(system("rm -r d/scheduler"), 0);
    expect_refused(ito_ddpm_load("d", .settings_only = true), ITO_ERR_FORMAT,
                   "d: the network has 3 channels in and 4 out; with this scheduler (no learned "
                   "variance) Ito takes 3 out");
}

Test(diffusers_refusals, noise_that_diffusers_leaves_is_said)
{
    write_files("{}", "{\"timestep_spacing\": \"trailing\", \"variance_type\": \"fixed_large\"}");
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(m, "%s", ito_error());
    cr_expect_str_eq(m->notes, "d/scheduler/scheduler_config.json: with \"timestep_spacing\" "
                               "trailing and this variance diffusers leaves noise in the images; "
                               "Ito does not\n");
    ito_ddpm_free(m);
}

/* One byte of a file is another one; the file is as before at the end. */
static void change_a_byte(const char *path, ito_generator *g)
{
    static const char likely[] = "{}[]\",:0-9etfn\\ \n\xff\1";
    char *text = read_text(path);
    size_t length = strlen(text), at = (size_t)(ito_uniform(g) * (double)length);
    char before = text[at];
    text[at] = likely[(size_t)(ito_uniform(g) * (double)(sizeof likely - 1))];
    cr_assert_eq(ito_file_write(path, text, length), ITO_OK);
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_expect(m != NULL || ito_error_code() != ITO_OK, "%s", text);
    cr_expect(m == NULL || ito_error_code() == ITO_OK, "%s", text);
    ito_ddpm_free(m);
    ito_error_clear();
    text[at] = before;
    cr_assert_eq(ito_file_write(path, text, length), ITO_OK);
    free(text);
}

Test(diffusers_refusals, any_byte_may_be_another)
{
    static const char *const paths[] = {"d/unet/config.json", "d/scheduler/scheduler_config.json",
                                        "d/model_index.json"};
    ito_generator g = ito_generator_make(15, 0);
    write_files("{\"num_class_embeds\": 3, \"freq_shift\": 1, \"sample_size\": [8, 8]}",
                "{\"trained_betas\": [0.1, 0.2, 0.3], \"num_train_timesteps\": 3}");
    write_text("d/model_index.json", "{\"_class_name\": \"DDPMPipeline\", \"unet\": []}");
    for (int i = 0; i < 900; i++)
        change_a_byte(paths[i % 3], &g);
    ito_ddpm *m = ito_ddpm_load("d", .settings_only = true);
    cr_assert_not_null(m, "%s", ito_error());
    cr_expect_eq(m->settings.model.classes, 3);
    ito_ddpm_free(m);
}

Test(diffusers_refusals, directories_that_are_not_whole)
{
    write_files("{}", "{}");
    write_text("d/model_index.json",
               "{\"_class_name\": \"LDMPipeline\", \"vqvae\": [\"diffusers\", "
               "\"VQModel\"], \"unet\": [], \"scheduler\": []}");
    expect_refused(ito_ddpm_load("d"), ITO_ERR_FORMAT,
                   "d/model_index.json: \"vqvae\" is [\"diffusers\",\"VQModel\"]; Ito reads "
                   "pipelines of a unet and a scheduler");
    unlink("d/model_index.json");
    expect_refused(ito_ddpm_load("d", .plain = true), ITO_ERR_ARGUMENT,
                   "d: it is a diffusers directory; a run or a checkpoint has plain weights beside "
                   "averages");
    unlink("d/unet/diffusion_pytorch_model.safetensors");
    expect_refused(ito_ddpm_load("d"), ITO_ERR_IO,
                   "d/unet: it has no weights: no diffusion_pytorch_model.safetensors, .bin or "
                   "index of several");
    write_text("d/unet/config.json", "[]");
    write_text("d/unet/diffusion_pytorch_model.safetensors", "x");
    expect_refused(ito_ddpm_load("d"), ITO_ERR_FORMAT,
                   "d/unet/config.json: it is not a JSON object");
}

/* ---- writing ---- */

static void is_not_written(ito_ddpm_settings s, const char *message)
{
    ito_ddpm *m = model_with(s, "");
    cr_expect_eq(ito_ddpm_save_diffusers(m, "d"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, message);
    cr_expect(!is_there("d"));
    ito_ddpm_free(m);
}

#define NO_FORM(message, ...)                                                                      \
    is_not_written(tiny_settings(ITO_OPTIONS(ito_diffusion_options, __VA_ARGS__)),                 \
                   "save_diffusers: " message)

Test(diffusers_refusals, what_diffusers_has_not)
{
    NO_FORM("the schedule flow has no form in diffusers: it is in continuous time, and schedulers "
            "have steps",
            .schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    NO_FORM("the schedule flow has no form in diffusers: schedulers preserve the variance",
            .schedule = &ito_schedule_flow, .steps = 100, .prediction = &ito_prediction_flow);
    NO_FORM("the schedule edm has no form in diffusers: it is in continuous time, and schedulers "
            "have steps",
            .schedule = &ito_schedule_edm, .prediction = &ito_prediction_edm,
            .weighting = &ito_weighting_edm, .time_input = &ito_time_input_c_noise);
    NO_FORM("the prediction score has no form in diffusers: prediction_type is epsilon (eps), "
            "sample (x_0) or v_prediction (v)",
            .prediction = &ito_prediction_score);
    NO_FORM("the time_input log-snr has no form in diffusers: networks are given the step",
            .time_input = &ito_time_input_log_snr);
    NO_FORM("the variance learned has no form in diffusers: variance_type is fixed_small, "
            "fixed_large or learned_range",
            .variance = &ito_variance_learned, .objective = &ito_objective_hybrid);
    ito_ddpm_settings s = tiny_settings(ITO_OPTIONS(ito_diffusion_options));
    s.model.self_condition = true;
    is_not_written(s, "save_diffusers: self_condition: UNet2DModel does not take an earlier "
                      "estimate");
    s.model.self_condition = false;
    s.model.multipliers[0] = 2;
    is_not_written(s, "save_diffusers: multipliers: the first level of UNet2DModel is as wide as "
                      "its first convolution");
    s.model.multipliers[0] = 1;
    s.model.levels = 3;
    s.model.multipliers[2] = 2;
    s.model.attention[0] = s.model.attention[2] = true;
    s.model.down_resnet[0] = true;
    is_not_written(s, "save_diffusers: down_resnet: UNet2DModel halves all levels with attention "
                      "in one way");
    s.model.down_resnet[0] = false;
    s.model.up_resnet[1] = true;
    is_not_written(s, "save_diffusers: up_resnet: UNet2DModel doubles all levels with attention in "
                      "one way");
}

Test(diffusers_refusals, a_missing_model_or_path)
{
    ito_ddpm *m = model_with(tiny_settings(ITO_OPTIONS(ito_diffusion_options)), "");
    cr_expect_eq(ito_ddpm_save_diffusers(NULL, "d"), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "save_diffusers: the network is NULL");
    cr_expect_eq(ito_ddpm_save_diffusers(m, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "save_diffusers: the path is NULL");
    ito_ddpm_free(m);
}
