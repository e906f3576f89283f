/* The profiler's rows of operations: each has one for its forward, one for its own backward, and
 * one for being run by the backward of others or by the sweep. Internal; see tensor/profile.h. */
#ifndef ITO_AUTOGRAD_PROFILE_H
#define ITO_AUTOGRAD_PROFILE_H

#include "autograd/op.h"
#include "tensor/profile.h"

void profile_leave_forward(profile_frame *f, const op_call *c, const ito_tensor *out);
void profile_leave_backward(profile_frame *f, const op_call *c, const ito_tensor *dy,
                            ito_tensor *const *dx);

static inline void profile_end_forward(profile_frame *f, const op_call *c, const ito_tensor *out)
{
    if (__builtin_expect(profile_on, 0))
        profile_leave_forward(f, c, out);
}

static inline void profile_end_backward(profile_frame *f, const op_call *c, const ito_tensor *dy,
                                        ito_tensor *const *dx)
{
    if (__builtin_expect(profile_on, 0))
        profile_leave_backward(f, c, dy, dx);
}

#endif
