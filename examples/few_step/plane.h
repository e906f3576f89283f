/* Two moons in the plane, and a network of two times that learns to reach them from noise.
 *
 * Noise is at t = 1 and data at t = 0, on straight lines x_t = (1 - t) x_0 + t eps, as in the
 * library's process "flow". u(x_t, t, r) is a mean velocity: x_r = x_t - (t - r) u, so one
 * evaluation reaches any r; u(x, t, t) is the velocity of the flow itself. */
#ifndef ITO_EXAMPLES_FEW_STEP_PLANE_H
#define ITO_EXAMPLES_FEW_STEP_PLANE_H

#include <ito/ito.h>

/* A mean velocity: of x [N, D], t and r [N, 1], [N, D]. */
typedef struct mean_velocity mean_velocity;
struct mean_velocity {
    ito_tensor *(*evaluate)(const mean_velocity *self, ito_tensor *x, ito_tensor *t, ito_tensor *r);
    void *context;
};
ito_tensor *mean_velocity_at(const mean_velocity *u, ito_tensor *x, ito_tensor *t, ito_tensor *r);

/* A perceptron of x, t and t - r, each time as sines and cosines. */
typedef struct plane_network {
    ito_module base;
    ito_linear_layer *layer[4];
    mean_velocity u;
} plane_network;

/* Freed by ito_module_free(&n->base); NULL with an error recorded. */
plane_network *plane_network_create(int64_t width, ito_generator *g);

/* x_r of x_t: one step. t and r are one number for all. */
ito_tensor *plane_step(const mean_velocity *u, ito_tensor *x, double t, double r);
/* From noise to data in equal steps: by u(x, t, r), or by the velocity u(x, t, t) (Euler). */
ito_tensor *plane_sample(const mean_velocity *u, ito_tensor *noise, int64_t steps, bool euler);

/* [n, 2] f32 points of two interleaved half circles. */
ito_tensor *plane_moons(ito_generator *g, int64_t n);
/* The sliced Wasserstein distance of as many points [n, 2]: of their projections on 64 directions,
 * on average; -1 with an error recorded. */
double plane_distance(ito_tensor *a, ito_tensor *b);
/* Clouds of points [.., 2] side by side, each in [-1.2, 1.2]^2. False with an error recorded. */
bool plane_draw(const char *path, ito_tensor *const *clouds, int n);

#endif
