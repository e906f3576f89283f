/* ito-ddpm edit: change an image. */
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/editing.h"

#define AT(field) offsetof(edit_options, field)

static const option_row rows[] = {
    EDIT_MODEL_ROWS,
    IMAGE_ROW("image", image, "FILE", "What is changed"),
    REAL_ROW("strength", strength, "X", ABOVE_0, 1, "0.5",
             "How far it is noised, of all the way: 1 keeps next to nothing of it"),
    INT_ROW("n", n, "N", 1, 1e4, "4", "How many versions"),
    GUIDANCE_ROWS,
    EDIT_RESULT_ROWS,
    SEED_ROW,
    EDIT_MACHINE_ROWS,
};

static bool edit(int64_t first, int64_t n, void *context)
{
    edit_job *j = context;
    ito_network *network = inference_network(&j->net, first, n);
    ito_tensor *x = ito_image_to_image_with(j->net.diffusion, network, edit_copies(j, n),
                                            j->o.strength, edit_sampling(j, first));
    return edit_put(j, first, x);
}

static const edit_command command = {
    .name = "edit",
    .doc =
        "Change an image: it is noised part of the way and made anew from there (SDEdit, Meng "
        "et al. 2021).\v"
        "  ito-ddpm edit --model run --image shoe.png --strength 0.6 --class boot --out grid.png",
    .rows = rows,
    .needs = {"image"},
    .steps = 250,
    .result = {"image", "images"},
    .trajectories = 1,
    .read = edit_read_image,
    .run = edit,
};

int command_edit(int argc, char **argv)
{
    return edit_run(&command, argc, argv);
}
