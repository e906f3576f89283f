/* ito-flow: rectified flow of points in the plane. Three flows are trained alike, on pairs of data
 * and noise by chance, by optimal transport within a batch, and made by the first flow (reflow).
 * Printed are how bent their paths are, how far samples are from data, and how likely data are. */
#include "examples/common/draw.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/paths.h"

#include <ito/ito.h>
#include <math.h>
#include <stdio.h>

typedef struct flow_options {
    const char *data, *out;
    int64_t steps, batch, pairs, n, seed, threads;
} flow_options;

#define AT(field) offsetof(flow_options, field)

static const option_row rows[] = {
    WORDS_ROW("data", data, "gaussians|checkerboard", "gaussians", "The distribution"),
    INT_ROW("steps", steps, "N", 1, 1e7, "5000", "Training steps of each flow"),
    INT_ROW("batch", batch, "N", 1, 1e5, "128", "Points in each"),
    INT_ROW("pairs", pairs, "N", 1, 1e7, "10000", "That the first flow makes for the third"),
    INT_ROW("n", n, "N", 2, 1e5, "1000", "Points in a measurement"),
    TEXT_ROW("out", out, "DIR", "flow", "Where flow.png goes"),
    SEED_ROW,
    THREADS_ROW,
    END_ROW,
};

/* The flows: whose pairs they learn. */
enum { BY_CHANCE, BY_TRANSPORT, BY_REFLOW, FLOWS };

static const char *const names[FLOWS] = {"by chance", "by transport", "by reflow"};

typedef struct flows {
    const flow_options *o;
    ito_diffusion *d; /* x_t = (1 - t) x_0 + t eps; networks predict the velocity, eps - x_0 */
    ito_module *net[FLOWS];
    ito_network network[FLOWS];
    ito_tensor *noise, *made; /* [pairs, 2], and the data that the first flow makes of it */
} flows;

/* ---- data ---- */

static const double variance = 0.0225; /* of a Gaussian */

/* Eight Gaussians on a circle, or every other of 4x4 unit squares: the middles, or the corners. */
static ito_tensor *places(const flow_options *o)
{
    double xy[8][2];
    for (int k = 0; k < 8; k++) {
        xy[k][0] = o->data[0] == 'g' ? 2 * cos(M_PI / 4 * k) : 2 * (k % 2) + k / 2 % 2 - 2;
        xy[k][1] = o->data[0] == 'g' ? 2 * sin(M_PI / 4 * k) : k / 2 - 2;
    }
    return ito_cast(ito_from_data(xy, ITO_SHAPE(8, 2), ITO_F64), ITO_F32);
}

/* [n, 2] f32. */
static ito_tensor *points(const flow_options *o, ito_generator *g, int64_t n)
{
    ito_tensor *at = ito_index_select(places(o), 0, ito_randint(g, 0, 8, ITO_SHAPE(n), ITO_I64));
    return o->data[0] == 'g'
               ? ito_axpby(1, at, sqrt(variance), ito_randn(g, ITO_SHAPE(n, 2), ITO_F32))
               : ito_add(at, ito_rand(g, ITO_SHAPE(n, 2), ITO_F32));
}

/* The mean logarithm of their density. */
static double log_density(const flow_options *o, ito_tensor *x)
{
    if (o->data[0] == 'c')
        return -log(8); /* the area */
    ito_tensor *terms = ito_mul_scalar(ito_square(ito_cdist(x, places(o))), -0.5 / variance);
    return ito_item(ito_mean(ito_logsumexp(terms, .dims = ITO_DIMS(1)))) -
           log(16 * M_PI * variance);
}

/* ---- training ---- */

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    return ito_module_forward(self->context,
                              ito_cat(ITO_TENSORS(in->x, ito_unsqueeze(in->t, 1)), 1));
}

