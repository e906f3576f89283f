/* ito-ddpm interpolate: the images between two images. */
#include "examples/ddpm/commands/commands.h"
#include "examples/ddpm/editing.h"

#include <ito/ito.h>
#include <math.h>

#define AT(field) offsetof(edit_options, field)

static const option_row rows[] = {
    EDIT_MODEL_ROWS,
    DATA_ROW("Where both images are"),
    RANGE_ROW,
    SKIP_BAD_ROW,
    INT_ROW("first", first, "I", 0, 1e12, "0", "Number of the one"),
    INT_ROW("second", second, "J", 0, 1e12, "1", "Number of the other"),
    INT_ROW("n", n, "N", 2, 1e4, "9", "How many images from the one to the other"),
    REAL_ROW("t", t, "T", ABOVE_0, 1e6, NULL,
             "Step that both are noised to and mixed at: more is freer (half of the diffusion)"),
    GUIDANCE_ROWS,
    EDIT_RESULT_ROWS,
    SEED_ROW,
    EDIT_MACHINE_ROWS,
};

static bool read_two(edit_job *j)
{
    edit_options *o = &j->o;
    const ito_process *p = j->net.diffusion->process;
    o->t = real_or(o->t, p->steps > 0 ? (double)(p->steps / 2) : 0.5 * p->t_max);
    if (o->t > p->t_max || (p->steps > 0 && o->t != floor(o->t)))
        return options_error("--t: %g is no %s of the diffusion, which ends at %g", o->t,
                             p->steps > 0 ? "step" : "time", p->t_max);
    ito_tensor *all = edit_data(j), *a = edit_data_range(j, all, o->first, 1, "--first");
    ito_tensor *b = a != NULL ? edit_data_range(j, all, o->second, 1, "--second") : NULL;
    j->images = b != NULL ? ito_cat((ito_tensor *[]){a, b}, 2, 0) : NULL;
    return j->images != NULL;
}

/* All mixtures have the same noise: that of image 0. */
static bool interpolate(int64_t first, int64_t n, void *context)
{
    edit_job *j = context;
    ito_network *network = inference_network(&j->net, first, n);
    ito_tensor *x = ito_diffusion_interpolate_with(
        j->net.diffusion, network, ito_narrow(j->images, 0, 0, 1), ito_narrow(j->images, 0, 1, 1),
        ito_narrow(ito_linspace(0, 1, j->o.n, ITO_F32), 0, first, n), j->o.t, edit_sampling(j, 0));
    return edit_put(j, first, x);
}

static const edit_command command = {
    .name = "interpolate",
    .doc = "Images between two images (Ho, Jain, Abbeel 2020, section 4.3): both are noised to "
           "step --t, mixed there and brought back.\v"
           "  ito-ddpm interpolate --model run --data fashion-mnist --first 3 --second 8 --out "
           "grid.png",
    .rows = rows,
    .needs = {"data"},
    .steps = 250,
    .result = {"image", "images"},
    .trajectories = 1,
    .read = read_two,
    .run = interpolate,
};

int command_interpolate(int argc, char **argv)
{
    return edit_run(&command, argc, argv);
}
