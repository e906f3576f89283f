/* ito-ddpm encode: the noise that images come from. */
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/editing.h"

#define AT(field) offsetof(edit_options, field)

static const option_row rows[] = {
    EDIT_MODEL_ROWS,
    DATA_ROW("Images"),
    RANGE_ROW,
    SKIP_BAD_ROW,
    INT_ROW("first", first, "I", 0, 1e12, "0", "Number of the first one"),
    INT_ROW("n", n, "N", 1, 1e4, NULL, "How many (16, or all there are)"),
    EDIT_RESULT_ROWS,
    EDIT_MACHINE_ROWS,
};

static bool read_range(edit_job *j)
{
    edit_options *o = &j->o;
    ito_tensor *all = edit_data(j);
    int64_t left = all != NULL ? ito_size(all, 0) - o->first : 0;
    if (o->n == UNSET_INT)
        o->n = left < 16 ? left : 16;
    j->images = left < 1 ? edit_data_range(j, all, o->first, 1, "--first")
                         : edit_data_range(j, all, o->first, o->n, "--n");
    if (j->images == NULL)
        return false;
    j->picture = ito_empty_like(j->images);
    j->error = ito_empty(ITO_SHAPE(o->n), ITO_F32);
    return j->picture != NULL && j->error != NULL;
}

static bool encode(int64_t first, int64_t n, void *context)
{
    edit_job *j = context;
    ito_round_trip r;
    ito_network *network = inference_network(&j->net, first, n);
    bool good =
        ito_diffusion_round_trip_with(j->net.diffusion, network, ito_narrow(j->images, 0, first, n),
                                      edit_ddim(j), &r) == ITO_OK;
    return good && edit_put(j, first, r.noise) &&
           inference_put(&j->net, j->picture, first, r.image, first) &&
           ito_copy_(ito_narrow(j->error, 0, first, n), r.error) != NULL;
}

static const edit_command command = {
    .name = "encode",
    .doc = "The noise that images come from by DDIM, and how well they come back from it.\v"
           "  ito-ddpm encode --model run --data fashion-mnist --n 16 --npy noise.npy --out "
           "back.png\n\n"
           "--npy is the noise, --out shows what it decodes to; round_trip_error is the root of "
           "the mean squared difference to the images, whose values are -1 to 1.",
    .rows = rows,
    .needs = {"data"},
    .steps = 50,
    .result = {"noise", "noises"},
    .trajectories = 2,
    .read = read_range,
    .run = encode,
};

int command_encode(int argc, char **argv)
{
    return edit_run(&command, argc, argv);
}