static ito_module *create_net(ito_generator *g)
{
    static const char *const layers[] = {"0", "1", "2", "3", "4", "5", "6"};
    ito_module *net = ito_sequential_create(NULL, "");
    for (int i = 0; net != NULL && i < 7; i++)
        if (i % 2 == 1)
            ito_activation_create(net, layers[i], ito_silu);
        else
            ito_linear_create(net, layers[i], i == 0 ? 3 : 128, i == 6 ? 2 : 128, .generator = g);
    return net;
}

/* Reflow: noise, and where the first flow leads it. */
static bool make_pairs(flows *f, ito_generator *g)
{
    f->noise = ito_randn(g, ITO_SHAPE(f->o->pairs, 2), ITO_F32);
    f->made = ito_diffusion_sample_ode_from(f->d, &f->network[BY_CHANCE], f->noise);
    return f->made != NULL;
}

/* A batch of data x and their noise. */
static void draw_batch(const flows *f, int k, ito_generator *g, ito_tensor **x, ito_tensor **eps)
{
    if (k == BY_REFLOW) {
        ito_tensor *index = ito_randint(g, 0, f->o->pairs, ITO_SHAPE(f->o->batch), ITO_I64);
        *x = ito_index_select(f->made, 0, index);
        *eps = ito_index_select(f->noise, 0, index);
        return;
    }
    *x = points(f->o, g, f->o->batch);
    *eps = ito_randn(g, ITO_SHAPE(f->o->batch, 2), ITO_F32);
    if (k == BY_TRANSPORT)
        *eps = ito_index_select(*eps, 0, ito_ot_pairing(*x, *eps));
}

static bool train(flows *f, int k)
{
    int64_t steps = f->o->steps;
    ito_generator g = ito_generator_make((uint64_t)f->o->seed, 1);
    f->net[k] = create_net(&g);
    f->network[k] = (ito_network){.evaluate = evaluate, .context = f->net[k]};
    ito_optimizer *adam = ito_adam_create(f->net[k]);
    bool good = adam != NULL && (k != BY_REFLOW || make_pairs(f, &g));
    for (int64_t step = 0; good && step < steps; step++) {
        ito_scope_begin();
        ito_tensor *x, *eps, *t = ito_rand(&g, ITO_SHAPE(f->o->batch), ITO_F64);
        t = ito_clamp(t, f->d->process->t_min, 1);
        draw_batch(f, k, &g, &x, &eps);
        ito_tensor *loss = ito_diffusion_loss(f->d, &f->network[k], x, t, eps);
        ito_module_zero_grad(f->net[k]);
        good = ito_backward(loss) == ITO_OK &&
               ito_optimizer_step(adam, 0.005 * ito_lr_cosine(step, steps, 0), .max_norm = 1) ==
                   ITO_OK;
        ito_scope_end();
    }
    ito_optimizer_free(adam);
    if (good)
        note("trained on pairs %s\n", names[k]);
    return good;
}

/* ---- measures ---- */

typedef struct path { /* a flow on its way */
    ito_network *network;
    double speed; /* the mean of |v|^2 over all evaluations */
    int evaluations, panel;
    ito_tensor *picture, *last; /* lines are drawn from last to the next points */
} path;

/* dx/dt = v, in the time t of the process: what the network says. */
static ito_tensor *velocity(double t, ito_tensor *x, void *context)
{
    path *p = context;
    ito_network_input in = {.x = x, .t = ito_full(ITO_SHAPE(ito_size(x, 0)), t, ITO_F32)};
    ito_tensor *v = ito_network_evaluate(p->network, &in);
    p->speed += (2 * ito_item(ito_mean(ito_square(v))) - p->speed) / ++p->evaluations;
    return v;
}

/* Points and noise lie within [-3, 3], and a panel shows [-1.2, 1.2]. */
#define SMALL(x) ito_mul_scalar(x, 0.4)

static bool draw_step(double t, ito_tensor *x, void *context)
{
    path *p = context;
    (void)t;
    return draw_lines(p->picture, p->panel, SMALL(p->last), SMALL(x)) &&
           ito_replace(&p->last, x) == ITO_OK;
}

