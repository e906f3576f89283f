/* ito-ddpm inpaint: complete an image. */
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/editing.h"
#include "examples/ddpm/mask.h"

#define AT(field) offsetof(edit_options, field)

static const option_row rows[] = {
    EDIT_MODEL_ROWS,
    IMAGE_ROW("image", image, "FILE", "What is completed"),
    TEXT_ROW("mask", mask, "FILE", NULL,
             "Of the same size: white (.npy: True, 1 or 255) where the image stays"),
    INT_ROW("n", n, "N", 1, 1e4, "4", "How many versions"),
    INT_ROW("jump", jump, "N", 1, 1e6, "10", "Steps that RePaint goes back up at once"),
    INT_ROW("repeats", repeats, "N", 1, 1e6, "5",
            "Times that it goes through each stretch; more fits better and takes longer"),
    GUIDANCE_ROWS,
    EDIT_RESULT_ROWS,
    SEED_ROW,
    EDIT_MACHINE_ROWS,
};

static bool read_masked(edit_job *j)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    if (!edit_read_image(j))
        return false;
    j->mask = mask_load(j->o.mask, c->in_channels, c->height, c->width);
    return j->mask != NULL;
}

static bool inpaint(int64_t first, int64_t n, void *context)
{
    edit_job *j = context;
    ito_network *network = inference_network(&j->net, first, n);
    ito_tensor *x = ito_diffusion_inpaint_with(
        j->net.diffusion, network, edit_copies(j, n), j->mask,
        (ito_resampling){.jump = j->o.jump, .repeats = j->o.repeats}, edit_sampling(j, first));
    return edit_put(j, first, x);
}

static const edit_command command = {
    .name = "inpaint",
    .doc = "Complete an image where a mask is black (RePaint, Lugmayr et al. 2022).\v"
           "  ito-ddpm inpaint --model run --image boot.png --mask mask.png --out grid.png",
    .rows = rows,
    .needs = {"image", "mask"},
    .steps = 250,
    .result = {"image", "images"},
    .trajectories = 1,
    .read = read_masked,
    .run = inpaint,
};

int command_inpaint(int argc, char **argv)
{
    return edit_run(&command, argc, argv);
}
