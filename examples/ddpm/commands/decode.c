/* ito-ddpm decode: images from the noise that encode wrote. */
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/editing.h"

#define AT(field) offsetof(edit_options, field)

static const option_row rows[] = {
    EDIT_MODEL_ROWS,
    TEXT_ROW("image", image, "NOISE.npy", NULL, "What encode has made, with as many --steps"),
    GUIDANCE_ROWS,
    EDIT_RESULT_ROWS,
    EDIT_MACHINE_ROWS,
};

static bool read_noise(edit_job *j)
{
    j->images = images_scaled(edit_file(j, j->o.image, false));
    j->o.n = j->images != NULL ? ito_size(j->images, 0) : 0;
    return j->images != NULL;
}

static bool decode(int64_t first, int64_t n, void *context)
{
    edit_job *j = context;
    ito_network *network = inference_network(&j->net, first, n);
    ito_tensor *x = ito_diffusion_sample_from_with(
        j->net.diffusion, network, ito_narrow(j->images, 0, first, n), edit_ddim(j));
    return edit_put(j, first, x);
}

static const edit_command command = {
    .name = "decode",
    .doc = "Images from noise that ito-ddpm encode has made.\v"
           "  ito-ddpm decode --model run --image noise.npy --out grid.png",
    .rows = rows,
    .needs = {"image"},
    .steps = 50,
    .result = {"image", "images"},
    .trajectories = 1,
    .read = read_noise,
    .run = decode,
};

int command_decode(int argc, char **argv)
{
    return edit_run(&command, argc, argv);
}