/* The 2-Wasserstein distance of two sets of points, exact. */
static double distance(ito_tensor *a, ito_tensor *b)
{
    ito_tensor *off = ito_sub(a, ito_index_select(b, 0, ito_ot_pairing(a, b)));
    return sqrt(2 * ito_item(ito_mean(ito_square(off))));
}

/* A row of the table; paths are drawn above, samples of two steps below. */
static bool measure(flows *f, int k, ito_tensor *data, ito_tensor *above, ito_tensor *below)
{
    ito_generator g = ito_generator_make((uint64_t)f->o->seed, 4);
    ito_tensor *noise = ito_randn(&g, ito_shape_of(data), ITO_F32), *x;
    path p = {.network = &f->network[k], .picture = above, .panel = k};
    ito_ode_report r;
    ito_log_likelihoods l;
    x = ito_ode_solve(velocity, &p, noise, 1, 0, .method = &ito_ode_euler, .steps = 100);
    /* the mean of |v - (eps - x)|^2 along paths from eps to x */
    printf("%-13s%9.3f", names[k], p.speed - 2 * ito_item(ito_mean(ito_square(ito_sub(noise, x)))));
    for (int steps = 1; steps <= 8; steps *= 2) {
        x = ito_ode_solve(velocity, &p, noise, 1, 0, .method = &ito_ode_euler, .steps = steps);
        printf("%9.3f", distance(x, data));
        if (steps == 2)
            draw_points(below, k, SMALL(x)); /* what fails is an error at the end */
    }
    x = ito_ode_solve(velocity, &p, noise, 1, 0, .report = &r);
    if (ito_log_likelihood(f->d, p.network, data, &l, .probes = 0) != ITO_OK)
        return false;
    printf("%9.3f%5d%9.3f\n", distance(x, data), (int)r.evaluations, ito_item(ito_mean(l.log_p)));
    x = ito_narrow(noise, 0, 0, f->o->n < 60 ? f->o->n : 60);
    p.last = ito_retain(x);
    ito_ode_solve(velocity, &p, x, 1, 0, .observe = draw_step, .observe_context = &p);
    ito_release(p.last);
    return draw_points(above, k, SMALL(data)) && ito_error_code() == ITO_OK;
}

static bool measure_all(flows *f)
{
    char file[4096];
    ito_generator g = ito_generator_make((uint64_t)f->o->seed, 3);
    ito_tensor *data = points(f->o, &g, f->o->n), *others = points(f->o, &g, f->o->n);
    ito_tensor *above = draw_panels(FLOWS), *below = draw_panels(FLOWS);
    puts("pairs             bent  Euler 1        2        4        8     RK45   in    log p");
    for (int k = 0; k < FLOWS; k++)
        if (!measure(f, k, data, above, below))
            return false;
    printf("%-13s%54.3f%14.3f\n", "other data", distance(others, data), log_density(f->o, data));
    snprintf(file, sizeof file, "%s/flow.png", f->o->out);
    return ito_png_save(file, ito_cat(ITO_TENSORS(above, below), 1)) == ITO_OK;
}

int main(int argc, char **argv)
{
    flow_options o;
    command_line c = {
        .command = "",
        .doc = "Train rectified flows on three kinds of pairs of data and noise, and compare them.",
        .options = rows,
        .values = &o};
    options_parse(&c, argc, argv);
    flows f = {.o = &o};
    f.d = ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow,
                               .time_input = &ito_time_input_t);
    bool good = f.d != NULL && path_make_directory(o.out, true) && options_set_threads(o.threads);
    for (int k = 0; good && k < FLOWS; k++)
        good = train(&f, k);
    ito_no_grad_begin();
    good = good && measure_all(&f);
    ito_no_grad_end();
    for (int k = 0; k < FLOWS; k++)
        ito_module_free(f.net[k]);
    ito_diffusion_free(f.d);
    return good ? 0 : options_report(c.command);
}
